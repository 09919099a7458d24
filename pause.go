package libcontainerd

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
)

// pauses are the pauses and resumes of a container.
//
// One of them runs at a time. A call that was given up, by the client or by hcsshim,
// leaves the phase in doubt, and from then on HCS is asked: before each of the calls that
// depend on the phase, and through a fresh handle, since the container's handle may
// still get the answer to the call that was given up.
type pauses struct {
	ctr *container

	// guarded by container.mu:
	current  *toggle // the one that runs, nil: none
	count    int     // of those that have begun or ended
	doubt    bool    // one was given up
	stops    int     // Signals that shut the container down right now: no pause begins
	bySignal bool    // Signal has resumed the container to shut it down
}

// resetLocked forgets a former system; container.mu is held.
func (p *pauses) resetLocked() {
	p.current, p.doubt, p.bySignal = nil, false, false
	p.count++
}

// toggle is one pause or resume.
type toggle struct {
	op       string
	from, to phase
	call     func(ComputeSystem) error
	told     string        // the state that the Backend is told
	over     chan struct{} // closed when it has been answered or given up
}

func newPause() *toggle {
	return &toggle{op: OpPause, from: running, to: paused, call: ComputeSystem.Pause, told: StatePause, over: make(chan struct{})}
}

func newResume() *toggle {
	return &toggle{op: OpResume, from: paused, to: running, call: ComputeSystem.Resume, told: StateResume, over: make(chan struct{})}
}

// pause freezes the container; see Client.Pause.
func (p *pauses) pause() error { return p.toggle(newPause()) }

// resume lets the container run on; see Client.Resume. After a Signal that has resumed
// it there is nothing left to do.
func (p *pauses) resume() error {
	ctr := p.ctr
	ctr.mu.Lock()
	bySignal, current := p.bySignal, p.current
	ctr.mu.Unlock()
	if bySignal && current != nil {
		await(current.over, ctr.client.callTimeout)
	}
	ctr.mu.Lock()
	done := bySignal && (ctr.phase == running || ctr.phase == exiting)
	ctr.mu.Unlock()
	if done {
		return nil
	}
	return p.toggle(newResume())
}

// toggle carries out a pause or a resume.
func (p *pauses) toggle(t *toggle) error {
	ctr := p.ctr
	p.learn()
	s, fresh, err := p.begin(t)
	if err != nil {
		return err
	}
	h := s.handle
	if fresh {
		if h, err = ctr.client.secondHandle(ctr.id, ctr.client.callTimeout); err != nil {
			p.over(t, err)
			return newError(t.op, ctr.id, "", err)
		}
		defer h.close(ctr.client)
	}
	err = request(ctr.client, h, ctr.op(t.op), ctr.client.callTimeout, t.call, func(err error) { p.answeredLate(s, t, err) })
	if p.over(t, err) {
		ctr.events.deliverOwn()
	}
	return err
}

var errOtherToggle = fmt.Errorf("another pause or resume is under way: %w", errdefs.ErrFailedPrecondition)

// forbid keeps pauses from beginning while a Signal shuts the container down; n is 1 at
// its beginning and -1 at its end.
func (p *pauses) forbid(n int) {
	p.ctr.mu.Lock()
	defer p.ctr.mu.Unlock()
	p.stops += n
}

// resumeToStop resumes the container if it is paused, since only one that runs can shut
// down. It waits for a pause or a resume of somebody else that is under way.
func (p *pauses) resumeToStop(s *system) error {
	ctr := p.ctr
	deadline := time.Now().Add(ctr.client.callTimeout)
	for {
		ctr.mu.Lock()
		isPaused, current := ctr.phase == paused && ctr.system == s, p.current
		p.bySignal = p.bySignal || isPaused
		ctr.mu.Unlock()
		switch {
		case current != nil && await(current.over, time.Until(deadline)):
			continue
		case !isPaused:
			return nil
		}
		err := p.toggle(newResume())
		if err == nil || !errors.Is(err, errdefs.ErrFailedPrecondition) || time.Now().After(deadline) {
			return err
		} // somebody else was faster
	}
}

// begin lets t begin, if the container is in the right phase and no other is under way.
func (p *pauses) begin(t *toggle) (s *system, fresh bool, err error) {
	ctr := p.ctr
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	switch {
	case ctr.phase != creating && ctr.isolation == IsolationProcess:
		err = fmt.Errorf("only Hyper-V isolation can: %w", errdefs.ErrNotImplemented)
	case !ctr.phase.isUp():
		err = ctr.notRunningLocked()
	case p.current != nil:
		err = errOtherToggle
	case ctr.phase != t.from:
		err = fmt.Errorf("container is %v: %w", ctr.phase, errdefs.ErrFailedPrecondition)
	case t.to == paused && p.stops > 0:
		err = fmt.Errorf("container is being shut down: %w", errdefs.ErrFailedPrecondition)
	default:
		p.current = t
		p.count++
	}
	return ctr.system, p.doubt, newError(t.op, ctr.id, "", err)
}

// over ends t, which was answered with err or given up. It reports whether the caller has
// to deliver the event. A container that has ended meanwhile stays so.
func (p *pauses) over(t *toggle, err error) (turn bool) {
	ctr := p.ctr
	defer close(t.over)
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if p.current != t {
		return false // the container was started again meanwhile
	}
	p.current = nil
	p.count++
	if errdefs.IsDeadlineExceeded(err) {
		p.doubt = true
	}
	if err == nil && ctr.phase == t.from {
		_, turn = ctr.moveLocked(t.to, event{info: StateInfo{State: t.told, Pid: ctr.init.pid}})
	}
	return turn
}

// answeredLate takes the answer to a call that the client has given up. A pause is undone, a
// resume is told, unless another one has begun since: then HCS is asked in time.
func (p *pauses) answeredLate(s *system, t *toggle, err error) {
	ctr := p.ctr
	if err != nil {
		return // the phase has been in doubt since the call was given up
	}
	undo := newResume()
	ctr.mu.Lock()
	mine := ctr.system == s && p.current == nil
	if mine {
		p.count++
	}
	turn := false
	switch {
	case mine && t.to == running && ctr.phase == paused:
		_, turn = ctr.moveLocked(running, event{info: StateInfo{State: StateResume, Pid: ctr.init.pid}})
	case mine && t.to == paused && ctr.phase == running:
		p.current = undo
	default:
		mine = false
	}
	ctr.mu.Unlock()
	if turn {
		ctr.events.deliver()
	}
	if mine && t.to == paused {
		// The phase is still running, so that the end of the resume changes nothing.
		p.over(undo, request(ctr.client, s.handle, ctr.op(OpResume), ctr.client.callTimeout, ComputeSystem.Resume, nil))
	}
}

// learn asks HCS whether the container is paused, if a pause or a resume was ever
// given up, and reports what has come of it. An answer that another one has overtaken
// does not count.
func (p *pauses) learn() {
	ctr := p.ctr
	ctr.mu.Lock()
	certain, before := !p.doubt || p.current != nil, p.count
	ctr.mu.Unlock()
	if certain {
		return
	}
	isPaused, err := ctr.client.isPaused(ctr.id)
	if err != nil {
		ctr.log().WithError(err).Warn("HCS does not tell whether the container is paused")
		return
	}
	ctr.mu.Lock()
	turn := false
	switch {
	case p.count != before:
	case isPaused && ctr.phase == running:
		_, turn = ctr.moveLocked(paused, event{info: StateInfo{State: StatePause, Pid: ctr.init.pid}})
	case !isPaused && ctr.phase == paused:
		_, turn = ctr.moveLocked(running, event{info: StateInfo{State: StateResume, Pid: ctr.init.pid}})
	}
	ctr.mu.Unlock()
	if turn {
		ctr.events.deliverOwn()
	}
}
