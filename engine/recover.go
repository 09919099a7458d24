package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// recoverLimit is how long New waits for what it finds.
const recoverLimit = 30 * time.Second

// recover takes care of what the engine before this one has left, and returns when
// that is done, or after recoverLimit.
func (e *Engine) recover(records map[string]record) {
	var left []*Container
	for id, r := range records {
		c := e.newContainer(id, r)
		c.left = &r
		if e.restored != nil {
			c.stdio.stdin, c.stdio.stdout, c.stdio.stderr = e.restored(id, r.Labels)
		}
		e.table[id] = c // nobody else knows e yet
		left = append(left, c)
	}
	done := make(chan struct{})
	e.spawn(func() {
		defer close(done)
		var all sync.WaitGroup
		for _, c := range left {
			all.Go(c.restore)
		}
		all.Wait()
		e.reconcile()
		for _, c := range left {
			e.spawn(c.revive)
		}
	})
	timer := time.NewTimer(recoverLimit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// reconcile ends what the state does not know, if nobody else uses the owner.
func (e *Engine) reconcile() {
	if !e.exclusive() {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e.spawn(func() {
		defer cancel()
		e.await(ctx, nil)
	})
	ended, err := e.client.Reconcile(ctx, e.ownerName())
	if err != nil && !isClosed(e.closing) {
		e.warn("", "what a former engine has left is not all ended", err)
	}
	for _, system := range ended {
		if c := e.lookup(system.ID); c != nil {
			c.systemEnded()
		} else {
			e.events.add(Event{Type: EventOrphan, ContainerID: system.ID})
		}
	}
}

// restore takes the container up, or ends what is left of it.
func (c *Container) restore() {
	left := *c.left
	client := c.engine.client
	if left.Phase == PhaseExited {
		c.restoreExited(left)
		return
	}
	if left.Pid != 0 && !left.Stopped && !left.GivenUp {
		err := c.stdio.log.open()
		if err == nil {
			err = client.Restore(c.id, libcontainerd.WithReattach(c.spec, left.Pid), libcontainerd.WithRestartManager(&c.restarter))
		}
		if err == nil || isClosed(c.engine.closing) {
			return // what became of it was told
		}
		c.engine.warn(c.id, "the container cannot be taken up, ending it", err)
	}
	if err := client.Restore(c.id); err != nil && !isClosed(c.engine.closing) {
		c.exitOrRevive(libcontainerd.StateInfo{
			ExitCode: libcontainerd.RestoreExitCode, ExitedAt: time.Now(), Err: errors.Join(err, libcontainerd.ErrMayStillRun),
		})
	}
}

// restoreExited makes a container exited that was so already.
func (c *Container) restoreExited(left record) {
	c.setPhase(PhaseExited) // what Restore tells is old
	if left.MayStillRun && c.engine.client.Restore(c.id) == nil && c.leftover() == nil {
		c.systemEnded()
	}
	if isClosed(c.engine.closing) || c.comesBack(c.lastExit()) {
		return
	}
	for _, done := range []chan struct{}{c.exited, c.done, c.free} {
		close(done)
	}
	if c.autoRemove || c.givenUp {
		c.engine.forgetOrWarn(c)
	}
}

// exitOrRevive is exit, but for a container that ended while no engine watched it
// and that this one is to start again.
func (c *Container) exitOrRevive(info libcontainerd.StateInfo) {
	c.mu.Lock()
	left := c.left
	c.mu.Unlock()
	if left != nil && left.Phase == PhaseRestarting { // its exit was told
		info.ExitCode, info.ExitedAt = left.ExitCode, left.ExitedAt
	}
	if left != nil && c.comesBack(info) {
		return
	}
	c.exit(info)
	if left != nil && left.GivenUp {
		c.engine.forgetOrWarn(c)
	}
}

// comesBack reports whether the policy wants a container that was left to be started
// again, and notes so.
func (c *Container) comesBack(info libcontainerd.StateInfo) bool {
	c.mu.Lock()
	decided := c.left.Phase == PhaseRestarting && !c.stopped
	if c.givenUp || !decided && !c.policy.revives(info.ExitCode, c.status.Restarts, c.stopped) {
		c.mu.Unlock()
		return false
	}
	c.noteExitLocked(PhaseRestarting, info)
	if !decided {
		c.status.Restarts++
	}
	c.revival, c.stopped = true, false
	c.mu.Unlock()
	c.engine.saveOrWarn(c.id)
	c.tell(EventRestart, info)
	return true
}

// takeRevival reports whether the container waits to be started by New, and ends
// that: the caller decides what becomes of it.
func (c *Container) takeRevival() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waits := c.revival
	c.revival = false
	return waits
}

// revive starts a container that comes back.
func (c *Container) revive() {
	if !c.takeRevival() {
		return
	}
	c.mu.Lock()
	c.left = nil
	c.mu.Unlock()
	err := c.bringUp()
	if err != nil && !isClosed(c.engine.closing) { // else the next engine revives it
		c.exit(libcontainerd.StateInfo{ExitCode: libcontainerd.UnknownExitCode, ExitedAt: time.Now(), Err: err})
	}
}

// lastExit returns the exit that the status holds.
func (c *Container) lastExit() libcontainerd.StateInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return libcontainerd.StateInfo{ExitCode: c.status.ExitCode, ExitedAt: c.status.ExitedAt, Err: c.status.Err}
}
