package libcontainerd

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
)

// The phase changes along the arrows only, and what is told is queued with the change or
// not at all.
func TestPhaseChangesAlongTheArrowsOnly(t *testing.T) {
	all := []phase{creating, running, paused, exiting, restarting, gone}
	for _, from := range all {
		for _, to := range all {
			ctr := newContainer(new(client), "c1", createSettings{})
			ctr.phase = from
			moved, turn := ctr.moveLocked(to, event{info: StateInfo{State: "told"}})
			if want := slices.Contains(arrows[from], to); moved != want {
				t.Errorf("%v → %v: moved %v, want %v", from, to, moved, want)
			}
			if (ctr.phase == to) != (moved || from == to) {
				t.Errorf("%v → %v: now it is %v", from, to, ctr.phase)
			}
			if queued := len(ctr.events.pending) == 1; queued != moved {
				t.Errorf("%v → %v: queued %v", from, to, queued)
			}
			if turn {
				t.Errorf("%v → %v: the turn is given away during a start", from, to)
			}
		}
	}
}

// Nothing leads away from the end.
func TestNothingFollowsTheEnd(t *testing.T) {
	if len(arrows[gone]) != 0 {
		t.Errorf("arrows from gone: %v", arrows[gone])
	}
}

// countingBackend counts its callbacks, and does something inside them.
type countingBackend struct {
	called int
	inside func()
}

func (b *countingBackend) StateChanged(string, StateInfo) error {
	b.called++
	if b.inside != nil {
		b.inside()
	}
	return nil
}

func (b *countingBackend) AttachStreams(string, IOPipe) error { b.called++; return nil }

// Once the client is closed nothing is called, and a callback that the gate has kept back
// has not begun.
func TestGateIsShutOnceCloseHasBegun(t *testing.T) {
	b := new(countingBackend)
	g := &gate{backend: b, tasks: new(tasks)}
	var begun atomic.Bool
	if err := g.stateChanged(&begun, "c1", StateInfo{}); err != nil || b.called != 1 || !begun.Load() {
		t.Errorf("open: %v, called %d times", err, b.called)
	}
	begun.Store(false)
	g.shut.Store(true)
	for name, call := range map[string]func() error{
		"state changed":  func() error { return g.stateChanged(&begun, "c1", StateInfo{}) },
		"attach":         func() error { return g.attach(&begun, "c1", IOPipe{}) },
		"attach process": func() error { return g.attachProcess("c1", "p1", 1, IOPipe{}) },
	} {
		if err := call(); !errors.Is(err, errClosed) || b.called != 1 || begun.Load() {
			t.Errorf("shut: %s: %v, called %d times", name, err, b.called)
		}
	}
	if n := g.tasks.n.Load(); n != 0 {
		t.Errorf("%d tasks are counted", n)
	}
}

// A goroutine is inside a callback if the gate is on its stack.
func TestInsideCallbackKnowsTheGate(t *testing.T) {
	if insideCallback() {
		t.Error("inside, without a callback")
	}
	b := &countingBackend{inside: func() {
		if !insideCallback() {
			t.Error("not inside, in a callback")
		}
		outside := make(chan bool)
		go func() { outside <- insideCallback() }()
		if <-outside {
			t.Error("another goroutine is inside")
		}
	}}
	g := &gate{backend: b, tasks: new(tasks)}
	if err := g.stateChanged(nil, "c1", StateInfo{}); err != nil || b.called != 1 {
		t.Errorf("%v, called %d times", err, b.called)
	}
}
