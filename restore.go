package libcontainerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Restore is described at Client.
func (c *client) Restore(containerID string, options ...CreateOption) error {
	ctr, err := c.reserve(OpRestore, containerID, options)
	if err != nil {
		return err
	}
	alive, err := ctr.restore()
	if err == nil && alive {
		return nil
	}
	c.remove(ctr)
	if err != nil {
		return err
	}
	return c.backend.StateChanged(containerID, StateInfo{State: StateExit, ExitCode: RestoreExitCode})
}

// errInitGone keeps a container from being taken up: there is nothing to watch.
var errInitGone = errors.New("init process is no more")

// restore ends what HCS still has of the container, or takes it up again if the
// options say so; alive tells that it did.
func (ctr *container) restore() (alive bool, err error) {
	c := ctr.client
	system, err := c.open(ctr.id, c.callTimeout)
	switch {
	case errors.Is(err, CodeSystemNotFound):
		return false, nil
	case err != nil:
		return false, err
	case ctr.reattach == nil:
		return false, c.end(ctr.id, system, c.terminateTimeout)
	}
	err = ctr.takeUp(system)
	if errors.Is(err, errInitGone) {
		ctr.log.WithField("pid", ctr.reattach.initPid).Info("init process is no more, ending what is left of the container")
		return false, ctr.terminateAgain()
	}
	return err == nil, err
}

// takeUp makes a system that runs a container of this client. If that fails the
// system is left as it was.
func (ctr *container) takeUp(system ComputeSystem) error {
	ctr.watch(system)
	return ctr.bringUp(StateRestore, ctr.reopen, ctr.leave)
}

// reopen opens the init process and takes its streams, if HCS still has them.
func (ctr *container) reopen() error {
	plan, err := ctr.makePlan(ctr.reattach.spec)
	if err != nil {
		return err
	}
	ctr.plan = plan
	init := newProcess(ctr, InitFriendlyName, plan.process)
	if err := init.open(ctr.reattach.initPid); err != nil {
		if isAlreadyStopped(err) || errors.Is(err, CodeInvalidState) {
			err = fmt.Errorf("%w: %w", errInitGone, err)
		}
		return err
	}
	if err := init.takeStdio(); err != nil {
		ctr.log.WithError(err).Info("streams of the init process cannot be had again")
	}
	if err := ctr.run(init); err != nil {
		init.letGo()
		return err
	}
	if !plan.hyperv {
		return nil
	}
	isPaused, err := ctr.isPausedInHCS()
	if err != nil {
		ctr.log.WithError(err).Warn("cannot tell whether the container is paused, taking it to run")
	}
	if isPaused {
		ctr.setPhase(paused)
	}
	return nil
}

// isPausedInHCS tells whether HCS has the container's system paused.
func (ctr *container) isPausedInHCS() (bool, error) {
	systems, err := ctr.client.list("")
	return slices.ContainsFunc(systems, func(s ComputeSystemInfo) bool { return s.ID == ctr.id && s.State == "Paused" }), err
}

// leave lets go of a system that could not be taken up.
func (ctr *container) leave() {
	ctr.setPhase(exiting)
	ctr.detach()
	close(ctr.settled)
}

// open opens a process that HCS has made in a former life of the engine.
func (p *process) open(pid uint32) error {
	c := p.container.client
	process, err := use(c, p.container.system, p.op(OpOpen), c.callTimeout,
		func(s ComputeSystem) (ComputeProcess, error) { return s.OpenProcess(pid) },
		func(late ComputeProcess, err error) {
			if err == nil {
				newHandle(late).close(c)
			}
		})
	if err == nil {
		p.adopt(process, pid)
	}
	return err
}

// Reconcile is described at Client.
func (c *client) Reconcile(ctx context.Context, owner string) ([]ComputeSystemInfo, error) {
	systems, err := c.list(cmp.Or(owner, c.owner))
	if err != nil {
		return nil, err
	}
	type outcome struct {
		ComputeSystemInfo
		err error
	}
	outcomes := make(chan outcome, len(systems))
	waiting := 0
	for _, s := range systems {
		waiting++
		c.tasks.start(func() { outcomes <- outcome{s, c.endUnclaimed(s.ID)} })
	}
	var ended []ComputeSystemInfo
	var failures []error
	for ; waiting > 0; waiting-- {
		select {
		case o := <-outcomes:
			switch {
			case o.err == nil:
				ended = append(ended, o.ComputeSystemInfo)
			case !errors.Is(o.err, errInUse): // the engine claims it
				failures = append(failures, o.err)
			}
		case <-ctx.Done():
			failures = append(failures, newError(OpReconcile, "", "", ctx.Err()))
			waiting = 1
		}
	}
	slices.SortFunc(ended, func(a, b ComputeSystemInfo) int { return strings.Compare(a.ID, b.ID) })
	return ended, join(failures...)
}
