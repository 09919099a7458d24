package libcontainerd

import (
	"slices"
	"testing"

	"github.com/sirupsen/logrus"
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

// Once the client is closed nothing is called, and a callback that the gate has kept back
// has not begun.
func TestGateIsShutOnceCloseHasBegun(t *testing.T) {
	c := &client{settings: settings{logger: logrus.NewEntry(logrus.New())}}
	ctr := newContainer(c, "c1", createSettings{})
	called := 0
	callback := func(Backend) error { called++; return nil }
	if err := c.gate(&ctr.exitBegun, callback); err != nil || called != 1 || !ctr.exitBegun.Load() {
		t.Errorf("open: %v, called %d times", err, called)
	}
	ctr.exitBegun.Store(false)
	c.closed.Store(true)
	if err := c.gate(&ctr.exitBegun, callback); err != errClosed || called != 1 || ctr.exitBegun.Load() { //nolint:errorlint // it is returned bare
		t.Errorf("shut: %v, called %d times", err, called)
	}
}

// A goroutine is inside a callback if the gate is on its stack.
func TestInsideCallbackKnowsTheGate(t *testing.T) {
	c := new(client)
	if insideCallback() {
		t.Error("inside, without a callback")
	}
	c.gate(nil, func(Backend) error {
		if !insideCallback() {
			t.Error("not inside, in a callback")
		}
		outside := make(chan bool)
		go func() { outside <- insideCallback() }()
		if <-outside {
			t.Error("another goroutine is inside")
		}
		return nil
	})
}
