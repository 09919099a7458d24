package libcontainerd_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// If the compute system ends first, each of its processes has an exit all the same. See
// lessons_test.go: 52, 53, 66, 67, P4, F38, F45.
func TestEveryProcessExitsWhenTheSystemEndsFirst(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*hcstest.Service)
		kind func(error) bool
	}{
		"crash":              {func(h *hcstest.Service) { h.Crash("c1", libcontainerd.CodeUnexpectedExit) }, is(libcontainerd.CodeUnexpectedExit)},
		"utility VM crash":   {func(h *hcstest.Service) { h.Crash("c1", libcontainerd.CodeGuestCriticalError) }, is(libcontainerd.CodeGuestCriticalError)},
		"service lost":       {func(h *hcstest.Service) { h.LoseService(nil) }, errdefs.IsUnavailable},
		"service comes back": {func(h *hcstest.Service) { h.LoseService(nil); h.RestoreService() }, errdefs.IsUnavailable},
		"service lost, container lives on": {func(h *hcstest.Service) {
			h.LoseService(func(string) bool { return true })
			h.RestoreService()
		}, errdefs.IsUnavailable},
		"processes never end": {func(h *hcstest.Service) {
			h.Hang(hcstest.OpWaitProcess, "c1")
			h.Crash("c1", libcontainerd.CodeUnexpectedExit)
		}, is(libcontainerd.CodeUnexpectedExit)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEngine(t, hcs)
				if name == "processes never end" {
					hcs.Hang(hcstest.OpWaitProcess, "c1")
				}
				must(t, e.Create("c1", hyperv(untilStopped...)))
				must(t, e.AddProcess("c1", "p1", libcontainerd.Process{Args: untilStopped}))
				must(t, e.AddProcess("c1", "p2", libcontainerd.Process{Args: untilStopped}))
				synctest.Wait()
				c.end(hcs)
				began := time.Now()
				e.awaitExit("c1")
				if took := time.Since(began); took > 2*libcontainerd.DefaultGrace {
					t.Errorf("took %v", took)
				}
				log := e.events()
				if len(log) != 4 || log[3] != "exit c1 4294967295" {
					t.Fatalf("events %q", log)
				}
				for _, info := range e.infos["c1"][1:] {
					if info.ExitCode != libcontainerd.UnknownExitCode || !c.kind(info.Err) || strings.Contains(info.Err.Error(), "\n") {
						t.Errorf("%s of %s: code %d, %v", info.State, info.ProcessID, info.ExitCode, info.Err)
					}
				}
				hcs.RestoreService()
				hcs.Heal()
				synctest.Wait()
				for _, s := range list(t, hcs) {
					t.Errorf("left: %v", s)
				}
				must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
				e.await("exit c1 0", 1)
			})
		})
	}
}

// If the time is over before HCS answers well, the exit carries the error of HCS.
func TestLostServiceIsWhatTheExitSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithGrace(250*time.Millisecond))
		must(t, e.Create("c1", spec(untilStopped...)))
		e.hcs.LoseService(func(string) bool { return true })
		slow(hcstest.OpOpen, time.Millisecond)(e.hcs)
		exit := e.awaitExit("c1")
		if !errdefs.IsUnavailable(exit.Err) || errdefs.IsDeadlineExceeded(exit.Err) {
			t.Errorf("exit error %v", exit.Err)
		}
		e.hcs.RestoreService()
		time.Sleep(time.Minute)
	})
}

// A wait that fails does not prove a stop: the system must not be left behind.
func TestSystemWhoseWaitFailsIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		once(hcstest.OpWait, hcstest.Fault{Delay: time.Second, Err: libcontainerd.CodeAccessDenied})(hcs)
		e := newEngine(t, hcs)
		must(t, e.Create("c1", spec(untilStopped...)))
		e.awaitExit("c1")
		infos := e.infos["c1"]
		if exit := infos[len(infos)-1]; exit.ExitCode == 0 || !errors.Is(exit.Err, libcontainerd.CodeAccessDenied) {
			t.Errorf("exit code %d, %v", exit.ExitCode, exit.Err)
		}
		synctest.Wait()
		for _, s := range list(t, hcs) {
			t.Errorf("left: %v", s)
		}
	})
}

// If HCS does not return the exit code, the exit is not a success. See
// lessons_test.go: 52, D18.
func TestUnknownExitCodeIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpWaitProcess, "c1", libcontainerd.CodeInvalidHandle)
		must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
		exit := e.awaitExit("c1")
		if exit.ExitCode != libcontainerd.UnknownExitCode || !errors.Is(exit.Err, libcontainerd.CodeInvalidHandle) {
			t.Errorf("exit %d, %v", exit.ExitCode, exit.Err)
		}
	})
}

func TestACrashAfterTheExitOfInitIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.OnCall(hcstest.OpShutdown, func(c hcstest.Call) *hcstest.Fault {
			e.hcs.Crash(c.ID, libcontainerd.CodeGuestCriticalError)
			return nil
		})
		must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
		exit := e.awaitExit("c1")
		if exit.ExitCode != libcontainerd.UnknownExitCode || !errors.Is(exit.Err, libcontainerd.CodeGuestCriticalError) {
			t.Errorf("exit %d, %v", exit.ExitCode, exit.Err)
		}
	})
}

// If a container ends without a signal, and HCS does not tell, the client finds out
// within minutes. It lists all systems once a minute, however many there are.
func TestEndThatNobodyTellsIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		untold(e.hcs)
		const containers = 50
		id := func(n int) string { return fmt.Sprintf("c%d", n) }
		for n := range containers {
			must(t, e.Create(id(n), spec(untilStopped...)))
		}
		lists := len(e.hcs.Calls(hcstest.OpList))
		time.Sleep(time.Hour)
		if n := len(e.hcs.Calls(hcstest.OpList)) - lists; n > 61 {
			t.Errorf("%d lists of all systems within an hour, want at most one a minute", n)
		}
		if n := e.count("exit "); n > 0 {
			t.Errorf("%d of %d containers that run have exits", n, containers)
		}
		lists = len(e.hcs.Calls(hcstest.OpList))
		for n := range 3 {
			e.hcs.Crash(id(n), libcontainerd.CodeUnexpectedExit)
		}
		time.Sleep(3 * time.Minute)
		for n := range 3 {
			exit := e.wantExit(t, id(n), time.Second)
			if exit.ExitCode != libcontainerd.UnknownExitCode || exit.Err == nil {
				t.Errorf("exit %+v", exit)
			}
		}
		if n := e.count("exit "); n != 3 {
			t.Errorf("%d exits, want 3", n)
		}
		if n := len(e.hcs.Calls(hcstest.OpList)) - lists; n > 3+2*3+1 { // an end that was found may be asked about once more
			t.Errorf("%d lists of all systems within three minutes", n)
		}
		e.hcs.Heal()
		for n := range containers {
			e.Signal(id(n), 9)
		}
		e.hears("exit ", containers, time.Hour)
	})
}

// If HCS refuses a list, or leaves a container out once, the container goes on.
func TestListThatIsRefusedEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		inject(hcstest.OpList, hcstest.Fault{Err: libcontainerd.CodeAccessDenied})(e.hcs)
		time.Sleep(time.Hour)
		e.wantEvents(t, "start-container c1")
		must(t, e.Signal("c1", 9))
		e.wantExit(t, "c1", time.Minute)
	})
}

// namelessState is a HCS that does not say in which state a system is.
type namelessState struct{ *hcstest.Service }

func (s namelessState) ComputeSystems(owner string) ([]libcontainerd.ComputeSystemInfo, error) {
	systems, err := s.Service.ComputeSystems(owner)
	for i := range systems {
		systems[i].State = ""
	}
	return systems, err
}

// A system whose state is unknown counts as one that runs.
func TestSystemOfNoKnownStateIsNotOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "c1", spec(untilStopped...))
		e := newEngine(t, hcs, libcontainerd.WithComputeService(namelessState{hcs}))
		must(t, e.Create("c2", spec(untilStopped...)))
		time.Sleep(time.Hour)
		e.wantEvents(t, "start-container c2")
		must(t, e.Signal("c2", 9))
		e.wantExit(t, "c2", time.Hour)
		if err := e.Create("c1", spec(untilStopped...)); !is(libcontainerd.CodeSystemAlreadyExists)(err) {
			t.Errorf("got %v", err)
		}
		if systems := list(t, hcs); len(systems) != 1 || e.count("start-container c1") > 0 {
			t.Errorf("systems %v, events %q", systems, e.events())
		}
		e.Signal("c1", 9)
		e.hears("exit c1", 1, time.Hour)
		endAll(t, hcs)
	})
}
