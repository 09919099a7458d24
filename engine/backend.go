package engine

import (
	"fmt"

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
	return b.AttachProcessStreams(id, libcontainerd.InitFriendlyName, 0, pipe)
}

// AttachProcessStreams connects an exec'd process.
func (b backend) AttachProcessStreams(id, name string, pid uint32, pipe libcontainerd.IOPipe) error {
	p, err := b.process(id, name)
	if err == nil {
		p.connect(pid, pipe)
	}
	return err
}

// process returns a process that runs.
func (b backend) process(id, name string) (*Process, error) {
	c := b.lookup(id)
	if c == nil {
		return nil, notFound(id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.processes[name]
	if p == nil {
		return nil, fmt.Errorf("process %q of container %q: %w", name, id, errdefs.ErrNotFound)
	}
	return p, nil
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
		c.turn(PhasePaused, EventPause, info)
	case libcontainerd.StateResume:
		c.turn(PhaseRunning, EventResume, info)
	case libcontainerd.StateExit:
		c.exit(info)
	case libcontainerd.StateExitProcess:
		if p, err := b.process(id, info.ProcessID); err == nil {
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

// turn notes that a container is in another phase.
func (c *Container) turn(phase Phase, what EventType, info libcontainerd.StateInfo) {
	c.mu.Lock()
	c.state.Phase = phase
	c.mu.Unlock()
	c.tell(what, "", info)
}
