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

// Lessons 19, 37, D38, failure 37.
func TestResizeTellsWidthFromHeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := make(chan [2]uint16, 1)
		hcs := hcstest.New(t, hcstest.WithProgram("console", func(p *hcstest.Process) uint32 {
			<-p.Resized()
			width, height := p.ConsoleSize()
			sizes <- [2]uint16{width, height}
			return 0
		}))
		e := newEngine(t, hcs)
		s := spec("console")
		s.Process.Terminal = true
		must(t, e.Create("c1", s))
		must(t, e.Resize("c1", "init", 160, 50))
		if got := <-sizes; got != [2]uint16{160, 50} {
			t.Errorf("console is %v, want 160 wide and 50 high", got)
		}
		e.awaitExit("c1")
	})
}

func TestResizeThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		for _, c := range []struct {
			process       string
			width, height int
			kind          func(error) bool
			text          string
		}{
			{"init", 0, 25, errdefs.IsInvalidArgument, "width"},
			{"init", 80, 0, errdefs.IsInvalidArgument, "height"},
			{"init", -1, 25, errdefs.IsInvalidArgument, "width"},
			{"init", 80, 65536, errdefs.IsInvalidArgument, "65536"},
			{"nosuch", 80, 25, errdefs.IsNotFound, "nosuch"},
		} {
			err := e.Resize("c1", c.process, c.width, c.height)
			if !c.kind(err) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "c1") {
				t.Errorf("resize %s to %d × %d: %v", c.process, c.width, c.height, err)
			}
		}
		if calls := e.hcs.Calls(hcstest.OpResizeConsole); len(calls) > 0 {
			t.Errorf("HCS was asked: %v", calls)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// Lesson 57.
func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", hyperv(untilStopped...)))
		if err := e.Resume("c1"); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("resume of a running container: %v", err)
		}
		must(t, e.Pause("c1"))
		if err := e.Pause("c1"); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("pause of a paused container: %v", err)
		}
		if err := e.AddProcess("c1", "p1", exec("cmd")); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("exec in a paused container: %v", err)
		}
		must(t, e.Resume("c1"))
		must(t, e.Pause("c1"))
		must(t, e.Signal("c1", 15)) // it must run to shut down
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "pause c1", "resume c1", "pause c1", "resume c1", "exit c1 3221225786")

		must(t, e.Create("c2", hyperv(untilStopped...)))
		must(t, e.Pause("c2"))
		must(t, e.Signal("c2", 9))
		e.awaitExit("c2")
	})
}

func TestProcessIsolationCannotPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		for _, call := range []func(string) error{e.Pause, e.Resume} {
			if err := call("c1"); !errdefs.IsNotImplemented(err) {
				t.Errorf("got %v", err)
			}
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

// T14: what HCS does after the client gave up is undone or reported.
func TestPauseAndResumeThatComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithCallTimeout(time.Minute))
		must(t, e.Create("c1", hyperv(untilStopped...)))

		late := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpPause, Times: 1, Fault: hcstest.Fault{Hang: true}})
		if err := e.Pause("c1"); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		late.Release()
		synctest.Wait()
		e.wantEvents(t, "start-container c1")
		if s := list(t, e.hcs); s[0].State != "Running" {
			t.Errorf("system is %v", s)
		}

		must(t, e.Pause("c1"))
		late = e.hcs.Inject(hcstest.Rule{Op: hcstest.OpResume, Times: 1, Fault: hcstest.Fault{Hang: true}})
		if err := e.Resume("c1"); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		late.Release()
		synctest.Wait()
		e.wantEvents(t, "start-container c1", "pause c1", "resume c1")
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 0")))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// T4, T14: hcsshim gives a pause or a resume up after four minutes, HCS does not.
func TestPauseAndResumeThatHcsshimGaveUp(t *testing.T) {
	for name, c := range map[string]struct {
		op   func(*engine, string) error // that is given up
		then func(*engine) error
		want []string // after the start
	}{
		"pause, resume": {pauses, func(e *engine) error { return e.Resume("c1") }, []string{"pause c1", "resume c1"}},
		"pause, signal": {pauses, func(e *engine) error { return e.Signal("c1", 15) }, []string{"pause c1", "resume c1", "exit c1 3221225786"}},
		"pause, exec": {pauses, func(e *engine) error {
			if err := e.AddProcess("c1", "p1", exec("cmd")); !errdefs.IsFailedPrecondition(err) {
				return fmt.Errorf("exec: %w", err)
			}
			return nil
		}, []string{"pause c1"}},
		"resume, pause":  {resumes, func(e *engine) error { return e.Pause("c1") }, []string{"pause c1", "resume c1", "pause c1"}},
		"resume, signal": {resumes, func(e *engine) error { return e.Signal("c1", 15) }, []string{"pause c1", "resume c1", "exit c1 3221225786"}},
		"resume, exec": {resumes, func(e *engine) error {
			return e.AddProcess("c1", "p1", exec("ping", "-t", "localhost"))
		}, []string{"pause c1", "resume c1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				must(t, e.Create("c1", hyperv(untilStopped...)))
				both(gaveUp(hcstest.OpPause), gaveUp(hcstest.OpResume))(e.hcs)
				if err := c.op(e, "c1"); !errdefs.IsDeadlineExceeded(err) {
					t.Errorf("got %v", err)
				}
				e.hcs.Heal()
				must(t, c.then(e))
				synctest.Wait()
				e.wantEvents(t, append([]string{"start-container c1"}, c.want...)...)
				if err := e.Signal("c1", 9); err != nil && !errdefs.IsNotFound(err) {
					t.Error(err)
				}
				e.awaitExit("c1")
			})
		})
	}
}

// gaveUp has HCS do what hcsshim gives up.
func gaveUp(op hcstest.Op) func(*hcstest.Service) {
	return once(op, hcstest.Fault{Err: libcontainerd.CodeOperationTimeout, Done: true})
}

// doubt has HCS pause a container in spite of what hcsshim says.
func doubt(t *testing.T, e *engine, id string) {
	t.Helper()
	gaveUp(hcstest.OpPause)(e.hcs)
	if err := e.Pause(id); !errdefs.IsDeadlineExceeded(err) {
		t.Errorf("got %v", err)
	}
}

func TestStateThatAnotherCallHasOvertakenCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", hyperv(untilStopped...)))
		doubt(t, e, "c1")
		stale := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpList, Times: 1, Fault: hcstest.Fault{Hang: true, Done: true}})
		added := make(chan error)
		go func() { added <- e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 0")) }()
		<-stale.Met()
		must(t, e.Resume("c1"))
		stale.Release()
		must(t, <-added)
		e.await("exit-process", 1)
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "pause c1", "resume c1", "exit-process c1/p1 0", "exit c1 3221225786")
	})
}

// A resume that was given up may come after a pause that went well.
func TestResumeThatOvertakesAPauseIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", hyperv(untilStopped...)))
		must(t, e.Pause("c1"))
		gaveUp(hcstest.OpResume)(e.hcs)
		if err := e.Resume("c1"); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		must(t, e.Pause("c1"))
		system, err := e.hcs.OpenComputeSystem("c1")
		must(t, err)
		must(t, errors.Join(system.Resume(), system.Close()))
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "pause c1", "resume c1", "pause c1", "resume c1", "exit c1 3221225786")
	})
}

// T14: the handle may get the notification of the pause that was given up.
func TestHandleOfACallThatWasGivenUpIsNotUsedForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", hyperv(untilStopped...)))
		doubt(t, e, "c1")
		must(t, errors.Join(e.Resume("c1"), e.Pause("c1")))
		if n := len(e.hcs.Calls(hcstest.OpOpen)); n != 2 {
			t.Errorf("%d handles were opened, want 2", n)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

func TestLatePauseThatCannotBeUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithCallTimeout(time.Minute))
		must(t, e.Create("c1", hyperv(untilStopped...)))
		late := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpPause, Times: 1, Fault: hcstest.Fault{Hang: true}})
		if err := e.Pause("c1"); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		e.hcs.Fail(hcstest.OpResume, "c1", libcontainerd.CodeAccessDenied)
		late.Release()
		synctest.Wait()
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "pause c1", "resume c1", "exit c1 3221225786")
	})
}

func TestKillThatIsRefusedTakesNoneBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		inject(hcstest.OpWait, hcstest.Fault{Err: libcontainerd.CodeUnexpectedExit, Done: true})(e.hcs)
		slow(hcstest.OpStop, time.Second)(e.hcs)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.Signal("c1", 9))
		e.hcs.Fail(hcstest.OpTerminate, "c1", libcontainerd.CodeAccessDenied)
		if err := e.Signal("c1", 9); !errdefs.IsPermissionDenied(err) {
			t.Errorf("got %v", err)
		}
		if exit := e.awaitExit("c1"); exit.Err != nil {
			t.Errorf("exit error %v", exit.Err)
		}
	})
}

func pauses(e *engine, id string) error { return e.Pause(id) }

func resumes(e *engine, id string) error {
	e.hcs.Fail(hcstest.OpPause, id, nil)
	if err := e.Pause(id); err != nil {
		return err
	}
	return e.Resume(id)
}

// The handle stays open while a late pause is undone.
func TestContainerEndsWhileALatePauseIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithCallTimeout(time.Minute))
		must(t, e.Create("c1", hyperv(untilStopped...)))
		late := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpPause, Times: 1, Fault: hcstest.Fault{Hang: true, Done: true}})
		if err := e.Pause("c1"); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		slow(hcstest.OpResume, time.Second)(e.hcs)
		late.Release()
		synctest.Wait()
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

// Lessons 35, 49, 50, 79060e8212: what has stopped already is stopped.
func TestSignalOfWhatStopsAlready(t *testing.T) {
	for _, code := range []libcontainerd.Code{
		libcontainerd.CodeAlreadyStopped, 0x80370110, libcontainerd.CodeNotFound, libcontainerd.CodeSystemNotFound,
		libcontainerd.CodeShutdownInProgress, libcontainerd.CodeOperationPending,
	} {
		for sig, op := range map[int]hcstest.Op{9: hcstest.OpTerminate, 15: hcstest.OpShutdown} {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				must(t, e.Create("c1", spec(untilStopped...)))
				once(op, hcstest.Fault{Err: code, Done: true})(e.hcs)
				if err := e.Signal("c1", sig); err != nil {
					t.Errorf("signal %d answered with %v: %v", sig, code, err)
				}
				e.awaitExit("c1")
			})
		}
	}
}

// Lessons 48, 61, D34, P8: Signal tells when nothing was signalled.
func TestSignalReturnsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		e.hcs.Fail(hcstest.OpShutdown, "c1", libcontainerd.CodeProcNotFound)
		if err := e.Signal("c1", 15); !is(libcontainerd.CodeProcNotFound)(err) {
			t.Errorf("got %v", err)
		}
		if err := e.Signal("c1", -9); !errdefs.IsInvalidArgument(err) {
			t.Errorf("got %v", err)
		}
		must(t, e.Signal("c1", 0))
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
	})
}

// Lessons 58, 790bcae4c, D41.
func TestStatsAreHCSs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		s := spec(untilStopped...)
		s.Windows.Networking = &libcontainerd.Networking{EndpointList: []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"}}
		must(t, e.Create("c1", s))
		time.Sleep(time.Minute)
		stats, err := e.Stats("c1")
		must(t, err)
		if stats.Uptime != time.Minute || stats.Read.IsZero() || stats.Memory.UsageCommitBytes == 0 ||
			len(stats.Network) != 1 || stats.Network[0].EndpointId != "f742124c-1ea8-49c4-9a56-23b9de216ca1" {
			t.Errorf("stats %+v", stats)
		}
		e.hcs.Fail(hcstest.OpStatistics, "c1", libcontainerd.CodeAccessDenied)
		if stats, err := e.Stats("c1"); !errdefs.IsPermissionDenied(err) || stats != nil {
			t.Errorf("got %v, %v", stats, err)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// D39, D40: init first, then exec'd processes in their order, then the others.
func TestSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "z", exec("timeout", "/t", "1000")))
		must(t, e.AddProcess("c1", "a", exec("more")))
		list, err := e.Summary("c1")
		must(t, err)
		pids, err := e.GetPidsForContainer("c1")
		must(t, err)
		if len(pids) != 3 || len(list) <= 3 {
			t.Fatalf("pids %v, summary %+v", pids, list)
		}
		for i, command := range []string{"ping", "timeout /t 1000", "more"} {
			if list[i].Command != command || int(list[i].Pid) != pids[i] || list[i].ImageName == "" || list[i].CreatedAt.IsZero() {
				t.Errorf("entry %d: %+v, want %s with pid %d", i, list[i], command, pids[i])
			}
		}
		for _, other := range list[3:] {
			if other.Command == "" || other.Command != other.ImageName {
				t.Errorf("other process %+v", other)
			}
		}
		e.hcs.Fail(hcstest.OpProcessList, "c1", libcontainerd.CodeInvalidState, libcontainerd.CodeTimeout)
		if list, err := e.Summary("c1"); err != nil || len(list) != 3 {
			t.Errorf("while HCS does not tell: %v, %v", list, err)
		}
		if _, err := e.Summary("c1"); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// D42: HCS changes none of these while the container runs, and the client says so.
func TestUpdateResourcesSaysWhatCannotBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		zero, one := uint64(0), uint64(1)
		none := int64(0)
		for _, empty := range []libcontainerd.Resources{
			{},
			{CPU: &libcontainerd.CPU{Shares: &zero, Percent: &none}, Memory: &libcontainerd.Memory{}, Storage: &libcontainerd.Storage{}, Network: &libcontainerd.Network{}},
		} {
			must(t, e.UpdateResources("c1", empty))
		}
		err := e.UpdateResources("c1", libcontainerd.Resources{
			CPU:     &libcontainerd.CPU{Shares: &one, Count: &one},
			Storage: &libcontainerd.Storage{Iops: &one},
			Network: &libcontainerd.Network{Bandwidth: &one},
		})
		if !errdefs.IsNotImplemented(err) {
			t.Errorf("got %v", err)
		}
		for _, field := range []string{"cpu.shares", "cpu.count", "storage.iops", "network.bandwidth"} {
			if err != nil && !strings.Contains(err.Error(), field) {
				t.Errorf("%s is not named: %v", field, err)
			}
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}
