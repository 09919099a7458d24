package libcontainerd_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A signal during a reattach ends the container, as one during a Create does.
func TestSignalDuringAReattachEndsTheContainer(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpOpen, hcstest.OpOpenProcess, hcstest.OpStdio} {
		for _, sig := range []int{9, 15} {
			t.Run(fmt.Sprintf("%s/%d", op, sig), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hcs := hcstest.New(t)
					s := hyperv(untilStopped...)
					pid := orphan(t, hcs, "c1", s)
					e := newEngine(t, hcs)
					hung := hcs.Inject(hcstest.Rule{Op: op, Times: 1, Fault: hcstest.Fault{Hang: true}})
					restored := make(chan error, 1)
					go func() { restored <- e.Restore("c1", libcontainerd.WithReattach(s, pid)) }()
					<-hung.Met()
					must(t, e.Signal("c1", sig))
					hung.Release()
					if err := <-restored; err != nil {
						t.Errorf("restore: %v", err)
					}
					exit := e.wantExit(t, "c1", time.Minute)
					if exit.ExitCode != libcontainerd.RestoreExitCode || exit.Err != nil {
						t.Errorf("exit %+v", exit)
					}
					time.Sleep(time.Minute)
					e.wantEvents(t, "exit c1 2147483648")
					if systems := list(t, hcs); len(systems) > 0 {
						t.Errorf("left: %v", systems)
					}
					if _, err := e.State("c1"); !errdefs.IsNotFound(err) {
						t.Errorf("the id is not free: %v", err)
					}
					endAll(t, hcs)
				})
			})
		}
	}
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

// A kill that was refused does not take back another one that was accepted: the end
// that this one brings about is no crash.
func TestRefusedKillTakesBackNoOther(t *testing.T) {
	for name, refusedLast := range map[string]bool{"refused after": true, "refused before": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				inject(hcstest.OpWait, hcstest.Fault{Err: libcontainerd.CodeUnexpectedExit, Done: true})(e.hcs)
				slow(hcstest.OpStop, time.Second)(e.hcs)
				must(t, e.Create("c1", spec(untilStopped...)))
				wait := 100 * time.Millisecond
				e.hcs.Inject(hcstest.Rule{Op: hcstest.OpTerminate, Times: 1, Fault: hcstest.Fault{Delay: wait, Err: libcontainerd.CodeAccessDenied}})
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

// A container that was killed during its bring-up is ended once, by that bring-up.
func TestKilledContainerWhoseBringUpIsNotOverIsEndedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithTerminateTimeout(time.Minute))
		both(hang(hcstest.OpWait), hang(hcstest.OpWaitProcess))(e.hcs)
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

// However often a container is killed, what looks after its end is one goroutine.
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

// stacks are those of all goroutines.
func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
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

// checkOrder fails the test unless pauses and resumes alternate.
func (e *engine) checkOrder(t *testing.T) {
	t.Helper()
	last := "resume"
	for _, line := range e.events() {
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "pause", "resume":
			if word == last {
				t.Errorf("%s follows a %s: %q", word, last, e.events())
			}
			last = word
		case "start-container", "restore":
			last = "resume"
		}
	}
}

// Signal ends a restart also while the restart manager is being asked about it.
func TestSignalWhileTheRestartManagerIsAsked(t *testing.T) {
	for _, sig := range []int{9, 15} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, nil)
			asked, answer := make(chan bool), make(chan bool)
			rm := &restartManager{answers: []func() (bool, chan error, error){func() (bool, chan error, error) {
				close(asked)
				<-answer
				return true, closedChannel(), nil
			}}}
			must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
			<-asked
			must(t, e.Signal("c1", sig))
			close(answer)
			exit := e.wantExit(t, "c1", time.Hour)
			if exit.ExitCode != 4 || e.count("start-container") != 1 {
				t.Errorf("signal %d: events %q", sig, e.events())
			}
		})
	}
}

// restartManager2016 waits as the one of 2016 does: its goroutine sends what ended
// the wait on a channel without a buffer.
type restartManager2016 struct {
	answer chan error
	cancel chan struct{}
	ended  chan struct{} // closed when its goroutine has ended
	wait   time.Duration
	asked  bool
}

func newRestartManager2016(wait time.Duration) *restartManager2016 {
	return &restartManager2016{answer: make(chan error), cancel: make(chan struct{}), ended: make(chan struct{}), wait: wait}
}

var errRestartCancelled = errors.New("restart cancelled")

func (rm *restartManager2016) ShouldRestart(uint32) (bool, chan error, error) {
	if rm.asked {
		return false, nil, nil
	}
	rm.asked = true
	go func() {
		defer close(rm.ended)
		timer := time.NewTimer(rm.wait)
		defer timer.Stop()
		select {
		case <-rm.cancel:
			rm.answer <- errRestartCancelled
			close(rm.answer)
		case <-timer.C:
			close(rm.answer)
		}
	}()
	return true, rm.answer, nil
}

func (rm *restartManager2016) Cancel() error {
	close(rm.cancel)
	return nil
}

// What a restart manager sends after a cancel is taken from it.
func TestCancelledRestartManagerIsHeardOut(t *testing.T) {
	for _, sig := range []int{9, 15} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, nil)
			rm := newRestartManager2016(time.Hour)
			must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
			e.await("restart c1 4", 1)
			synctest.Wait()
			must(t, e.Signal("c1", sig))
			exit := e.wantExit(t, "c1", time.Minute)
			if exit.ExitCode != 4 || exit.Err != nil && !is(errRestartCancelled)(exit.Err) {
				t.Errorf("signal %d: exit %+v", sig, exit)
			}
			time.Sleep(time.Minute)
			select {
			case <-rm.ended:
			case _, sent := <-rm.answer:
				if sent {
					t.Errorf("signal %d: nobody had taken the answer", sig)
				}
				<-rm.ended
			}
		})
	}
}
