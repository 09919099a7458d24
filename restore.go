package libcontainerd

import (
	"errors"
	"fmt"
	"time"
)

// Restore is described at Client.
func (c *client) Restore(containerID string, options ...CreateOption) error {
	if err := c.enter(OpRestore, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.reserve(OpRestore, containerID, options)
	if err != nil {
		return err
	}
	up := false
	defer func() { // also if the Backend panics
		if !up {
			c.remove(ctr)
		}
	}()
	up, err = ctr.restore()
	return err
}

// restore ends what HCS still has of the container, or takes it up again if the options
// say so. It reports whether the container is up then.
func (ctr *container) restore() (up bool, err error) {
	c := ctr.client
	compute, err := c.open(ctr.id, c.callTimeout)
	switch {
	case errors.Is(err, CodeSystemNotFound):
		return false, ctr.reportRestored(newError(OpRestore, ctr.id, "", fmt.Errorf("it has ended while no engine watched it: %w", err)))
	case err != nil:
		return false, err
	case ctr.reattach == nil:
		return false, ctr.endRestored(newSystem(c, ctr.id, compute, nil))
	}
	return ctr.takeUp(compute)
}

// endRestored ends a container and reports its exit. A system that HCS refuses to end, or
// does not answer for within the grace, is ended in the background.
func (ctr *container) endRestored(s *system) error {
	c := ctr.client
	err := s.end(c.grace, c.terminateTimeout, c.closing)
	s.close()
	switch {
	case c.isClosed():
		return newError(OpRestore, ctr.id, "", errClosed)
	case err == nil:
		return ctr.reportRestored(nil)
	}
	c.leftovers.leave(ctr.id, claimOfLife())
	return ctr.reportRestored(join(newError(OpRestore, ctr.id, "", err), ErrMayStillRun))
}

// reportRestored reports the exit of a container that does not run on. err is nil if
// Restore has ended it.
func (ctr *container) reportRestored(err error) error {
	exit := StateInfo{State: StateExit, ExitCode: RestoreExitCode, ExitedAt: time.Now(), Err: err}
	ctr.logExit(exit)
	ctr.mu.Lock()
	ctr.moveLocked(gone)
	ctr.mu.Unlock()
	ctr.letFormerBegin()
	return ctr.events.tell(event{info: exit, exit: ctr})
}

// errInitGone keeps a container from being taken up: there is nothing to watch.
var errInitGone = errors.New("init process has ended")

// takeUp makes a system that runs a container of this client. If the init process has
// ended, or the container is signalled meanwhile, it is ended. If anything else fails it
// is left as it was.
func (ctr *container) takeUp(compute ComputeSystem) (up bool, err error) {
	s := ctr.adopt(compute)
	defer func() {
		if !up {
			ctr.letGoOfStart()
		}
	}()
	err = ctr.reopen(s)
	if errors.Is(err, errInitGone) || errors.Is(err, errCancelled) {
		ctr.log().WithField("pid", ctr.reattach.initPid).WithError(err).Info("container is not taken up, ending what is left of it")
		return false, ctr.endRestored(s)
	}
	if err == nil {
		err = ctr.announce()
	}
	if err != nil {
		return false, err
	}
	ctr.started()
	return true, nil
}

// reopen opens the init process and takes its streams, if HCS still has them.
func (ctr *container) reopen(s *system) error {
	plan, err := ctr.reattachPlan()
	if err != nil {
		return err
	}
	ctr.setPlan(plan)
	init := newProcess(ctr, s, InitFriendlyName, plan.process)
	init.command, init.plan = plan.process.program, nil
	if err := init.open(ctr.reattach.initPid); err != nil {
		if isAlreadyStopped(err) || errors.Is(err, CodeInvalidState) {
			err = fmt.Errorf("%w: %w", errInitGone, err)
		}
		return err
	}
	taken, err := init.stdio()
	if err != nil {
		ctr.log().WithError(err).Info("streams of the init process are lost")
	}
	init.setStreams(taken.orLost(plan.process.config.EmulateConsole))
	isPaused := false
	if plan.hyperv {
		if isPaused, err = ctr.client.isPaused(ctr.id); err != nil {
			ctr.log().WithError(err).Warn("HCS does not tell whether the container is paused, it is taken to run")
		}
	}
	if err := ctr.run(init, StateRestore, isPaused); err != nil {
		init.letGo()
		return err
	}
	return nil
}

// reattachPlan is the plan of a container that runs: a document is needed only to start it
// again.
func (ctr *container) reattachPlan() (*plan, error) {
	spec := &ctr.reattach.spec
	if ctr.restartManager != nil {
		return ctr.makePlan(OpRestore, spec)
	}
	if err := spec.Process.validate(); err != nil {
		return nil, newError(OpRestore, ctr.id, "", err)
	}
	return &plan{hyperv: spec.Windows.HvRuntime != nil, process: planProcess(&spec.Process)}, nil
}

// letGoOfStart lets go of a system that could not be taken up. Exec'd processes that were
// added meanwhile run on in it; their exits are told as unknown.
func (ctr *container) letGoOfStart() {
	defer func() { // also if the Backend panics
		ctr.startOver()
		ctr.detach()
	}()
	ctr.endStart()
	ctr.processes.collect(time.Now())
	ctr.events.deliverHeld()
}

// open opens a process that HCS has made in a former life of the engine.
func (p *process) open(pid uint32) error {
	c := p.container.client
	op := p.op(OpOpen)
	process, err := callOn(c, p.system.handle, op, c.callTimeout,
		func(s ComputeSystem) (ComputeProcess, error) { return present(s.OpenProcess(pid)) },
		func(late ComputeProcess, err error) {
			if err == nil {
				newHandle(late, p.container.id, p.name).close(c)
			}
		})
	if err == nil {
		p.adopt(process, pid)
	}
	return err
}
