package swarm

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// The engine forgets a container that it could not start. HCS may not have ended it
// yet: its layers stay mounted until HCS does not know it any longer.

func (e *Executor) noteFailedStart(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.uncertain[id] = true
}

// mustBeGone returns an error if a container that the engine does not know may run.
func (e *Executor) mustBeGone(id string) error {
	e.mu.Lock()
	uncertain := e.uncertain[id]
	e.mu.Unlock()
	if !uncertain {
		return nil
	}
	var systems []libcontainerd.ComputeSystemInfo
	err := wait(e.life, func() (err error) { // HCS may not answer
		systems, err = e.host.service.ComputeSystems("")
		return err
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(systems, func(s libcontainerd.ComputeSystemInfo) bool { return s.ID == id }) {
		return fmt.Errorf("container %q: %w", id, libcontainerd.ErrMayStillRun)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.uncertain, id)
	return nil
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
