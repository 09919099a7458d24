package libcontainerd

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// claim says that HCS may have left a compute system under an id, and that the client
// may end it.
type claim struct {
	ran   bool      // it ran as a container of the client; else only one that never ran may be ended
	told  bool      // the Backend knows that it may still run, and is told when it has ended
	until time.Time // HCS may create it until then; zero: it is there, or never will be
}

// covers reports whether a system in this state, as HCS spells it, may be ended.
func (c *claim) covers(state string) bool { return c.ran || state == "Created" }

// expected reports whether HCS may still create the system.
func (c *claim) expected() bool { return time.Now().Before(c.until) }

// rest is what is left of a claim once the system has ended; nil: nothing.
func (c *claim) rest() *claim {
	if !c.expected() {
		return nil
	}
	return &claim{until: c.until}
}

// with returns the claim that covers what both cover; other may be nil.
func (c *claim) with(other *claim) *claim {
	if other == nil {
		return c
	}
	both := &claim{ran: c.ran || other.ran, told: c.told || other.told, until: c.until}
	if other.until.After(both.until) {
		both.until = other.until
	}
	return both
}

// claimOfLife is the claim on a system that ran as a container, whose exit has told or
// will tell the Backend that it may still run.
func claimOfLife() *claim { return &claim{ran: true, told: true} }

// lateCreate is how long a system may come after hcsshim has given its creation up:
// HCS does not learn of that.
const lateCreate = time.Hour

// claimOfFailure is the claim on what a create that failed with err may have left. A
// system that runs belongs to somebody.
func claimOfFailure(err error) *claim {
	c := new(claim)
	if errors.Is(err, CodeOperationTimeout) {
		c.until = time.Now().Add(lateCreate)
	}
	return c
}

// leftovers are the claims on what HCS may have left, of all ids. Rounds in the
// background end those whose id no container uses, until none is left or the client
// is closed.
type leftovers struct {
	client *client

	mu     sync.Mutex        // guards following
	claims map[string]*claim // by id
	busy   bool              // a round runs or is due
	timer  *time.Timer       // of the next round
}

// leave keeps a claim on id, and has what HCS left there be ended in the background.
func (l *leftovers) leave(id string, ours *claim) {
	const soon = 100 * time.Millisecond // the engine may want the id at once
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims == nil {
		l.claims = make(map[string]*claim)
	}
	l.claims[id] = ours.with(l.claims[id])
	if !l.busy {
		l.busy = true
		l.roundAfterLocked(pace{first: soon, longest: max(l.client.grace, soon)})
	}
}

// claim returns the claim on id, nil if there is none.
func (l *leftovers) claim(id string) *claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.claims[id]
}

// mayRun reports whether a system that ran may still be there under id. The Backend learns
// that with an exit or an error, and is told when the system has ended.
func (l *leftovers) mayRun(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ours := l.claims[id]
	if ours == nil || !ours.ran {
		return false
	}
	l.claims[id] = claimOfLife().with(ours)
	return true
}

// released drops a claim on id whose system has ended, unless it was replaced meanwhile,
// and tells the Backend if it waits for that.
func (l *leftovers) released(id string, ours *claim) {
	if l.drop(id, ours) {
		l.client.gate.systemEnded(id)
	}
}

// drop ends a claim whose system has ended, unless it was replaced meanwhile. It reports
// whether the Backend is to be told.
func (l *leftovers) drop(id string, ours *claim) (tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ours == nil || l.claims[id] != ours {
		return false
	}
	delete(l.claims, id)
	if rest := ours.rest(); rest != nil {
		l.claims[id] = rest
	}
	return ours.told
}

// roundAfterLocked begins a round after the next pause; l.mu is held.
func (l *leftovers) roundAfterLocked(p pace) {
	pause, _ := p.next()
	l.timer = time.AfterFunc(pause, func() {
		l.client.tasks.start(func() { l.round(p) })
	})
}

// round ends what it can, and has the next one begin if something is left.
func (l *leftovers) round(p pace) {
	c := l.client
	if c.isClosed() {
		return
	}
	l.mu.Lock()
	claims := maps.Clone(l.claims)
	l.mu.Unlock()
	maps.DeleteFunc(claims, func(id string, _ *claim) bool { return c.inUse(id) != nil })
	if len(claims) > 0 {
		l.end(claims)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = len(l.claims) > 0 && !c.isClosed()
	if l.busy {
		l.roundAfterLocked(p)
	}
}

// end ends what HCS has left under the ids of claims.
func (l *leftovers) end(claims map[string]*claim) {
	c := l.client
	systems, err := c.list(c.owner)
	if err != nil {
		return
	}
	var round sync.WaitGroup
	for id, ours := range claims {
		round.Go(func() {
			ended := !l.holds(ours, systems, id) || c.endUnused(id) == nil
			if ended && l.drop(id, ours) {
				c.tasks.start(func() { c.gate.systemEnded(id) }) // the round waits for no callback
			}
		})
	}
	round.Wait()
}

// stop keeps further rounds from beginning. One that has begun sees that the client is
// closed.
func (l *leftovers) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
}

// holds reports whether systems has one with this id that the claim covers; a nil claim
// covers none.
func (l *leftovers) holds(ours *claim, systems []ComputeSystemInfo, id string) bool {
	return ours != nil && slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool {
		return s.ID == id && s.Owner == l.client.owner && ours.covers(s.State)
	})
}

// sweep ends what a create that failed with err has left: HCS can fail after it has
// made the system. What cannot be ended now, or may still come, is ended later.
func (l *leftovers) sweep(id string, err error) {
	c, ours := l.client, claimOfFailure(err)
	systems, err := c.list(c.owner)
	found := err == nil && l.holds(ours, systems, id)
	if found {
		err = c.endUnder(id, c.terminateTimeout, nil, nil)
	}
	if err != nil {
		c.log(id).WithError(err).Warn("cannot end what a create that failed may have left")
	}
	if err != nil || !found && ours.expected() {
		l.leave(id, ours)
	}
}

// disposeLate ends the system of a create that was given up, also one that HCS has made
// though it says that it failed.
func (l *leftovers) disposeLate(id string, system ComputeSystem, err error) {
	c := l.client
	if err == nil {
		s := newSystem(c, id, system, nil)
		err = s.end(c.terminateTimeout, c.terminateTimeout, c.closing)
		s.close()
	}
	if err != nil {
		l.leave(id, claimOfFailure(err))
	}
}

// clear ends the system that an engine before this one, or a former life of the
// container, has left under id. It reports false if the id will not be free soon. A
// system that HCS no longer lists is all but gone.
func (l *leftovers) clear(id string) bool {
	c := l.client
	systems, err := c.list("")
	if err == nil {
		i := slices.IndexFunc(systems, func(s ComputeSystemInfo) bool { return s.ID == id })
		if i < 0 {
			return true
		}
		left := systems[i].Owner == c.owner && isOver(systems[i].State)
		if !left && !l.holds(l.claim(id), systems, id) {
			return false
		}
		err = c.endUnder(id, c.terminateTimeout, nil, c.closing)
	}
	if err != nil {
		c.log(id).WithError(err).Warn("compute system that was left under this id does not end")
	}
	return err == nil
}
