package libcontainerd

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// claim tells in which states, as HCS spells them, a compute system of the
// client's owner may be ended.
type claim func(state string) bool

// neverRan is the claim on a system whose create failed. One that runs is
// somebody's.
func neverRan(state string) bool { return state == "Created" }

// isOver is the claim on a system of a former life, which may be stopping still.
// Any other may be about to run.
func isOver(state string) bool {
	return state != "Created" && state != "Running" && state != "Paused"
}

// ranAsThis is the claim on a system that ran as a container of the client.
func ranAsThis(string) bool { return true }

// sweep ends what a create that failed may have left all the same: HCS can fail
// after it has made the system. It returns false if it could not.
func (ctr *container) sweep() bool {
	_, err := ctr.endLeftover(neverRan)
	if err != nil {
		ctr.log.WithError(err).Warn("cannot end what a create that failed may have left")
	}
	return err == nil
}

// disposeLate ends the system of a create that was given up, also one that HCS
// has made though it says that it failed.
func (ctr *container) disposeLate(system ComputeSystem, err error) {
	if err == nil {
		err = ctr.client.end(ctr.id, system, ctr.client.terminateTimeout)
	}
	if err != nil {
		ctr.client.endInBackground(ctr.id, neverRan)
	}
}

// clearPreviousLife ends the system that an engine before this one, or a former
// life of the container, has left under its id.
func (ctr *container) clearPreviousLife() bool {
	ours := claim(isOver)
	if known := ctr.client.leftovers.claim(ctr.id); known != nil {
		ours = *known
	}
	ended, err := ctr.endLeftover(ours)
	if err != nil {
		ctr.log.WithError(err).Warn("compute system that was left under this id does not end")
	}
	return ended
}

// endLeftover ends the system that HCS has under the container's id, if the
// claim holds.
func (ctr *container) endLeftover(ours claim) (ended bool, err error) {
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
func (c *client) claimed(systems []ComputeSystemInfo, id string, ours claim) bool {
	return slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool {
		return s.ID == id && s.Owner == c.owner && ours(s.State)
	})
}

// leftovers are the compute systems that HCS did not end when it should, or may
// have made though it failed. Rounds in the background end them, until none is
// left or the client is closed.
type leftovers struct {
	mu     sync.Mutex        // guards following
	claims map[string]*claim // by id; one that comes while there is another has an address of its own
	busy   bool              // a round runs or is due
}

// endLater has what HCS did not end be ended once the container's id is free; nil:
// nothing.
func (ctr *container) endLater(ours claim) {
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
func (c *client) endInBackground(id string, ours claim) {
	l := &c.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims == nil {
		l.claims = make(map[string]*claim)
	}
	l.claims[id] = &ours
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

// endUnder ends the system with this id. It takes the id meanwhile, so that it
// never meets a container created since.
func (c *client) endUnder(id string) bool {
	turn, err := c.reserve(opTerminate, id, nil)
	if err != nil {
		return false
	}
	defer c.remove(turn)
	return turn.terminateAgain() == nil
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
				if !c.claimed(systems, id, *ours) || c.endUnder(id) {
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
