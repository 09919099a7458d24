package libcontainerd

import (
	"errors"
	"slices"
	"time"
)

// open opens a handle to a compute system. One that comes late is closed.
func (c *client) open(id string, limit time.Duration) (ComputeSystem, error) {
	op := Operation{Op: OpOpen, ContainerID: id}
	return call(c, op, limit, func() (ComputeSystem, error) { return present(c.service.OpenComputeSystem(id)) },
		func(s ComputeSystem, err error) {
			if err == nil {
				newHandle(s, id, "").close(c)
			}
		})
}

// secondHandle is open, for a call that must not go through the first handle.
func (c *client) secondHandle(id string, limit time.Duration) (*handle[ComputeSystem], error) {
	compute, err := c.open(id, limit)
	if err != nil {
		return nil, err
	}
	return newHandle(compute, id, ""), nil
}

// isPaused reports whether HCS has the system under id paused.
func (c *client) isPaused(id string) (bool, error) {
	systems, err := c.list("")
	return slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool { return s.ID == id && s.State == "Paused" }), err
}

// errNothing is the failure of a ComputeService that returns neither a result nor an
// error.
var errNothing = errors.New("compute service returned nothing and no error")

// present returns what a ComputeService has returned, and makes nothing an error.
func present[T comparable](v T, err error) (T, error) {
	var nothing T
	if err == nil && v == nothing {
		err = errNothing
	}
	return v, err
}

// endUnder ends the system that HCS has under id, within limit or until closing is
// closed. One that HCS does not know has ended. If keep returns an error, once the
// system is open, the system is left alone; nil: it is ended in any case.
func (c *client) endUnder(id string, limit time.Duration, keep func() error, closing <-chan struct{}) error {
	deadline := time.Now().Add(limit)
	return c.persist(deadline, closing, func() error {
		compute, err := c.open(id, time.Until(deadline))
		switch {
		case errors.Is(err, CodeSystemNotFound):
			return nil
		case err != nil:
			return err
		}
		s := newSystem(c, id, compute, nil)
		defer s.close()
		if keep != nil {
			if err := keep(); err != nil {
				return err
			}
		}
		return s.end(limit, time.Until(deadline), closing)
	})
}

// endUnused ends the system that HCS has under an id that no container uses. Once it is
// open the id is looked at again: a container may have taken it since, and then this
// may be its system.
func (c *client) endUnused(id string) error {
	unused := func() error { return c.inUse(id) }
	if err := unused(); err != nil {
		return err
	}
	return c.endUnder(id, c.terminateTimeout, unused, c.closing)
}

// list lists the compute systems of owner, of all owners if it is empty.
func (c *client) list(owner string) (systems []ComputeSystemInfo, err error) {
	err = c.persist(time.Now().Add(c.callTimeout), c.closing, func() error {
		systems, err = call(c, Operation{Op: OpList}, c.callTimeout,
			func() ([]ComputeSystemInfo, error) { return c.service.ComputeSystems(owner) }, nil)
		return err
	})
	return systems, err
}

// The service may be back a moment after it went away, and RS1 and RS2 refuse for
// a moment to list systems while one of them ends.
const (
	momentary      = time.Second
	momentaryPause = 100 * time.Millisecond
)

// persist repeats a call that fails only because of the moment, until deadline at the
// latest, or until closing is closed.
func (c *client) persist(deadline time.Time, closing <-chan struct{}, call func() error) error {
	left := time.Until(deadline) - momentaryPause // the last call gets some time, too
	moment := pace{first: momentaryPause, longest: momentaryPause, limit: max(min(momentary, left), time.Nanosecond)}
	for {
		err := call()
		if !isServiceLost(err) && !errors.Is(err, CodeAccessDenied) && !errors.Is(err, CodeInvalidState) {
			return err
		}
		pause, more := moment.next()
		if !more || await(closing, pause) {
			return err
		}
	}
}

// listing is what HCS has listed: the state of every compute system, by its id.
type listing struct {
	states map[string]string
	asked  time.Time
}

// listing lists the compute systems of all owners. The answer may be that to somebody who
// asked a little earlier.
func (c *client) listing(limit time.Duration) (listing, error) {
	return c.systems.ask(c, nil, Operation{Op: OpList}, limit, func(noHandle) (listing, error) {
		asked := time.Now()
		systems, err := c.service.ComputeSystems("")
		states := make(map[string]string, len(systems))
		for _, s := range systems {
			states[s.ID] = s.State
		}
		return listing{states, asked}, err
	})
}

// lacks reports whether HCS has listed s as one that no longer runs, or not at all.
func (l listing) lacks(s *system) bool {
	state, listed := l.states[s.id]
	return l.asked.After(s.created) && (!listed || isOver(state))
}

// isOver reports whether a system in this state, as HCS spells it, has run and does so no
// longer; it may still be stopping. A state that HCS does not tell is none.
func isOver(state string) bool {
	return !slices.Contains([]string{"", "Created", "Running", "Paused"}, state)
}

// patrolEvery is how often the client asks HCS for all compute systems, to find those
// whose end HCS has not told.
const patrolEvery = time.Minute

// patrol has a look at all containers once a minute, for as long as there are any.
func (c *client) patrol() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.patrolling || c.isClosed() {
		return
	}
	c.patrolling = true
	c.patrolTimer = time.AfterFunc(patrolEvery, func() { c.tasks.start(c.lookAround) })
}

func (c *client) stopPatrol() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.patrolTimer != nil {
		c.patrolTimer.Stop()
	}
}

// lookAround ends the containers whose system no longer runs.
func (c *client) lookAround() {
	c.mu.Lock()
	c.patrolling = false
	var up []*system
	for _, ctr := range c.containers {
		if s := ctr.upSystem(); s != nil {
			up = append(up, s)
		}
	}
	c.mu.Unlock()
	if len(up) == 0 || c.isClosed() {
		return
	}
	if l, err := c.listing(c.callTimeout); err == nil {
		for _, s := range up {
			if !s.hasStopped() && l.lacks(s) && (l.states[s.id] != "" || s.isAskedToStop() || c.isUnknown(s.id)) {
				s.log().Warn("HCS has not told the stop of the compute system, but it no longer runs")
				s.markStopped()
			}
		}
	}
	c.patrol()
}

// isUnknown asks HCS once more for a system that is not listed though nobody has asked it
// to stop.
func (c *client) isUnknown(id string) bool {
	h, err := c.secondHandle(id, c.callTimeout)
	if err == nil {
		h.close(c)
	}
	return errors.Is(err, CodeSystemNotFound)
}
