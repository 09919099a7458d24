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
	var restores sync.WaitGroup
	for id, r := range records {
		var s streams
		if e.restored != nil {
			s.stdin, s.stdout, s.stderr = e.restored(id, r.Labels)
		}
		c := e.newContainer(id, r, s)
		e.mu.Lock()
		e.table[id] = c
		e.mu.Unlock()
		restores.Go(func() { c.restore(r) })
	}
	done := make(chan struct{})
	e.spawn(func() {
		defer close(done)
		restores.Wait()
		if e.owner != "" { // else others may use it, too
			e.reconcile()
		}
	})
	e.awaitFor(done, recoverLimit)
}

// restore takes the container up, or ends what is left of it.
func (c *Container) restore(r record) {
	client, closing := c.engine.client, c.engine.closing
	if r.Phase == PhaseExited && !r.MayStillRun {
		c.exit(libcontainerd.StateInfo{})
		return
	}
	if r.Phase != PhaseExited && r.Pid != 0 && !r.Stopped {
		err := c.init.log.open()
		if err == nil {
			err = client.Restore(c.id, libcontainerd.WithReattach(r.Spec, r.Pid))
		}
		if err == nil || isClosed(closing) {
			return // what became of it was told
		}
		c.engine.warn(c.id, "the container cannot be taken up, ending it", err)
	}
	if err := client.Restore(c.id); err != nil && !isClosed(closing) {
		c.exit(libcontainerd.StateInfo{
			ExitCode: libcontainerd.RestoreExitCode, ExitedAt: time.Now(), Err: errors.Join(err, libcontainerd.ErrMayStillRun),
		})
	}
}

// takenUp notes that a container that was left is this engine's.
func (c *Container) takenUp(info libcontainerd.StateInfo) {
	c.mu.Lock()
	c.left = ""
	c.state.Phase, c.state.Pid = PhaseRunning, info.Pid
	c.mu.Unlock()
	c.note(EventRestore, info)
	if isClosed(c.halted) { // before the client knew it
		c.engine.spawn(c.init.discard)
	}
}

// reconcile ends what the state does not know.
func (e *Engine) reconcile() {
	ended, err := e.client.Reconcile(context.Background(), e.owner)
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
