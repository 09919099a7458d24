package libcontainerd

import (
	"errors"
)

// signal ends the container; see Client.Signal.
func (ctr *container) signal(sig int) error {
	if sig == SignalCheck {
		return ctr.check()
	}
	if sig != SignalKill {
		ctr.pauses.learn() // only a container that runs can shut down
	}
	ctr.mu.Lock()
	phase, s := ctr.phase, ctr.system
	cancels := phase == creating || phase == restarting || phase == exiting && ctr.deciding
	closed := ctr.client.isClosed()
	if cancels && !closed {
		ctr.cancelLocked()
		ctr.signalled = true
	}
	ctr.mu.Unlock()
	switch {
	case cancels && closed:
		return newError(OpSignal, ctr.id, "", errClosed)
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
	ctr.client.tasks.add(-1) // like a callback
	defer ctr.client.tasks.add(1)
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
// before; no pause begins meanwhile.
func (ctr *container) shutdown(s *system) error {
	ctr.pauses.forbid(1)
	defer ctr.pauses.forbid(-1)
	if err := ctr.pauses.resumeToStop(s); err != nil && !s.hasStopped() {
		return err
	}
	return tolerateStop(s.shutdown(ctr.client.callTimeout))
}

// tolerateStop drops errors that say that what was to stop has stopped.
func tolerateStop(err error) error {
	if isStopAccepted(err) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// signalProcess kills an exec'd process; see Client.SignalProcess.
func (ctr *container) signalProcess(name string, sig int) error {
	p, err := ctr.processes.find(OpSignal, name)
	switch {
	case errors.Is(err, errEnded) && sig != SignalCheck:
		return nil
	case err != nil || sig == SignalCheck:
		return err
	}
	return p.kill()
}

// kill asks for the end of the process. HCS wants one kill of a process at a
// time; a second one would change nothing.
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
