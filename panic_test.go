package libcontainerd_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
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

// A Backend that panics, or ends its goroutine, in an engine that recovers, holds
// neither an id, nor a name, nor a later event. The panic reaches who has called.
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
