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
	covers func(state string) bool // the states, as HCS spells them, in which it may be ended
	until  time.Time               // as long HCS may yet make it; zero: it is there, or never will be
}

// claimOfFormerLife is the claim on what an engine before this one has left, which
// may be stopping still. Any other may be about to run.
func claimOfFormerLife() *claim {
	return &claim{covers: func(state string) bool {
		return state != "Created" && state != "Running" && state != "Paused"
	}}
}

// claimOfLife is the claim on a system that ran as a container of the client.
func claimOfLife() *claim {
	return &claim{covers: func(string) bool { return true }}
}

// lateCreate is how long a system may come after hcsshim has given its creation up,
// which HCS is not told.
const lateCreate = time.Hour

// claimOfFailure is the claim on what a create that failed with err may have left.
// A system that runs is somebody's.
func claimOfFailure(err error) *claim {
	c := &claim{covers: func(state string) bool { return state == "Created" }}
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
	if err != nil || !ended && !ours.until.IsZero() {
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
		if !slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool { return s.ID == ctr.id }) {
			return true
		}
		ours := c.leftovers.claim(ctr.id)
		if ours == nil {
			ours = claimOfFormerLife()
		}
		if !c.claimed(systems, ctr.id, ours) {
			return false
		}
		err = ctr.terminateAgain()
	}
	if err != nil {
		ctr.log.WithError(err).Warn("compute system that was left under this id does not end")
	}
	return err == nil
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

// claimed tells whether systems has one with this id on which the claim holds.
func (c *client) claimed(systems []ComputeSystemInfo, id string, ours *claim) bool {
	return slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool {
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

// endLater has what HCS did not end be ended once the container's id is free; nil:
// nothing.
func (ctr *container) endLater(ours *claim) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.leftover = ours
}

// forgetLeftover drops every claim on what HCS had under the container's id.
func (ctr *container) forgetLeftover() {
	ctr.endLater(nil)
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
	l.claims[id] = ours
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
	if l.claims[id] == ours {
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
				there := c.claimed(systems, id, ours)
				if there && c.endUnclaimed(id) == nil || !there && !time.Now().Before(ours.until) {
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
