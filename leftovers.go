package libcontainerd

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// claim is the right to end a compute system of the client's owner.
type claim struct {
	ran   bool      // as a container of the client; else only one that never ran may be ended
	until time.Time // as long HCS may yet make it; zero: it is there, or never will be
}

// covers tells whether a system in this state, as HCS spells it, may be ended.
func (c *claim) covers(state string) bool { return c.ran || state == "Created" }

// expected tells whether HCS may yet make the system.
func (c *claim) expected() bool { return time.Now().Before(c.until) }

// rest is what is left of a claim once what was there has ended; nil: nothing.
func (c *claim) rest() *claim {
	if c == nil || !c.expected() {
		return nil
	}
	return &claim{until: c.until}
}

// with is the claim that covers what c and another do; either may be nil.
func (c *claim) with(other *claim) *claim {
	switch {
	case c == nil:
		return other
	case other == nil:
		return c
	}
	both := &claim{ran: c.ran || other.ran, until: c.until}
	if other.until.After(both.until) {
		both.until = other.until
	}
	return both
}

// claimOfLife is the claim on a system that ran as a container of the client.
func claimOfLife() *claim { return &claim{ran: true} }

// lateCreate is how long a system may come after hcsshim has given its creation up,
// which HCS is not told.
const lateCreate = time.Hour

// claimOfFailure is the claim on what a create that failed with err may have left.
// A system that runs is somebody's.
func claimOfFailure(err error) *claim {
	c := new(claim)
	if errors.Is(err, CodeOperationTimeout) {
		c.until = time.Now().Add(lateCreate)
	}
	return c
}

// sweep ends what a create that failed with err has left all the same: HCS can fail
// after it has made the system. What it cannot end, or may yet come, is ended later.
func (ctr *container) sweep(err error) {
	ours := claimOfFailure(err)
	ended, err := ctr.endLeftover(ours)
	if err != nil {
		ctr.log.WithError(err).Warn("cannot end what a create that failed may have left")
	}
	if err != nil || !ended && ours.expected() {
		ctr.endLater(ours)
	}
}

// disposeLate ends the system of a create that was given up, also one that HCS
// has made though it says that it failed.
func (ctr *container) disposeLate(system ComputeSystem, err error) {
	if err == nil {
		err = ctr.client.end(ctr.id, system, ctr.client.terminateTimeout)
	}
	if err != nil {
		ctr.client.endInBackground(ctr.id, claimOfFailure(err))
	}
}

// clearPreviousLife ends the system that an engine before this one, or a former
// life of the container, has left under its id. It returns false if the id is not
// about to be free: a system that HCS does not list any more is all but gone.
func (ctr *container) clearPreviousLife() bool {
	c := ctr.client
	systems, err := c.list("")
	if err == nil {
		i := slices.IndexFunc(systems, func(s ComputeSystemInfo) bool { return s.ID == ctr.id })
		if i < 0 {
			return true
		}
		ours := c.claimed(systems, ctr.id, ctr.leftoverClaim())
		if !ours && (systems[i].Owner != c.owner || !isOver(systems[i].State)) {
			return false
		}
		err = ctr.terminateAgain()
	}
	if err != nil {
		ctr.log.WithError(err).Warn("compute system that was left under this id does not end")
	}
	return err == nil
}

// isOver tells whether a system in this state, which may be stopping still, is of a
// former life. Any other may be about to run.
func isOver(state string) bool {
	return state != "Created" && state != "Running" && state != "Paused"
}

// endLeftover ends the system that HCS has under the container's id, if the
// claim holds.
func (ctr *container) endLeftover(ours *claim) (ended bool, err error) {
	systems, err := ctr.client.list(ctr.client.owner)
	if err != nil {
		return false, err
	}
	if !ctr.client.claimed(systems, ctr.id, ours) {
		return false, nil
	}
	if err := ctr.terminateAgain(); err != nil {
		return false, err
	}
	return true, nil
}

// claimed tells whether systems has one with this id on which the claim holds; nil
// holds on none.
func (c *client) claimed(systems []ComputeSystemInfo, id string, ours *claim) bool {
	return ours != nil && slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool {
		return s.ID == id && s.Owner == c.owner && ours.covers(s.State)
	})
}

// leftovers are the compute systems that HCS did not end when it should, or may
// have made though it failed. Rounds in the background end them, until none is
// left or the client is closed.
type leftovers struct {
	mu     sync.Mutex        // guards following
	claims map[string]*claim // by id
	busy   bool              // a round runs or is due
}

// endLater has what HCS did not end be ended once the container's id is free.
func (ctr *container) endLater(ours *claim) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.leftover = ctr.leftover.with(ours)
}

// leftoverClaim is the claim on what HCS may have under the container's id, nil if
// there is none.
func (ctr *container) leftoverClaim() *claim {
	ctr.mu.Lock()
	own := ctr.leftover
	ctr.mu.Unlock()
	return own.with(ctr.client.leftovers.claim(ctr.id))
}

// forgetLeftover drops the claims on what HCS had under the container's id, now that
// it has been free.
func (ctr *container) forgetLeftover() {
	rest := ctr.leftoverClaim().rest()
	ctr.mu.Lock()
	ctr.leftover = rest
	ctr.mu.Unlock()
	ctr.client.leftovers.forget(ctr.id)
}

// endInBackground ends what HCS has under id, however long it takes.
func (c *client) endInBackground(id string, ours *claim) {
	l := &c.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims == nil {
		l.claims = make(map[string]*claim)
	}
	l.claims[id] = ours.with(l.claims[id])
	if !l.busy {
		l.busy = true
		c.endLeftoversAfter(leftoverPause) // the engine may want the id at once
	}
}

// claim is the one that there is on id, nil if there is none.
func (l *leftovers) claim(id string) *claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claims[id]
}

// drop ends a claim on id, unless there is another by now: nothing is left of the
// system.
func (l *leftovers) drop(id string, ours *claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims[id] != ours {
		return
	}
	if rest := ours.rest(); rest != nil {
		l.claims[id] = rest
	} else {
		delete(l.claims, id)
	}
}

// forget ends any claim on id.
func (l *leftovers) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.claims, id)
}

// endLeftovers is one round, which came after pause. The next one, if something is
// left then, comes after twice that.
func (c *client) endLeftovers(pause time.Duration) {
	if c.isClosing() {
		return
	}
	l := &c.leftovers
	l.mu.Lock()
	claims := maps.Clone(l.claims)
	l.mu.Unlock()
	if systems, err := c.list(c.owner); err == nil {
		var round sync.WaitGroup
		for id, ours := range claims {
			round.Go(func() {
				if !c.claimed(systems, id, ours) || c.endUnclaimed(id) == nil {
					l.drop(id, ours)
				}
			})
		}
		round.Wait()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = len(l.claims) > 0
	if l.busy {
		c.endLeftoversAfter(min(2*pause, c.grace))
	}
}

// leftoverPause is the pause before the first round.
const leftoverPause = 100 * time.Millisecond

// endLeftoversAfter begins a round when pause is over.
func (c *client) endLeftoversAfter(pause time.Duration) {
	time.AfterFunc(pause, func() {
		c.tasks.start(func() { c.endLeftovers(pause) })
	})
}
