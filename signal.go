package libcontainerd

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
)

// signal ends the container; see Client.Signal.
func (ctr *container) signal(sig int) error {
	if sig == SignalCheck {
		return ctr.check()
	}
	if sig != SignalKill {
		ctr.pauses.settle() // only a container that runs can shut down
	}
	ctr.mu.Lock()
	phase, s := ctr.phase, ctr.system
	cancels := phase == creating || phase == restarting || phase == exiting && ctr.deciding
	if cancels {
		ctr.cancelLocked()
	}
	ctr.mu.Unlock()
	switch {
	case cancels:
		return ctr.cancelRestart()
	case phase == gone, phase == exiting && sig != SignalKill:
		return nil
	case sig == SignalKill:
		return ctr.kill(s)
	}
	return ctr.shutdown(s)
}

// check returns an error unless the container runs.
func (ctr *container) check() error {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if ctr.phase.isUp() {
		return nil
	}
	return newError(OpSignal, ctr.id, "", ctr.notRunningLocked())
}

// cancelRestart tells the restart manager, if there is one, that the start or the wait
// for it was cancelled.
func (ctr *container) cancelRestart() error {
	if ctr.restartManager == nil {
		return nil
	}
	return newError(OpSignal, ctr.id, "", ctr.restartManager.Cancel())
}

// kill asks for the termination. A container whose stop HCS does not tell then is ended
// all the same.
func (ctr *container) kill(s *system) error {
	if s == nil {
		return nil // a start that has failed before there was one
	}
	return tolerateStop(s.kill(func() { ctr.end(s) }))
}

// shutdown asks the container to stop gracefully. A paused one could not, and is resumed
// before; so is one whose resume is under way.
func (ctr *container) shutdown(s *system) error {
	if err := ctr.resumeForShutdown(s); err != nil && !s.hasStopped() {
		return err
	}
	return tolerateStop(s.shutdown(ctr.client.callTimeout))
}

// resumeForShutdown resumes the container if it is paused.
func (ctr *container) resumeForShutdown(s *system) error {
	for first := true; ; first = false {
		ctr.mu.Lock()
		isPaused, current := ctr.phase == paused && ctr.system == s, ctr.pauses.current
		ctr.pauses.bySignal = ctr.pauses.bySignal || isPaused
		ctr.mu.Unlock()
		if !isPaused {
			return nil
		}
		if current == nil || !first {
			return ctr.pauses.toggle(newResume())
		}
		await(current.over, ctr.client.callTimeout)
	}
}

// tolerateStop drops errors that say that what was to stop has stopped.
func tolerateStop(err error) error {
	if isStopAccepted(err) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// find returns a process of the container, its init process included.
func (ctr *container) find(op, name string) (*process, error) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	p := ctr.execs[name]
	if name == InitFriendlyName {
		p = ctr.init
		if !ctr.phase.isUp() {
			return nil, newError(op, ctr.id, name, ctr.notRunningLocked())
		}
	}
	switch {
	case ctr.phase == creating || ctr.phase == restarting:
		return nil, newError(op, ctr.id, name, ctr.notRunningLocked())
	case p == nil || p.exitBegun.Load():
		return nil, newError(op, ctr.id, name, fmt.Errorf("no such process: %w", errdefs.ErrNotFound))
	case p.state == settled:
		return nil, newError(op, ctr.id, name, errEnded)
	case p.handle == nil:
		return nil, newError(op, ctr.id, name, fmt.Errorf("process is being created: %w", errdefs.ErrFailedPrecondition))
	}
	return p, nil
}

// signalProcess kills an exec'd process; see Client.SignalProcess.
func (ctr *container) signalProcess(name string, sig int) error {
	p, err := ctr.find(OpSignal, name)
	switch {
	case errors.Is(err, errEnded) && sig != SignalCheck:
		return nil
	case err != nil || sig == SignalCheck:
		return err
	}
	return p.kill()
}

// errEnded is a process that has ended, of which the Backend does not know yet.
var errEnded = fmt.Errorf("process has ended: %w", errdefs.ErrNotFound)

// kill asks for the end of the process. HCS wants one kill of a process at a
// time; a second one could do no more.
func (p *process) kill() error {
	ctr := p.container
	ctr.mu.Lock()
	underWay := p.killing
	p.killing = true
	ctr.mu.Unlock()
	if underWay {
		return nil
	}
	err := request(ctr.client, p.handle, p.op(OpKill), ctr.client.callTimeout, func(h ComputeProcess) error {
		defer p.killEnded()
		return h.Kill()
	}, nil)
	if errors.Is(err, errGone) {
		p.killEnded() // it has not begun
		return nil
	}
	if isAlreadyStopped(err) {
		return nil
	}
	return err
}

func (p *process) killEnded() {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	p.killing = false
}
