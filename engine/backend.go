package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// backend is the engine as its client calls it. The client calls it for one
// container in order, and also while it creates or pauses one. So nothing here waits
// for more than the disk.
type backend struct{ *Engine }

var (
	_ libcontainerd.Backend        = backend{}
	_ libcontainerd.ProcessBackend = backend{}
	_ libcontainerd.EndBackend     = backend{}
)

// AttachStreams connects the init process of a container; the name is its id.
func (b backend) AttachStreams(id string, pipe libcontainerd.IOPipe) error {
	c := b.lookup(id)
	if c == nil {
		return notFound(id)
	}
	output := b.connect(&c.stdio, pipe, c.exited)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.output = output
	return nil
}

// AttachProcessStreams connects an exec'd process.
func (b backend) AttachProcessStreams(id, name string, pid uint32, pipe libcontainerd.IOPipe) error {
	c := b.lookup(id)
	if c == nil {
		return notFound(id)
	}
	p := c.process(name)
	if p == nil {
		return fmt.Errorf("process %q of container %q: %w", name, id, errdefs.ErrNotFound)
	}
	p.begin(pid, b.connect(&p.stdio, pipe, p.exited))
	return nil
}

// StateChanged is called for every change of a container. Only the error of a start
// counts: the client undoes the start.
func (b backend) StateChanged(id string, info libcontainerd.StateInfo) error {
	c := b.lookup(id)
	if c == nil {
		return notFound(id)
	}
	switch info.State {
	case libcontainerd.StateStart:
		return c.started(info)
	case libcontainerd.StateRestore:
		c.takenUp(info)
	case libcontainerd.StatePause:
		c.setPhase(PhasePaused)
		c.tell(EventPause, info)
	case libcontainerd.StateResume:
		c.setPhase(PhaseRunning)
		c.tell(EventResume, info)
	case libcontainerd.StateRestart:
		c.restarting(info)
	case libcontainerd.StateExit:
		c.exitOrRevive(info)
	case libcontainerd.StateExitProcess:
		if p := c.process(info.ProcessID); p != nil {
			p.exit(info)
		}
	}
	return nil
}

// ComputeSystemEnded is called when a container has ended whose exit came with
// ErrMayStillRun.
func (b backend) ComputeSystemEnded(id string) {
	if c := b.lookup(id); c != nil {
		c.systemEnded()
	}
}

// tell adds an event to those of the engine.
func (c *Container) tell(what EventType, info libcontainerd.StateInfo) {
	c.engine.events.add(Event{
		Type: what, ContainerID: c.id, Labels: c.labels, Pid: info.Pid, ExitCode: info.ExitCode, Err: info.Err,
	})
}

func (c *Container) setPhase(phase Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Phase = phase
}

// takenUp notes that a container that was left is this engine's.
func (c *Container) takenUp(info libcontainerd.StateInfo) {
	c.mu.Lock()
	c.left = nil
	c.status.Phase, c.status.Pid = PhaseRunning, info.Pid
	stopped := c.stopped
	c.mu.Unlock()
	c.engine.saveOrWarn(c.id)
	c.tell(EventRestore, info)
	if stopped { // before the client knew it
		c.engine.spawn(func() { c.engine.insist(c.exited, c.kill) })
	}
}

// errUnwanted refuses the start of a container.
var errUnwanted = fmt.Errorf("stopped before it ran: %w", errdefs.ErrAborted)

// started notes a start. It refuses one that nobody wants any longer, and one that
// the state cannot know.
func (c *Container) started(info libcontainerd.StateInfo) error {
	c.mu.Lock()
	if c.stopped || c.givenUp {
		c.mu.Unlock()
		return errUnwanted
	}
	c.status.StartedAt, c.status.ExitedAt = time.Now(), time.Time{}
	c.status.ExitCode, c.status.Err = 0, nil
	c.status.Phase, c.status.Pid = PhaseRunning, info.Pid
	c.mu.Unlock()
	if err := c.engine.save(c.id); err != nil {
		return err
	}
	c.tell(EventStart, info)
	return nil
}

// beforeRestart reports whether the container that has exited with code is to be
// started again, and if so after which pause, and after which output.
func (c *Container) beforeRestart(code uint32) (pause time.Duration, output *output, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.givenUp || !c.policy.restarts(code, c.status.Restarts) {
		return 0, nil, false
	}
	c.pause = nextPause(c.pause, time.Since(c.status.StartedAt))
	return c.pause, c.output, true
}

// restarting notes an exit that a start follows.
func (c *Container) restarting(info libcontainerd.StateInfo) {
	c.mu.Lock()
	c.noteExitLocked(PhaseRestarting, info)
	c.status.Restarts++
	c.mu.Unlock()
	c.engine.saveOrWarn(c.id)
	c.tell(EventRestart, info)
}

// noteExitLocked puts an exit into the status; c.mu is held.
func (c *Container) noteExitLocked(phase Phase, info libcontainerd.StateInfo) {
	c.status.Phase, c.status.Pid = phase, 0
	c.status.ExitCode, c.status.ExitedAt, c.status.Err = info.ExitCode, info.ExitedAt, info.Err
	if info.ExitedAt.IsZero() {
		c.status.ExitedAt = time.Now()
	}
}

// exit notes that the container has exited for good, and tells so; only the first
// time counts.
func (c *Container) exit(info libcontainerd.StateInfo) {
	c.mu.Lock()
	c.mayStillRun = errors.Is(info.Err, libcontainerd.ErrMayStillRun)
	if c.status.Phase == PhaseExited {
		c.mu.Unlock()
		return
	}
	c.noteExitLocked(PhaseExited, info)
	output, goesOn := c.output, c.mayStillRun
	c.mu.Unlock()
	if goesOn {
		output.cut(errGoesOn)
	}
	c.engine.saveOrWarn(c.id)
	c.tell(EventExit, info)
	close(c.exited)
	c.engine.spawn(func() { c.complete(output) })
}

// complete lets everything go once the output is complete.
func (c *Container) complete(output *output) {
	err := output.wait(c.engine.closing)
	if isClosed(c.engine.closing) {
		return // Close closes the log
	}
	if err = errors.Join(err, c.stdio.log.close()); err != nil {
		c.mu.Lock()
		c.status.Err = errors.Join(c.status.Err, err)
		c.mu.Unlock()
		c.engine.saveOrWarn(c.id)
	}
	if c.autoRemove {
		c.engine.forgetOrWarn(c)
	}
	close(c.done)
	c.calls.Wait()
	close(c.free)
	c.engine.release(c)
}

// letGo ends what the closed engine does for the container, which runs on.
func (c *Container) letGo() error {
	c.mu.Lock()
	output := c.output
	c.mu.Unlock()
	if output != nil {
		timer := time.NewTimer(outputPatience)
		defer timer.Stop()
		select {
		case <-output.done:
		case <-timer.C: // a writer of the user blocks
		}
	}
	return c.stdio.log.close()
}

// systemEnded notes that HCS has ended the container after all.
func (c *Container) systemEnded() {
	c.mu.Lock()
	known := !c.mayStillRun
	c.mayStillRun = false
	c.mu.Unlock()
	if known {
		return
	}
	c.engine.saveOrWarn(c.id)
	c.tell(EventEnded, libcontainerd.StateInfo{})
}
