package libcontainerd_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Lessons 48, 51, D20, failures 42–44: the way from the exit of init to the end.
func TestTeardownAfterTheExitOfInit(t *testing.T) {
	const shutdown, terminate = 3 * time.Minute, time.Minute
	for name, c := range map[string]struct {
		prepare func(*hcstest.Service)
		took    time.Duration
		broken  bool // the exit event carries an error
		roughly bool // took is the most that it may take
	}{
		"shutdown":                   {func(*hcstest.Service) {}, 0, false, false},
		"shutdown takes its time":    {slow(hcstest.OpStop, 2*time.Minute), 2 * time.Minute, false, false},
		"shutdown is accepted, raw":  {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeOperationPending}), shutdown, false, false},
		"shutdown has no effect":     {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeAlreadyStopped}), libcontainerd.DefaultGrace, false, false},
		"shutdown hangs":             {inject(hcstest.OpShutdown, hcstest.Fault{Hang: true}), shutdown, false, false},
		"shutdown fails":             {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeProcNotFound}), 0, false, false},
		"both fail":                  {both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}), once(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeAccessDenied})), 0, false, false},
		"first handle hangs":         {both(inject(hcstest.OpShutdown, hcstest.Fault{Hang: true}), once(hcstest.OpTerminate, hcstest.Fault{Hang: true})), shutdown + terminate, false, false},
		"already stopped, bad path":  {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeBadPathname, Done: true}), 0, false, false},
		"already stopped, not found": {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeNotFound, Done: true}), 0, false, false},
		"already stopped, HRESULT":   {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.Code(0x80370110), Done: true}), 0, false, false},
		"notice of the stop is lost": {once(hcstest.OpWait, hcstest.Fault{Hang: true}), 2 * libcontainerd.DefaultGrace, false, true},
		"nothing helps":              {func(h *hcstest.Service) { h.Hang(hcstest.OpStop, "") }, shutdown + 2*terminate, true, false},
		"nothing is ever answered":   {both(hang(hcstest.OpShutdown), hang(hcstest.OpTerminate), hang(hcstest.OpOpen)), shutdown + 2*terminate, true, false},
		"closing the handles hangs":  {both(hang(hcstest.OpClose), hang(hcstest.OpCloseProcess)), 2 * libcontainerd.DefaultGrace, false, false},
		"closing the handles is refused": {both(
			refusedTwice(hcstest.OpClose), refusedTwice(hcstest.OpCloseProcess)), 60 * time.Millisecond, false, false},
		"the system crashes meanwhile": {func(h *hcstest.Service) {
			h.OnCall(hcstest.OpShutdown, func(c hcstest.Call) *hcstest.Fault {
				h.Crash(c.ID, libcontainerd.CodeGuestCriticalError)
				return nil
			})
		}, 0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEngine(t, hcs, libcontainerd.WithShutdownTimeout(shutdown), libcontainerd.WithTerminateTimeout(terminate))
				c.prepare(hcs)
				began := time.Now()
				must(t, e.Create("c1", spec("cmd", "/c", "exit 3")))
				exit := e.awaitExit("c1")
				if took := time.Since(began); took != c.took && !(c.roughly && took < c.took) {
					t.Errorf("exit came after %v, want %v", took, c.took)
				}
				if exit.ExitCode != 3 || exit.ExitedAt.After(began) {
					t.Errorf("exit code %d at %v, want 3 at %v", exit.ExitCode, exit.ExitedAt, began)
				}
				if (exit.Err != nil) != c.broken {
					t.Errorf("exit error: %v", exit.Err)
				}
				e.wantEvents(t, "start-container c1", "exit c1 3")
				hcs.Heal()
			})
		})
	}
}

func inject(op hcstest.Op, f hcstest.Fault) func(*hcstest.Service) {
	return func(h *hcstest.Service) { h.Inject(hcstest.Rule{Op: op, Fault: f}) }
}

func once(op hcstest.Op, f hcstest.Fault) func(*hcstest.Service) {
	return func(h *hcstest.Service) { h.Inject(hcstest.Rule{Op: op, Times: 1, Fault: f}) }
}

func refusedTwice(op hcstest.Op) func(*hcstest.Service) {
	return func(h *hcstest.Service) {
		h.Inject(hcstest.Rule{Op: op, Times: 2, Fault: hcstest.Fault{Err: libcontainerd.CodeServiceDisconnect}})
	}
}

func hang(op hcstest.Op) func(*hcstest.Service) { return inject(op, hcstest.Fault{Hang: true}) }

func slow(op hcstest.Op, d time.Duration) func(*hcstest.Service) {
	return inject(op, hcstest.Fault{Delay: d})
}

func both(prepare ...func(*hcstest.Service)) func(*hcstest.Service) {
	return func(h *hcstest.Service) {
		for _, p := range prepare {
			p(h)
		}
	}
}

// Lessons 52, 53, 66, 67, P4, failures 38, 45: the compute system ends first.
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

// With less time left than repetitions take, the error is HCS's all the same.
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
		hcs.Inject(hcstest.Rule{Op: hcstest.OpWait, Times: 1, Fault: hcstest.Fault{Delay: time.Second, Err: libcontainerd.CodeAccessDenied}})
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

// Failure 45: the service goes away while a stop is waited for, the container
// outlives it, and the service is slow to come back.
func TestSystemThatOutlivesTheServiceDuringItsStopIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEngine(t, hcs)
		must(t, e.Create("c1", spec(untilStopped...)))
		stop := hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, Times: 1, Fault: hcstest.Fault{Hang: true}})
		must(t, e.Signal("c1", 15))
		<-stop.Met()
		hcs.LoseService(func(string) bool { return true })
		hcs.Fail(hcstest.OpOpen, "c1", libcontainerd.CodeServiceNotAvailable, libcontainerd.CodeServiceNotAvailable)
		hcs.RestoreService()
		e.awaitExit("c1")
		synctest.Wait()
		for _, s := range list(t, hcs) {
			t.Errorf("left: %v", s)
		}
	})
}

func TestWaitThatFailsDuringTheTeardownIsNoStop(t *testing.T) {
	for name, prepare := range map[string]func(*hcstest.Service){
		"of a container that ended":  func(*hcstest.Service) {},
		"of a container that failed": func(h *hcstest.Service) { h.Fail(hcstest.OpStdio, "c1", libcontainerd.CodeNotFound) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEngine(t, hcs)
				prepare(hcs)
				once(hcstest.OpStop, hcstest.Fault{Hang: true})(hcs) // what was accepted is not done
				once(hcstest.OpWait, hcstest.Fault{Delay: time.Second, Err: libcontainerd.CodeInvalidHandle})(hcs)
				if e.Create("c1", spec("cmd", "/c", "exit 3")) == nil {
					e.awaitExit("c1")
				}
				time.Sleep(3 * time.Minute)
				for _, s := range list(t, hcs) {
					t.Errorf("left: %v", s)
				}
			})
		})
	}
}

// Lesson 52, D18: an exit code that cannot be had is no success.
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

// Lesson 51: a Terminate that was asked for is not followed by a Shutdown.
func TestTerminatedContainerIsNotShutDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", libcontainerd.Process{Args: untilStopped}))
		must(t, e.Signal("c1", 9))
		exit := e.awaitExit("c1")
		if exit.Err != nil || exit.ExitCode == 0 {
			t.Errorf("exit %+v", exit)
		}
		if calls := e.hcs.Calls(hcstest.OpShutdown); len(calls) > 0 {
			t.Errorf("calls %v", calls)
		}
		e.wantEvents(t, "start-container c1", "exit-process c1/p1 1067", "exit c1 1067")
	})
}

// D6, D37: a kill that HCS refuses is an error, and the container goes on.
func TestKillThatIsRefusedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		e.hcs.Fail(hcstest.OpTerminate, "c1", libcontainerd.CodeAccessDenied)
		if err := e.Signal("c1", 9); !errdefs.IsPermissionDenied(err) {
			t.Errorf("got %v", err)
		}
		must(t, e.Signal("c1", 0))
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
		if calls := e.hcs.Calls(hcstest.OpShutdown); len(calls) == 0 {
			t.Error("a kill that failed keeps the container from being shut down")
		}
	})
}

func TestKillGoesThroughASecondHandleWhenTheFirstHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithTerminateTimeout(time.Minute))
		must(t, e.Create("c1", spec(untilStopped...)))
		once(hcstest.OpTerminate, hcstest.Fault{Hang: true})(e.hcs)
		began := time.Now()
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %v", took)
		}
		e.hcs.Heal()
	})
}

// slowPipes is a HCS whose stdin pipes take an hour to close, as a pipe may that
// waits for the I/O that is under way.
type slowPipes struct{ *hcstest.Service }

type slowPipesSystem struct{ libcontainerd.ComputeSystem }

type slowPipesProcess struct{ libcontainerd.ComputeProcess }

type slowPipe struct{ io.WriteCloser }

func (s slowPipes) CreateComputeSystem(id, configuration string) (libcontainerd.ComputeSystem, error) {
	system, err := s.Service.CreateComputeSystem(id, configuration)
	return slowPipesSystem{system}, err
}

func (s slowPipesSystem) CreateProcess(config *libcontainerd.ProcessConfig) (libcontainerd.ComputeProcess, error) {
	process, err := s.ComputeSystem.CreateProcess(config)
	return slowPipesProcess{process}, err
}

func (p slowPipesProcess) Stdio() (stdin io.WriteCloser, stdout, stderr io.ReadCloser, err error) {
	stdin, stdout, stderr, err = p.ComputeProcess.Stdio()
	return slowPipe{stdin}, stdout, stderr, err
}

func (p slowPipe) Close() error {
	time.Sleep(time.Hour)
	return p.WriteCloser.Close()
}

func TestPipesThatAreSlowToCloseHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEngine(t, hcs, libcontainerd.WithComputeService(slowPipes{hcs}))
		began := time.Now()
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 5")))
		must(t, e.AddProcess("c1", "p2", exec(untilStopped...)))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		synctest.Wait()
		e.onState = func(string, libcontainerd.StateInfo) error { return errRefused }
		if err := e.Create("c1", spec(untilStopped...)); !is(errRefused)(err) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		time.Sleep(2 * time.Hour)
	})
}

// HCS tells neither of the end of the process nor of that of the system.
func TestKilledContainerExitsThoughNoNoticeComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithTerminateTimeout(time.Minute))
		hang(hcstest.OpWait)(e.hcs)
		hang(hcstest.OpWaitProcess)(e.hcs)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit-process c1/p1 4294967295", "exit c1 4294967295")
		for _, info := range e.infos["c1"][1:] {
			if !errdefs.IsDeadlineExceeded(info.Err) {
				t.Errorf("%s: %v", info.State, info.Err)
			}
		}
		e.hcs.Heal()
	})
}

// In 2016 such an exit was never reported.
func TestInitThatEndsWhileASignalHangsIsReported(t *testing.T) {
	for sig, op := range map[int]hcstest.Op{9: hcstest.OpTerminate, 15: hcstest.OpShutdown} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, nil)
			must(t, e.Create("c1", spec(untilStopped...)))
			hung := e.hcs.Inject(hcstest.Rule{Op: op, Times: 1, Fault: hcstest.Fault{Hang: true}})
			signalled := make(chan error, 1)
			go func() { signalled <- e.Signal("c1", sig) }()
			<-hung.Met()
			e.hcs.ExitProcess("c1", e.last("c1").Pid, 3)
			if exit := e.awaitExit("c1"); exit.ExitCode != 3 {
				t.Errorf("exit %+v", exit)
			}
			hung.Release()
			must(t, <-signalled)
			e.wantEvents(t, "start-container c1", "exit c1 3")
		})
	}
}

// Lessons 27, 46, D31, D33: an end that takes minutes holds up nobody.
func TestSlowTeardownHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("slow", spec(untilStopped...)))
		must(t, e.Create("other", spec(untilStopped...)))
		e.hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, ID: "slow", Fault: hcstest.Fault{Delay: 4 * time.Minute}})
		e.hcs.Inject(hcstest.Rule{Op: hcstest.OpShutdown, ID: "slow", Fault: hcstest.Fault{Delay: 3 * time.Minute}})
		pid := e.infos["slow"][0].Pid
		e.hcs.ExitProcess("slow", pid, 0)
		synctest.Wait() // the teardown has begun
		began := time.Now()
		if _, err := e.GetPidsForContainer("slow"); err != nil {
			t.Error(err)
		}
		if _, err := e.Summary("slow"); err != nil {
			t.Error(err)
		}
		if err := e.Signal("slow", 0); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("signal 0: %v", err)
		}
		if err := e.AddProcess("slow", "p", libcontainerd.Process{Args: untilStopped}); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("exec: %v", err)
		}
		if err := e.Create("slow", spec("cmd")); !errdefs.IsAlreadyExists(err) {
			t.Errorf("create: %v", err)
		}
		must(t, e.AddProcess("other", "p", libcontainerd.Process{Args: []string{"cmd", "/c", "exit 0"}}))
		must(t, e.Signal("slow", 15))
		must(t, e.Signal("other", 9))
		e.awaitExit("other")
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		e.awaitExit("slow")
	})
}

// Failure 40: output is there after the exit, and what nobody reads is closed
// after a while.
func TestOutputOutlivesItsProcessForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onAttach = func(string, libcontainerd.IOPipe) error { return nil } // nobody reads yet
		must(t, e.Create("c1", spec("cmd", "/c", "echo last words")))
		must(t, e.Create("c2", spec("cmd", "/c", "echo nobody reads this")))
		e.awaitExit("c1")
		e.awaitExit("c2")
		time.Sleep(libcontainerd.DefaultGrace - time.Second)
		buf := make([]byte, 100)
		n, err := e.pipe("c1").Stdout.Read(buf)
		if err != nil || strings.TrimSpace(string(buf[:n])) != "last words" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		time.Sleep(2 * time.Second)
		if n, err := e.pipe("c2").Stdout.Read(buf); err == nil {
			t.Errorf("after the grace read %q, %v", buf[:n], err)
		}
	})
}

func TestOutputStaysOpenForAsLongAsItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onAttach = func(string, libcontainerd.IOPipe) error { return nil }
		const text = "a long text that is read slowly"
		must(t, e.Create("c1", spec("cmd", "/c", "echo "+text)))
		e.awaitExit("c1")
		var got strings.Builder
		buf := make([]byte, 1)
		for {
			n, err := e.pipe("c1").Stdout.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				break
			}
			time.Sleep(libcontainerd.DefaultGrace / 2)
		}
		if strings.TrimSpace(got.String()) != text {
			t.Errorf("read %q", got.String())
		}
	})
}
