package libcontainerd_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// caught calls f and returns what it panicked with, or "gone" if f has ended its
// goroutine.
func caught(f func()) (what any) {
	done := make(chan any)
	go func() {
		returned := false
		defer func() {
			what := recover()
			if what == nil && !returned {
				what = "gone"
			}
			done <- what
		}()
		f()
		returned = true
	}()
	return <-done
}

// A Backend panics, or ends its goroutine, and the engine recovers. The id and the name
// are free, and later events are delivered. The caller sees the panic.
func TestBackendThatPanicsHoldsNothing(t *testing.T) {
	s := hyperv(untilStopped...)
	for name, c := range map[string]struct {
		in   string // the callback that panics, once
		call func(e *engine)
		runs bool // the container was there before, and stays
		// again must succeed afterwards
		again func(e *engine) error
	}{
		"streams of init": {
			in: "attach c1", call: func(e *engine) { e.Create("c1", s) },
			again: func(e *engine) error { return e.Create("c1", s) },
		},
		"start": {
			in: "start-container c1", call: func(e *engine) { e.Create("c1", s) },
			again: func(e *engine) error { return e.Create("c1", s) },
		},
		"streams of an exec": {
			in: "attach p1", call: func(e *engine) { e.AddProcess("c1", "p1", exec(untilStopped...)) }, runs: true,
			again: func(e *engine) error { return e.AddProcess("c1", "p1", exec(untilStopped...)) },
		},
		"pause": {
			in: "pause c1", call: func(e *engine) { e.Pause("c1") }, runs: true,
			again: func(e *engine) error { return e.Resume("c1") },
		},
		"resume": {
			in: "resume c1", call: func(e *engine) {
				if err := e.Pause("c1"); err != nil {
					panic(err)
				}
				e.Resume("c1")
			}, runs: true,
			again: func(e *engine) error { return e.Pause("c1") },
		},
		"resume by a signal": {
			in: "resume c1", call: func(e *engine) {
				if err := e.Pause("c1"); err != nil {
					panic(err)
				}
				e.Signal("c1", 15)
			}, runs: true,
			again: func(e *engine) error { e.Signal("c1", 15); return nil },
		},
		"exit of a restore": {
			in: "exit c1", call: func(e *engine) { e.Restore("c1") },
			again: func(e *engine) error { return e.Create("c1", s) },
		},
	} {
		for how, fail := range map[string]func(){
			"panics":             func() { panic("boom") },
			"ends its goroutine": runtime.Goexit,
		} {
			t.Run(fmt.Sprintf("%s/%s", name, how), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					if c.runs {
						must(t, e.Create("c1", s))
					}
					failed := false
					check := func(line string) {
						if line == c.in && !failed {
							failed = true
							fail()
						}
					}
					e.onAttach = func(name string, _ libcontainerd.IOPipe) error { check("attach " + name); return nil }
					e.onState = func(id string, info libcontainerd.StateInfo) error { check(info.State + " " + id); return nil }
					want := map[string]any{"panics": "boom", "ends its goroutine": "gone"}[how]
					if what := caught(func() { c.call(e) }); what != want {
						t.Errorf("the caller sees %v, want %v", what, want)
					}
					synctest.Wait() // pipes are closed in the background
					if systems := list(t, e.hcs); !c.runs && len(systems) > 0 {
						t.Errorf("left: %v", systems)
					}
					answered := make(chan error, 1)
					go func() { answered <- c.again(e) }()
					select {
					case err := <-answered:
						if err != nil {
							t.Errorf("the next call: %v", err)
						}
					case <-time.After(time.Hour):
						t.Error("the next call does not come back")
					}
					e.Signal("c1", 9)
					if !e.hears("exit c1 1067", 1, time.Hour) && !e.hears("exit c1 3221225786", 1, time.Second) {
						t.Errorf("no exit: %q", e.events())
					}
					endAll(t, e.hcs)
				})
			})
		}
	}
}

// Execs of a start that panics have their exits, as those of one that is refused.
func TestExecOfAStartThatPanicsHasItsExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			if info.State == libcontainerd.StateStart {
				must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
				panic("boom")
			}
			return nil
		}
		if what := caught(func() { e.Create("c1", spec(untilStopped...)) }); what != "boom" {
			t.Errorf("the caller sees %v", what)
		}
		if n := e.count("exit-process c1/p1"); n != 1 {
			t.Errorf("%d exits: %q", n, e.events())
		}
		e.Signal("c1", 9)
		time.Sleep(time.Hour)
		endAll(t, e.hcs)
	})
}

// If a start fails because the Backend panics, the Backend is told of the exits of all
// exec'd processes, also if it panics when it is told of the first.
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
