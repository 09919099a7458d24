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

// Lesson 22, D22: writes of a later boot are flushed.
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

// D21: the restart manager is asked, and told, with no lock held.
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

// Lessons 31, D22: a restart that fails does not stay a restart for ever.
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

var errRefused = errors.New("refused")

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

// What the former life of a container could not end is no matter once HCS has
// given its id to the next one.
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

// A kill is an exit like any other for the restart manager: the policy is the
// engine's.
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

func TestCloseEndsAPendingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(make(chan error))}}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		e.await("restart c1", 1)
		must(t, e.Close())
		e.wantEvents(t, "start-container c1", "restart c1 4")
	})
}
