package libcontainerd_test

import (
	"github.com/sirupsen/logrus"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A Restore that is about to report an exit has made no plan for its container.
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

// A start that fails because the Backend panics owes the exits of its exec'd processes
// still, whatever the Backend does when it is told of the first.
func TestBackendThatPanicsAgainGetsAllExits(t *testing.T) {
	s := spec(untilStopped...)
	for name, start := range map[string]func(e *engine, pid uint32) error{
		"create":   func(e *engine, _ uint32) error { return e.Create("c1", s) },
		"reattach": func(e *engine, pid uint32) error { return e.Restore("c1", libcontainerd.WithReattach(s, pid)) },
	} {
		for how, fail := range map[string]func(){
			"panics":             func() { panic("boom") },
			"ends its goroutine": runtime.Goexit,
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hcs := hcstest.New(t)
					pid := uint32(0)
					if name == "reattach" {
						pid = orphan(t, hcs, "c1", s)
					}
					e := newEngine(t, hcs)
					e.onState = func(_ string, info libcontainerd.StateInfo) error {
						if info.State != libcontainerd.StateExit {
							fail()
						}
						return nil
					}
					e.onAttach = func(name string, _ libcontainerd.IOPipe) error {
						if name != "c1" {
							return nil
						}
						for _, exec := range []string{"p1", "p2", "p3"} {
							must(t, e.AddProcess("c1", exec, libcontainerd.Process{Args: untilStopped}))
						}
						return nil
					}
					want := map[string]any{"panics": "boom", "ends its goroutine": "gone"}[how]
					if what := caught(func() { start(e, pid) }); what != want {
						t.Errorf("the caller sees %v, want %v", what, want)
					}
					if n := e.count("exit-process c1/"); n != 3 {
						t.Errorf("%d exits of 3: %q", n, e.events())
					}
					e.onAttach, e.onState = nil, nil
					must(t, e.Restore("c1")) // what a reattach has left, and the id is free
				})
			})
		}
	}
}

// A restart manager that answers its Cancel late, on a channel without a buffer, is
// heard out, although the client is closed meanwhile.
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
				hcs.Inject(hcstest.Rule{Op: c.op, Times: 1, Fault: hcstest.Fault{Delay: time.Second, Done: true}})
				hcs.Inject(hcstest.Rule{Op: hcstest.OpShutdown, Fault: hcstest.Fault{Delay: time.Second}})
				go map[hcstest.Op]func(string) error{hcstest.OpPause: e.Pause, hcstest.OpResume: e.Resume}[c.op]("c1")
				synctest.Wait()
				must(t, e.Signal("c1", 15))
				e.wantExit(t, "c1", 10*time.Second)
				e.Signal("c1", 9)
			})
		})
	}
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

// countCallbacks is how many callbacks begin with prefix.
func (e *engine) countCallbacks(prefix string) (n int) {
	for _, line := range e.callbacks() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// The goroutine of a callback may lose its processor right before it begins: Close lets
// it begin. That of a long one has begun.
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

// What is still running when the client is closed has not ended.
func TestCloseWarnsOfNoExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		logger, hook := newLog()
		e := newEngine(t, hcs, libcontainerd.WithLogger(logger))
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
		must(t, e.Close())
		for _, entry := range hook.AllEntries() {
			if entry.Level <= logrus.WarnLevel {
				t.Errorf("warning: %s %v", entry.Message, entry.Data)
			}
		}
		must(t, newEngine(t, hcs).Restore("c1"))
	})
}

// Whoever shares an answer of HCS may change what it got; the race detector watches.
func TestSharedAnswersAreApart(t *testing.T) {
	hcs := hcstest.New(t)
	for _, op := range []hcstest.Op{hcstest.OpStatistics, hcstest.OpList} {
		hcs.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Delay: time.Millisecond}})
	}
	e := newEngine(t, hcs)
	s := spec(untilStopped...)
	s.Windows.Networking = &libcontainerd.Networking{EndpointList: []string{"e1"}}
	must(t, e.Create("c1", s))
	var askers sync.WaitGroup
	for range 8 {
		askers.Go(func() {
			for range 50 {
				info, err := e.Info()
				if err != nil || len(info.Isolations) == 0 {
					t.Error(info, err)
					return
				}
				info.Isolations[0] += "x"
				stats, err := e.Stats("c1")
				if err != nil || len(stats.Network) == 0 {
					t.Error(stats, err)
					return
				}
				stats.Network[0].EndpointId += "x"
			}
		})
	}
	askers.Wait()
	must(t, e.Signal("c1", 9))
	e.awaitExit("c1")
}

// An exec'd process that is added while the streams of the init process are handed over
// does not overtake them.
func TestExecLetsTheStreamsOfInitBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, hcstest.New(t))
		handed, added := make(chan struct{}), make(chan error)
		e.onAttach = func(name string, _ libcontainerd.IOPipe) error {
			if name == "c1" {
				go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
				time.Sleep(50 * time.Millisecond)
				close(handed)
				return nil
			}
			select {
			case <-handed:
			default:
				t.Error("the exec is first")
			}
			return nil
		}
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, <-added)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
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

// panicky is an engine that panics when it is told that a compute system has ended.
type panicky struct{ *engine }

func (panicky) ComputeSystemEnded(string) { panic("boom") }

// The Create that finds the former life ended has made a system already.
func TestBackendThatPanicsWhenToldOfAnEndKeepsNoSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "c1", spec(untilStopped...))
		e := newEngine(t, hcs)
		client, err := libcontainerd.NewClient(panicky{e}, libcontainerd.WithComputeService(hcs))
		must(t, err)
		must(t, e.Client.Close())
		e.Client = client
		hcs.Fail(hcstest.OpTerminate, "c1", libcontainerd.CodeInvalidParameter)
		must(t, e.Restore("c1"))
		if what := caught(func() { e.Create("c1", spec(untilStopped...)) }); what != "boom" {
			t.Errorf("the caller sees %v", what)
		}
		synctest.Wait()
		if systems := list(t, hcs); len(systems) > 0 {
			t.Errorf("left: %v", systems)
		}
		must(t, e.Restore("c1"))
	})
}
