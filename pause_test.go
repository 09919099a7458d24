package libcontainerd_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A container is paused and resumed, each when it may be. See lessons_test.go: 57.
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

// Only that a signal has resumed it makes Resume of a container that runs succeed.
func TestResumeOfAContainerThatRunsIsRefusedOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", hyperv(untilStopped...)))
		must(t, errors.Join(e.Pause("c1"), e.Resume("c1")))
		if err := e.Resume("c1"); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("got %v", err)
		}
		must(t, e.Signal("c1", 9))
		e.wantExit(t, "c1", time.Hour)
	})
}

// If HCS pauses a container after Pause gave up, the client undoes it. If HCS resumes
// one after Resume gave up, the client reports it.
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

// hcsshim gives up a pause or a resume after four minutes, HCS does not.
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

// pauses and resumes make the call of which the answer is under test.
func pauses(e *engine, id string) error { return e.Pause(id) }

func resumes(e *engine, id string) error {
	e.hcs.Fail(hcstest.OpPause, id, nil)
	if err := e.Pause(id); err != nil {
		return err
	}
	return e.Resume(id)
}

// doubt has HCS pause a container although hcsshim reports a timeout.
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

// A handle may receive the late notification of a pause that was given up, and take it
// for the next one.
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

// One pause or resume goes on at a time, also when one that was given up is answered
// meanwhile.
func TestLateAnswerLetsNoThirdSwitchBegin(t *testing.T) {
	for name, answer := range map[string]error{"refused late": libcontainerd.CodeAccessDenied, "done late": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil, libcontainerd.WithCallTimeout(time.Minute))
				must(t, e.Create("c1", hyperv(untilStopped...)))
				must(t, e.Pause("c1"))
				first := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpResume, Times: 1, Fault: hcstest.Fault{Hang: true, Err: answer}})
				if err := e.Resume("c1"); !errdefs.IsDeadlineExceeded(err) {
					t.Errorf("first resume: %v", err)
				}
				second := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpResume, Times: 1, Fault: hcstest.Fault{Hang: true}})
				answered := make(chan error, 2)
				go func() { answered <- e.Resume("c1") }()
				<-second.Met()
				first.Release() // its answer comes late
				synctest.Wait()
				third := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpResume, Times: 1, Fault: hcstest.Fault{Hang: true}})
				pause := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpPause, Times: 1, Fault: hcstest.Fault{Hang: true}})
				go func() { answered <- e.Resume("c1") }()
				go func() { e.Pause("c1") }()
				synctest.Wait()
				if third.Hits() > 0 || pause.Hits() > 0 {
					t.Errorf("beside a resume begin %d others and %d pauses", third.Hits(), pause.Hits())
				}
				third.Release()
				pause.Release()
				second.Release()
				<-answered
				<-answered
				time.Sleep(time.Hour)
				must(t, e.Signal("c1", 9))
				e.wantExit(t, "c1", time.Hour)
				e.checkOrder(t)
			})
		})
	}
}

// The engine of 2016 sends 15 to a paused container, and then resumes it.
func TestResumeAfterASignalThatResumed(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*hcstest.Service)
		wait    time.Duration
	}{
		"while it runs":         {slow(hcstest.OpStop, time.Minute), time.Second},
		"while its end goes on": {slow(hcstest.OpStop, time.Minute), 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				must(t, e.Create("c1", hyperv(untilStopped...)))
				must(t, e.Pause("c1"))
				c.prepare(e.hcs)
				must(t, e.Signal("c1", 15))
				time.Sleep(c.wait)
				if c.wait > time.Second {
					e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
					time.Sleep(time.Second)
				}
				for range 2 {
					if err := e.Resume("c1"); err != nil {
						t.Errorf("resume: %v", err)
					}
				}
				exit := e.wantExit(t, "c1", time.Hour)
				if exit.Err != nil {
					t.Errorf("exit %+v", exit)
				}
				if n := e.count("resume c1"); n != 1 {
					t.Errorf("%d resumes: %q", n, e.events())
				}
				if n := len(e.hcs.Calls(hcstest.OpResume)); n != 1 {
					t.Errorf("HCS was asked %d times to resume", n)
				}
			})
		})
	}
}

// While Restore reports an exit, its container has no document yet: Pause and Resume
// refuse, and do not panic.
func TestPauseOfAContainerThatWasNeverPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, hcstest.New(t))
		told := make(chan struct{})
		e.onState = func(string, libcontainerd.StateInfo) error {
			<-told // while it is, the exit of the next life waits for a moment
			return nil
		}
		go e.Restore("c1")
		synctest.Wait()
		restored := make(chan error)
		go func() { restored <- e.Restore("c1") }()
		time.Sleep(10 * time.Millisecond)
		for name, call := range map[string]func(string) error{"pause": e.Pause, "resume": e.Resume} {
			if err := call("c1"); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		close(told)
		must(t, <-restored)
	})
}
