package libcontainerd_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestRestartManagerStartsTheContainerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		rm := &restartManager{answers: []func() (bool, chan error, error){
			restartWith(closedChannel()),
			restartWith(nil), // a nil channel lets it begin at once, too
		}}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		e.awaitExit("c1")
		e.wantEvents(t,
			"start-container c1", "restart c1 4",
			"start-container c1", "restart c1 4",
			"start-container c1", "exit c1 4")
		if len(rm.asked) != 3 {
			t.Errorf("asked about exits %v", rm.asked)
		}
	})
}

// From the second start on HCS flushes writes while the container boots. See
// lessons_test.go: 22, D22.
func TestRestartIsNoFirstStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
		s := spec("cmd", "/c", "exit 4")
		s.Windows.FirstStart = true
		must(t, e.Create("c1", s, libcontainerd.WithRestartManager(rm)))
		e.awaitExit("c1")
		creates := e.hcs.Calls(hcstest.OpCreate)
		first, second := creates[0].Document, creates[1].Document
		if !strings.Contains(first, `"IgnoreFlushesDuringBoot":true`) {
			t.Errorf("first document %s", first)
		}
		if want := strings.Replace(first, `"IgnoreFlushesDuringBoot":true`, `"IgnoreFlushesDuringBoot":false`, 1); second != want {
			t.Errorf("second document %s", second)
		}
	})
}

// The client holds no lock when it calls the restart manager. See lessons_test.go: D21.
func TestRestartManagerMayCallTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		use := func() {
			e.Signal("c1", 0)
			e.Summary("c1")
			e.Restore("c1")
		}
		wait := make(chan error)
		rm := &restartManager{
			answers: []func() (bool, chan error, error){func() (bool, chan error, error) {
				use()
				return true, wait, nil
			}},
			onCancel: use,
		}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		e.await("restart c1", 1)
		synctest.Wait()
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "restart c1 4", "exit c1 4")
	})
}

func TestWhileARestartIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		wait := make(chan error)
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(wait)}}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		e.await("restart c1", 1)
		synctest.Wait()

		if pids, err := e.GetPidsForContainer("c1"); err != nil || len(pids) != 0 {
			t.Errorf("pids %v, %v", pids, err)
		}
		if list, err := e.Summary("c1"); err != nil || len(list) != 0 {
			t.Errorf("summary %v, %v", list, err)
		}
		for name, call := range map[string]func() error{
			"stats":    func() error { _, err := e.Stats("c1"); return err },
			"resize":   func() error { return e.Resize("c1", "init", 80, 25) },
			"exec":     func() error { return e.AddProcess("c1", "p", libcontainerd.Process{Args: untilStopped}) },
			"signal 0": func() error { return e.Signal("c1", 0) },
		} {
			if err := call(); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := e.Create("c1", spec("cmd")); !errdefs.IsAlreadyExists(err) {
			t.Errorf("create: %v", err)
		}

		must(t, e.Signal("c1", 15))
		exit := e.awaitExit("c1")
		if rm.cancelled != 1 || exit.ExitCode != 4 || exit.Pid == 0 || exit.ProcessID != "init" {
			t.Errorf("cancelled %d times, exit %+v", rm.cancelled, exit)
		}
		e.wantEvents(t, "start-container c1", "restart c1 4", "exit c1 4")
	})
}

func TestRestartThatIsNotToBe(t *testing.T) {
	refusal := errors.New("restarted too often")
	failed := make(chan error, 1)
	failed <- refusal
	for name, answer := range map[string]func() (bool, chan error, error){
		"no":                     func() (bool, chan error, error) { return false, nil, nil },
		"the manager fails":      func() (bool, chan error, error) { return true, closedChannel(), refusal },
		"the wait ends in error": restartWith(failed),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				rm := &restartManager{answers: []func() (bool, chan error, error){answer}}
				must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
				e.awaitExit("c1")
				if got := e.events(); got[len(got)-1] != "exit c1 4" {
					t.Errorf("events %q", got)
				}
			})
		})
	}
}

// If a restart fails, the container exits. See lessons_test.go: 31, D22.
func TestRestartThatFailsIsAnExit(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*engine)
		want    error
	}{
		"create": {func(e *engine) {
			e.hcs.Inject(hcstest.Rule{Op: hcstest.OpCreate, Skip: 1, Fault: hcstest.Fault{Err: libcontainerd.CodeImageMismatch}})
		}, libcontainerd.CodeImageMismatch},
		"start": {func(e *engine) {
			e.hcs.Inject(hcstest.Rule{Op: hcstest.OpStart, Skip: 1, Fault: hcstest.Fault{Err: libcontainerd.CodeUnexpectedExit}})
		}, libcontainerd.CodeUnexpectedExit},
		"attach": {func(e *engine) {
			e.onAttach = func(string, libcontainerd.IOPipe) error {
				if len(e.events()) > 1 {
					return errRefused
				}
				return nil
			}
		}, errRefused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				c.prepare(e)
				rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
				must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
				exit := e.awaitExit("c1")
				if exit.ExitCode != libcontainerd.UnknownExitCode || exit.Pid != 0 || exit.ProcessID != "init" || !errors.Is(exit.Err, c.want) {
					t.Errorf("exit %+v", exit)
				}
				e.wantEvents(t, "start-container c1", "restart c1 4", "exit c1 4294967295")
				if len(rm.asked) != 1 {
					t.Errorf("asked about exits %v", rm.asked)
				}
			})
		})
	}
}

func TestSignalEndsARestartThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
		hung := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpStart, Skip: 1, Fault: hcstest.Fault{Hang: true}})
		must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		<-hung.Met()
		must(t, e.Signal("c1", 9))
		hung.Release()
		exit := e.awaitExit("c1")
		if exit.ExitCode != 4 || exit.Err != nil {
			t.Errorf("exit %+v", exit)
		}
		e.wantEvents(t, "start-container c1", "restart c1 4", "exit c1 4")
	})
}

// The client could not end the former life of a container. Once HCS has given the id to
// the next life, the client does not look for the former one.
func TestRestartForgetsWhatItsFormerLifeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		wait := make(chan error)
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(wait)}}
		must(t, e.Create("c1", spec(untilStopped...), libcontainerd.WithRestartManager(rm)))
		var refusals []*hcstest.Injection
		for _, op := range []hcstest.Op{hcstest.OpShutdown, hcstest.OpTerminate, hcstest.OpOpen} {
			refusals = append(refusals, e.hcs.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Err: libcontainerd.CodeInvalidParameter}}))
		}
		e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
		e.await("restart c1 4", 1)
		for _, r := range refusals {
			r.Release()
		}
		e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit) // it ends by itself
		opened := len(e.hcs.Calls(hcstest.OpOpen))
		close(wait)
		e.await("start-container c1", 2)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		time.Sleep(time.Hour)
		if n := len(e.hcs.Calls(hcstest.OpOpen)) - opened; n > 0 {
			t.Errorf("it was looked for %d times", n)
		}
	})
}

// The client asks the restart manager also after a kill: the engine decides what a kill
// means for a restart. See lessons_test.go: D37.
func TestRestartManagerIsAskedAfterASignalToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		rm := &restartManager{}
		must(t, e.Create("c1", spec(untilStopped...), libcontainerd.WithRestartManager(rm)))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		if len(rm.asked) != 1 || rm.asked[0] != 1067 {
			t.Errorf("asked about exits %v", rm.asked)
		}
	})
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

func newRestartManager2016(wait time.Duration) *restartManager2016 {
	return &restartManager2016{answer: make(chan error), cancel: make(chan struct{}), ended: make(chan struct{}), wait: wait}
}

var errRestartCancelled = errors.New("restart cancelled")

// The client takes the answer that a restart manager sends after a cancel.
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

// A restart manager answers its Cancel late, on a channel without a buffer. The client
// takes the answer, although it is closed meanwhile.
func TestAnswerToACancelIsTakenWhileTheClientCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, cancel := make(chan error), make(chan struct{})
		e := newEngine(t, hcstest.New(t))
		rm := &restartManager{
			answers:  []func() (bool, chan error, error){restartWith(answer)},
			onCancel: func() { close(cancel) },
		}
		go func() {
			<-cancel
			time.Sleep(time.Second)
			answer <- errRefused // for ever, if nobody takes it
		}()
		must(t, e.Create("c1", spec("cmd", "/c", "exit 0"), libcontainerd.WithRestartManager(rm)))
		e.await("restart c1", 1)
		synctest.Wait()
		must(t, e.Signal("c1", 9))
		must(t, e.Close())
		select {
		case answer <- nil:
			t.Error("the answer is waited for after Close")
		default:
		}
	})
}

// A restart fails. If a compute system may still run, from the failed start or from the
// life before, the exit says so.
func TestExitOfAFailedRestartTellsWhatMayStillRun(t *testing.T) {
	for name, arrange := range map[string]func(hcs *hcstest.Service){
		"of the failed start": func(hcs *hcstest.Service) {
			hcs.Inject(hcstest.Rule{Op: hcstest.OpCreateProcess, Skip: 1, Times: 1, Fault: hcstest.Fault{Err: libcontainerd.CodeFileNotFound}})
			hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, Skip: 1, Fault: hcstest.Fault{Hang: true}})
		},
		"of the life before": func(hcs *hcstest.Service) { hcs.Hang(hcstest.OpStop, "c1") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				p := newEndEngine(t, hcs)
				arrange(hcs)
				rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
				must(t, p.Create("c1", spec("cmd", "/c", "exit 0"), libcontainerd.WithRestartManager(rm)))
				exit := p.wantExit(t, "c1", 2*time.Hour)
				if !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
					t.Errorf("exit: %v", exit.Err)
				}
				hcs.Heal()
				time.Sleep(10 * time.Minute)
				if n := len(p.ended); n != 1 {
					t.Errorf("end told %d times", n)
				}
			})
		})
	}
}
