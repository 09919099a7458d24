package libcontainerd_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// announcing is something that ends in callbacks.
type announcing struct {
	method func(e *engine, pid uint32) error // nil: it goes on by itself
	start  func(t *testing.T, e *engine)     // what is there before
	orphan bool                              // a former engine has left "c1"
	ops    []hcstest.Op                      // what it asks HCS for
	skip   int                               // calls of each of ops that come before

	// last is the callback with which it has announced all that it has to; Close
	// from inside this one changes nothing.
	last string
	left bool // systems may be left: they ran before

	seen   int  // so often last has come before
	anyErr bool // whatever the method answers
}

func announcings() map[string]announcing {
	create := []hcstest.Op{
		hcstest.OpLayerID, hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpPid, hcstest.OpStdio,
	}
	s := hyperv(untilStopped...)
	return map[string]announcing{
		"create": {
			method: func(e *engine, _ uint32) error { return e.Create("c1", s) },
			ops:    create, last: "start-container",
		},
		"exec": {
			start:  func(t *testing.T, e *engine) { must(t, e.Create("c1", s)) },
			method: func(e *engine, _ uint32) error { return e.AddProcess("c1", "p1", exec(untilStopped...)) },
			ops:    []hcstest.Op{hcstest.OpCreateProcess, hcstest.OpPid, hcstest.OpStdio},
			skip:   1, last: "attach p1", left: true,
		},
		"restore": {
			orphan: true,
			method: func(e *engine, _ uint32) error { return e.Restore("c1") },
			ops:    []hcstest.Op{hcstest.OpOpen, hcstest.OpTerminate, hcstest.OpWait, hcstest.OpClose},
			last:   "exit c1", left: true,
		},
		"restore of what is gone": {
			method: func(e *engine, _ uint32) error { return e.Restore("c1") },
			ops:    []hcstest.Op{hcstest.OpOpen}, last: "exit c1",
		},
		"reattach": {
			orphan: true,
			method: func(e *engine, pid uint32) error { return e.Restore("c1", libcontainerd.WithReattach(s, pid)) },
			ops:    []hcstest.Op{hcstest.OpOpen, hcstest.OpOpenProcess, hcstest.OpStdio, hcstest.OpList},
			last:   "restore c1", left: true,
		},
		"restart": {
			start: func(t *testing.T, e *engine) {
				rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
				must(t, e.Create("c1", s, libcontainerd.WithRestartManager(rm)))
				e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
			},
			ops:  []hcstest.Op{hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpPid, hcstest.OpStdio},
			skip: 1, last: "start-container", seen: 1,
		},
		"exit": {
			start: func(t *testing.T, e *engine) {
				must(t, e.Create("c1", s))
				must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
				e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
			},
			ops:  []hcstest.Op{hcstest.OpShutdown, hcstest.OpStop, hcstest.OpCloseProcess, hcstest.OpClose},
			last: "exit c1", left: true,
		},
		"exit of a system that does not stop": {
			start: func(t *testing.T, e *engine) {
				inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeFail})(e.hcs)
				once(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeFail})(e.hcs)
				must(t, e.Create("c1", s))
				e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
			},
			ops:  []hcstest.Op{hcstest.OpTerminate, hcstest.OpOpen, hcstest.OpClose},
			last: "exit c1", left: true,
		},
		"pause": {
			start:  func(t *testing.T, e *engine) { must(t, e.Create("c1", s)) },
			method: func(e *engine, _ uint32) error { return e.Pause("c1") },
			ops:    []hcstest.Op{hcstest.OpPause},
			last:   "pause c1", left: true, anyErr: true,
		},
		"resume": {
			start:  func(t *testing.T, e *engine) { must(t, errors.Join(e.Create("c1", s), e.Pause("c1"))) },
			method: func(e *engine, _ uint32) error { return e.Resume("c1") },
			ops:    []hcstest.Op{hcstest.OpResume},
			last:   "resume c1", left: true, anyErr: true,
		},
		"signal that resumes": {
			start:  func(t *testing.T, e *engine) { must(t, errors.Join(e.Create("c1", s), e.Pause("c1"))) },
			method: func(e *engine, _ uint32) error { return e.Signal("c1", 15) },
			ops:    []hcstest.Op{hcstest.OpResume, hcstest.OpShutdown},
			last:   "exit c1", left: true, anyErr: true,
		},
	}
}

// Once Close has begun no callback begins, whichever call into HCS is under way
// meanwhile. What has not been announced yet is undone.
func TestNoCallbackBeginsOnceCloseHas(t *testing.T) {
	for name, a := range announcings() {
		for _, op := range a.ops {
			t.Run(fmt.Sprintf("%s/%s", name, op), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testCloseDuring(t, a, op, "") })
			})
		}
		for _, callback := range []string{"attach c1", "attach p1", "start-container c1", "restart c1", "restore c1", "exit c1", "exit-process c1", "pause c1", "resume c1"} {
			t.Run(fmt.Sprintf("%s/%s", name, callback), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testCloseDuring(t, a, "", callback) })
			})
		}
	}
}

// testCloseDuring closes the client during a call into HCS, or else a callback.
func testCloseDuring(t *testing.T, a announcing, op hcstest.Op, callback string) {
	t.Helper()
	hcs := hcstest.New(t)
	var pid uint32
	if a.orphan {
		pid = orphan(t, hcs, "c1", hyperv(untilStopped...))
	}
	e := newEngine(t, hcs)

	closed := make(chan error, 1)
	calls := 0            // into HCS, when Close returned
	var begun atomic.Bool // a sync.Once would keep the others on a lock, which no bubble sees through
	closeOnce := func() {
		if begun.Swap(true) {
			return
		}
		go func() {
			err := e.Close()
			calls = len(hcs.Calls())
			closed <- err
		}()
		time.Sleep(time.Second) // Close has begun
	}
	passing := a.skip
	if op != "" {
		var mu sync.Mutex
		hcs.OnCall(op, func(hcstest.Call) *hcstest.Fault {
			mu.Lock()
			passing--
			due := passing < 0
			mu.Unlock()
			if due {
				closeOnce()
			}
			return nil
		})
	}
	var armed atomic.Bool
	armed.Store(a.method == nil)
	if before := strings.HasPrefix(callback, "attach") || strings.HasPrefix(callback, "start"); before && a.seen == 0 {
		armed.Store(false) // until all is there
	}
	inCallback := func(line string) {
		if armed.Load() && callback != "" && strings.HasPrefix(line, callback) && (a.seen > 0) == (e.count("restart") > 0) {
			closeOnce()
		}
	}
	e.onAttach = func(name string, _ libcontainerd.IOPipe) error { inCallback("attach " + name); return nil }
	e.onState = func(id string, info libcontainerd.StateInfo) error { inCallback(info.State + " " + id); return nil }
	if a.start != nil {
		a.start(t, e)
	}
	armed.Store(true)
	var err error
	if a.method != nil {
		err = a.method(e, pid)
	}
	time.Sleep(time.Minute)
	e.mu.Lock()
	hit := e.closing
	e.mu.Unlock()
	if !hit { // it has no such call
		must(t, e.Close())
		endAll(t, hcs)
		return
	}
	must(t, <-closed)
	if late := e.begunLate(); len(late) > 0 {
		t.Errorf("callbacks that began after Close: %q", late)
	}
	if after := hcs.Calls()[calls:]; a.method == nil && callback == "" && len(after) > 0 {
		t.Errorf("calls after Close had returned: %v", after)
	}
	announced := slices.ContainsFunc(e.events(), func(line string) bool { return strings.HasPrefix(line, a.last) })
	if name, isAttach := strings.CutPrefix(a.last, "attach "); isAttach {
		announced = e.pipe(name).Stdout != nil
	}
	if a.method != nil && !a.anyErr && !announced && !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a client that was closed meanwhile answers %v", err)
	}
	if a.seen > 0 {
		announced = e.count(a.last) > a.seen
	}
	if systems := list(t, hcs); !announced && !a.left && len(systems) > 0 {
		t.Errorf("left: %v", systems)
	}
	endAll(t, hcs)
}

// A process that was not handed over when the client was closed has been ended.
func TestExecOfAClientThatIsClosedMeanwhileIsUndone(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpCreateProcess, hcstest.OpStdio} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, nil)
			must(t, e.Create("c1", spec("ping", "-t", "localhost")))
			hung := e.hcs.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Hang: true, Done: true}})
			added := make(chan error, 1)
			go func() { added <- e.AddProcess("c1", "p1", exec("timeout", "/t", "-1")) }()
			<-hung.Met()
			closed := make(chan error, 1)
			go func() { closed <- e.Close() }()
			synctest.Wait()
			hung.Release()
			must(t, <-closed)
			if err := <-added; !errdefs.IsFailedPrecondition(err) {
				t.Errorf("%s: exec: %v", op, err)
			}
			if late := e.begunLate(); len(late) > 0 {
				t.Errorf("%s: callbacks that began after Close: %q", op, late)
			}
			system, err := e.hcs.OpenComputeSystem("c1")
			must(t, err)
			processes, err := system.ProcessList()
			must(t, err)
			for _, p := range processes {
				if strings.HasPrefix(p.ImageName, "timeout") {
					t.Errorf("%s: it runs: %+v", op, p)
				}
			}
			must(t, errors.Join(system.Terminate(), system.Wait(), system.Close()))
		})
	}
}

// When Close returns, the calls of a restart into HCS have ended.
func TestCloseWaitsForARestartThatIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		// Between two calls the restart takes a while.
		e := newEngine(t, hcs, libcontainerd.WithObserver(func(o libcontainerd.Operation) {
			if o.Op == libcontainerd.OpCreate && len(hcs.Calls(hcstest.OpCreate)) == 2 {
				time.Sleep(time.Second)
			}
		}))
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		for len(hcs.Calls(hcstest.OpCreate)) < 2 {
			time.Sleep(time.Millisecond)
		}
		must(t, e.Close())
		calls := len(hcs.Calls())
		if systems := list(t, hcs); len(systems) > 0 {
			t.Errorf("when Close returned there was %v", systems)
		}
		calls++ // that list
		time.Sleep(time.Minute)
		if n := len(hcs.Calls()) - calls; n > 0 {
			t.Errorf("%d calls after Close had returned: %v", n, hcs.Calls()[calls:])
		}
		e.wantEvents(t, "start-container c1", "restart c1 4")
	})
}

func TestClosedClientAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "zombie", spec(untilStopped...))
		e := newEngine(t, hcs)
		must(t, e.Close())
		asked := len(hcs.Calls())
		for name, call := range map[string]func() error{
			"Create":     func() error { return e.Create("c1", spec("cmd")) },
			"Signal":     func() error { return e.Signal("c1", 9) },
			"AddProcess": func() error { return e.AddProcess("c1", "p1", exec("cmd")) },
			"Restore":    func() error { return e.Restore("zombie") },
			"Info":       func() error { _, err := e.Info(); return err },
			"Reconcile":  func() error { _, err := e.Reconcile(t.Context(), libcontainerd.DefaultOwner); return err },
			"Reconcile of an owner that has nothing": func() error {
				_, err := e.Reconcile(t.Context(), "nobody")
				return err
			},
		} {
			if err := call(); !errdefs.IsFailedPrecondition(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if calls := hcs.Calls()[asked:]; len(calls) > 0 {
			t.Errorf("HCS was asked: %v", calls)
		}
		terminate(t, hcs, "zombie")
	})
}

func TestSecondCloseWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		hung := e.hcs.Hang(hcstest.OpStatistics, "c1")
		go e.Stats("c1")
		<-hung.Met()
		var mu sync.Mutex
		returned := 0
		for range 3 {
			go func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				mu.Lock()
				returned++
				mu.Unlock()
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		mu.Lock()
		if returned > 0 {
			t.Errorf("%d calls of Close returned while a call into HCS was under way", returned)
		}
		mu.Unlock()
		hung.Release()
		synctest.Wait()
		mu.Lock()
		if returned != 3 {
			t.Errorf("%d calls of Close have returned, want 3", returned)
		}
		mu.Unlock()
		terminate(t, e.hcs, "c1")
	})
}

func TestCloseFailsWhileACallHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithCallTimeout(time.Minute))
		must(t, e.Create("c1", spec(untilStopped...)))
		hung := e.hcs.Hang(hcstest.OpStatistics, "c1")
		if _, err := e.Stats("c1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stats: %v", err)
		}
		began := time.Now()
		if err := e.Close(); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %v", took)
		}
		hung.Release()
		synctest.Wait()
		terminate(t, e.hcs, "c1")
	})
}

func TestCloseDoesNotWaitForALeftover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpStart, "c1", libcontainerd.CodeUnexpectedExit)
		stop := e.hcs.Hang(hcstest.OpStop, "c1")
		if err := e.Create("c1", spec(untilStopped...)); err == nil {
			t.Error("started")
		}
		time.Sleep(time.Second) // it is being ended in the background
		began := time.Now()
		if err := e.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("close took %v: %v", time.Since(began), err)
		}
		stop.Release()
	})
}

func TestCloseClosesWhatHCSRefusedToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		both(refusedTwice(hcstest.OpClose), refusedTwice(hcstest.OpCloseProcess))(e.hcs)
		began := time.Now()
		if err := e.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("close took %v: %v", time.Since(began), err)
		}
		terminate(t, e.hcs, "c1")
	})
}

// Close waits for a call into HCS of the rounds that end leftovers, although the Backend
// is still being told of others that have ended.
func TestCloseWaitsForTheRoundOfLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		ids := []string{"c1", "c2", "c3"}
		for _, id := range ids {
			orphan(t, hcs, id, spec(untilStopped...))
		}
		e := newEndEngine(t, hcs)
		e.ended = make(chan string)
		refused := hcs.Inject(hcstest.Rule{Op: hcstest.OpTerminate, Fault: hcstest.Fault{Err: libcontainerd.CodeInvalidParameter}})
		for _, id := range ids {
			must(t, e.Restore(id))
		}
		open := hcs.Hang(hcstest.OpOpen, "c3")
		refused.Release()
		time.Sleep(time.Second)
		if n := e.countCallbacks("ended "); n != 2 {
			t.Errorf("%d ends are being told, want 2", n)
		}
		closed := make(chan error, 1)
		go func() { closed <- e.Close() }()
		time.Sleep(time.Minute)
		select {
		case <-closed:
			t.Error("Close has returned before the call into HCS")
		default:
		}
		open.Release()
		must(t, <-closed)
		for range e.countCallbacks("ended ") {
			<-e.ended
		}
		must(t, newEngine(t, hcs).Restore("c3"))
	})
}

// The goroutine of a callback may lose its processor right before it begins: Close lets
// it begin. A callback that takes long has begun.
func TestCloseLetsACallbackBegin(t *testing.T) {
	for name, c := range map[string]struct{ callback, atLeast, atMost time.Duration }{
		"short": {50 * time.Millisecond, 50 * time.Millisecond, 60 * time.Millisecond},
		"long":  {time.Hour, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, hcstest.New(t))
				e.onState = func(string, libcontainerd.StateInfo) error { time.Sleep(c.callback); return nil }
				restored := make(chan error)
				go func() { restored <- e.Restore("c1") }()
				synctest.Wait()
				began := time.Now()
				must(t, e.Close())
				if took := time.Since(began); took < c.atLeast || took > c.atMost {
					t.Errorf("Close took %v", took)
				}
				must(t, <-restored)
			})
		})
	}
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

func TestCloseFromACallback(t *testing.T) {
	for _, state := range []string{libcontainerd.StateStart, libcontainerd.StateExitProcess, libcontainerd.StateExit} {
		t.Run(state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				closed := make(chan error, 1)
				e.onState = func(_ string, info libcontainerd.StateInfo) error {
					if info.State == state {
						closed <- e.Close()
					}
					return nil
				}
				began := time.Now()
				must(t, e.Create("c1", spec(untilStopped...)))
				e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 0"))
				synctest.Wait()
				e.Signal("c1", 9)
				must(t, <-closed)
				if took := time.Since(began); took != 0 {
					t.Errorf("took %v", took)
				}
				synctest.Wait()
				if err := e.Create("c2", spec("cmd")); !errdefs.IsFailedPrecondition(err) {
					t.Errorf("create on a closed client: %v", err)
				}
				e.onState = nil
				for _, s := range list(t, e.hcs) {
					terminate(t, e.hcs, s.ID)
				}
			})
		})
	}
}

// A Cancel of the engine's restart manager may close the client, like a callback.
func TestCancelMayCloseTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, hcstest.New(t))
		rm := &restartManager{
			answers:  []func() (bool, chan error, error){restartWith(make(chan error))},
			onCancel: func() { must(t, e.Close()) },
		}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 0"), libcontainerd.WithRestartManager(rm)))
		e.await("restart c1", 1)
		must(t, e.Signal("c1", 9))
	})
}
