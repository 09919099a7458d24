package libcontainerd_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Signal returns an error if HCS did not take the signal. See lessons_test.go: 48, 61, D34, P8.
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

// A signal to a container that has stopped already is a success. See
// lessons_test.go: 35, 49, 50.
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

// A container that is signalled before it runs never does.
func TestSignalEndsACreateThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		hung := e.hcs.Hang(hcstest.OpStart, "c1")
		created := make(chan error, 1)
		go func() { created <- e.Create("c1", spec(untilStopped...)) }()
		<-hung.Met()
		if err := e.Signal("c1", 0); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("a container in creation runs: %v", err)
		}
		must(t, e.Signal("c1", 9))
		hung.Release()
		if err := <-created; !errdefs.IsAborted(err) {
			t.Errorf("got %v", err)
		}
		e.wantEvents(t)
	})
}

// A signal to a paused container whose Resume is under way waits for it.
func TestSignalWaitsForAResumeThatIsUnderWay(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		want   []string // after the pause
	}{
		"it succeeds": {nil, []string{"resume c1", "exit c1 3221225786"}},
		"it fails":    {libcontainerd.CodeAccessDenied, []string{"resume c1", "exit c1 3221225786"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				must(t, e.Create("c1", hyperv(untilStopped...)))
				must(t, e.Pause("c1"))
				hung := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpResume, Times: 1, Fault: hcstest.Fault{Hang: true, Err: c.answer}})
				resumed, signalled := make(chan error, 1), make(chan error, 1)
				go func() { resumed <- e.Resume("c1") }()
				<-hung.Met()
				go func() { signalled <- e.Signal("c1", 15) }()
				time.Sleep(time.Second)
				hung.Release()
				if err := <-signalled; err != nil {
					t.Errorf("signal: %v", err)
				}
				if err := <-resumed; !errors.Is(err, c.answer) {
					t.Errorf("resume: %v", err)
				}
				e.hears("exit c1", 1, time.Minute)
				e.wantEvents(t, append([]string{"start-container c1", "pause c1"}, c.want...)...)
				e.Signal("c1", 9)
				e.wantExit(t, "c1", time.Hour)
			})
		})
	}
}

// Signal shuts a container down although others pause it meanwhile.
func TestShutdownAmongPauses(t *testing.T) {
	for name, c := range map[string]struct {
		op      hcstest.Op // that is under way when Signal is called
		resumed func(e *engine)
	}{
		"a pause that HCS has made but not answered": {op: hcstest.OpPause},
		"a resume, and a pause as soon as it is told": {
			op:      hcstest.OpResume,
			resumed: func(e *engine) { e.Pause("c1") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEngine(t, hcs)
				e.onState = func(_ string, info libcontainerd.StateInfo) error {
					if info.State == libcontainerd.StateResume && c.resumed != nil {
						c.resumed(e)
					}
					return nil
				}
				must(t, e.Create("c1", hyperv(untilStopped...)))
				if c.op == hcstest.OpResume {
					must(t, e.Pause("c1"))
				}
				once(c.op, hcstest.Fault{Delay: time.Second, Done: true})(hcs)
				slow(hcstest.OpShutdown, time.Second)(hcs)
				go map[hcstest.Op]func(string) error{hcstest.OpPause: e.Pause, hcstest.OpResume: e.Resume}[c.op]("c1")
				synctest.Wait()
				must(t, e.Signal("c1", 15))
				e.wantExit(t, "c1", 10*time.Second)
				e.Signal("c1", 9)
			})
		})
	}
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

// A kill that HCS refuses is an error, and the container goes on. See
// lessons_test.go: D6, D37.
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

// A kill that was refused does not undo another one that was accepted: the end of the
// container is not a crash.
func TestRefusedKillTakesBackNoOther(t *testing.T) {
	for name, refusedLast := range map[string]bool{"refused after": true, "refused before": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				inject(hcstest.OpWait, hcstest.Fault{Err: libcontainerd.CodeUnexpectedExit, Done: true})(e.hcs)
				slow(hcstest.OpStop, time.Second)(e.hcs)
				must(t, e.Create("c1", spec(untilStopped...)))
				wait := 100 * time.Millisecond
				once(hcstest.OpTerminate, hcstest.Fault{Delay: wait, Err: libcontainerd.CodeAccessDenied})(e.hcs)
				first := make(chan error, 1)
				go func() { first <- e.Signal("c1", 9) }()
				synctest.Wait()
				if !refusedLast {
					time.Sleep(2 * wait)
				}
				must(t, e.Signal("c1", 9))
				if err := <-first; !errdefs.IsPermissionDenied(err) {
					t.Errorf("first kill: %v", err)
				}
				if exit := e.wantExit(t, "c1", time.Hour); exit.Err != nil || exit.ExitCode != 1067 {
					t.Errorf("a clean kill is reported as %+v", exit)
				}
			})
		})
	}
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

// HCS reports neither the end of the process nor the end of the system.
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

// A container that was killed during its bring-up is ended once, by that bring-up.
func TestKilledContainerWhoseBringUpIsNotOverIsEndedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithTerminateTimeout(time.Minute))
		untold(e.hcs)
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			if info.State != libcontainerd.StateStart {
				return nil
			}
			must(t, e.Signal("c1", 9))
			time.Sleep(10 * time.Minute)
			if state, err := e.State("c1"); err != nil || state == libcontainerd.StatusRestarting {
				t.Errorf("while the start is announced it is %q, %v", state, err)
			}
			return errRefused
		}
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
		if err := e.Create("c1", spec(untilStopped...), libcontainerd.WithRestartManager(rm)); !is(errRefused)(err) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Hour)
		if len(rm.asked) > 0 {
			t.Errorf("the restart manager was asked about exits %v of a container that never ran", rm.asked)
		}
		e.wantEvents(t, "start-container c1")
		e.hcs.Heal()
	})
}

// However often a container is killed, one goroutine waits for its end.
func TestKillsLeaveNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		stop := e.hcs.Hang(hcstest.OpStop, "c1")
		must(t, e.Signal("c1", 9))
		synctest.Wait()
		before := runtime.NumGoroutine()
		for range 100 {
			must(t, e.Signal("c1", 9))
		}
		synctest.Wait()
		// Each request to stop leaves one in the simulator.
		simulated := strings.Count(stacks(), "hcstest.(*system).stop.func1(")
		if n := runtime.NumGoroutine() - before - simulated; n > 10 {
			t.Errorf("100 more kills left %d goroutines", n)
		}
		stop.Release()
		e.wantExit(t, "c1", time.Hour)
	})
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
