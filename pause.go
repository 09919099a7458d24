package libcontainerd

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
)

// pausing is what the container knows of its pauses and resumes. It is guarded by
// container.mu.
//
// One of them runs at a time. A call that was given up, by the client or by hcsshim,
// leaves the phase in doubt, and from then on HCS is asked: before each of the calls that
// depend on the phase, and through a fresh handle, since the container's handle may
// still get the answer to the call that was given up.
type pausing struct {
	current  *toggle // the one that runs, nil: none
	count    int     // of those that have begun or ended
	doubt    bool    // one was given up
	bySignal bool    // Signal has resumed the container to shut it down
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
func (ctr *container) pause() error { return ctr.toggle(newPause()) }

// resume lets the container run on; see Client.Resume. After a Signal that has resumed
// it there is nothing left to do.
func (ctr *container) resume() error {
	ctr.mu.Lock()
	bySignal, current := ctr.pausing.bySignal, ctr.pausing.current
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
	return ctr.toggle(newResume())
}

// toggle carries out a pause or a resume.
func (ctr *container) toggle(t *toggle) error {
	ctr.settlePhase()
	s, fresh, err := ctr.begin(t)
	if err != nil {
		return err
	}
	h := s.handle
	if fresh {
		if h, err = ctr.freshHandle(); err != nil {
			ctr.over(t, err)
			return newError(t.op, ctr.id, "", err)
		}
		defer h.close(ctr.client)
	}
	err = request(ctr.client, h, ctr.op(t.op), ctr.client.callTimeout, t.call, func(err error) { ctr.late(s, t, err) })
	if ctr.over(t, err) {
		ctr.deliverOwn()
	}
	return err
}

// begin lets t begin, if the container is in the right phase and no other is under way.
func (ctr *container) begin(t *toggle) (s *system, fresh bool, err error) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	switch {
	case ctr.phase != creating && !ctr.plan.hyperv:
		err = fmt.Errorf("only Hyper-V isolation can: %w", errdefs.ErrNotImplemented)
	case !ctr.phase.isUp():
		err = ctr.notRunningLocked()
	case ctr.pausing.current != nil:
		err = fmt.Errorf("another pause or resume is under way: %w", errdefs.ErrFailedPrecondition)
	case ctr.phase != t.from:
		err = fmt.Errorf("container is %v: %w", ctr.phase, errdefs.ErrFailedPrecondition)
	default:
		ctr.pausing.current = t
		ctr.pausing.count++
	}
	return ctr.system, ctr.pausing.doubt, newError(t.op, ctr.id, "", err)
}

// over ends t, which was answered with err or given up. It reports whether the caller has
// to deliver the event. A container that has ended meanwhile stays so.
func (ctr *container) over(t *toggle, err error) (turn bool) {
	close(t.over)
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	p := &ctr.pausing
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

// late takes the answer to a call that the client has given up. A pause is undone, a
// resume is told, unless another one has begun since: then HCS is asked in time.
func (ctr *container) late(s *system, t *toggle, err error) {
	if err != nil {
		return // the phase has been in doubt since the call was given up
	}
	undo := newResume()
	ctr.mu.Lock()
	p := &ctr.pausing
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
		ctr.deliver()
	}
	if mine && t.to == paused {
		// The phase is still running, so that the end of the resume changes nothing.
		ctr.over(undo, request(ctr.client, s.handle, ctr.op(OpResume), ctr.client.callTimeout, ComputeSystem.Resume, nil))
	}
}

// settlePhase asks HCS whether the container is paused, if a pause or a resume was ever
// given up, and reports what has come of it. An answer that another one has overtaken
// does not count.
func (ctr *container) settlePhase() {
	ctr.mu.Lock()
	certain, before := !ctr.pausing.doubt || ctr.pausing.current != nil, ctr.pausing.count
	ctr.mu.Unlock()
	if certain {
		return
	}
	isPaused, err := ctr.isPausedInHCS()
	if err != nil {
		ctr.log().WithError(err).Warn("HCS does not tell whether the container is paused")
		return
	}
	ctr.mu.Lock()
	turn := false
	switch {
	case ctr.pausing.count != before:
	case isPaused && ctr.phase == running:
		_, turn = ctr.moveLocked(paused, event{info: StateInfo{State: StatePause, Pid: ctr.init.pid}})
	case !isPaused && ctr.phase == paused:
		_, turn = ctr.moveLocked(running, event{info: StateInfo{State: StateResume, Pid: ctr.init.pid}})
	}
	ctr.mu.Unlock()
	if turn {
		ctr.deliverOwn()
	}
}

// isPausedInHCS reports whether HCS has the container's system paused.
func (ctr *container) isPausedInHCS() (bool, error) {
	systems, err := ctr.client.list("")
	return slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool { return s.ID == ctr.id && s.State == "Paused" }), err
}

func (ctr *container) freshHandle() (*handle[ComputeSystem], error) {
	compute, err := ctr.client.open(ctr.id, ctr.client.callTimeout)
	if err != nil {
		return nil, err
	}
	return newHandle(compute, Operation{ContainerID: ctr.id}), nil
}
