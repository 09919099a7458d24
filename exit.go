package libcontainerd

import (
	"errors"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// watchInit waits until the init process has ended.
func (ctr *container) watchInit(init *process) {
	defer ctr.client.tasks.add(-1)
	init.wait()
	close(init.done)
	ctr.end(init.system)
}

// end ends the container, whose compute system s has stopped, or whose init process has
// ended. The first call counts. During a start the end waits for whoever starts the
// container.
func (ctr *container) end(s *system) {
	ctr.mu.Lock()
	if ctr.system != s || !ctr.phase.isUp() || ctr.starting {
		ctr.endSeen = ctr.endSeen || ctr.starting && ctr.system == s
		ctr.mu.Unlock()
		return
	}
	ctr.moveLocked(exiting)
	init := ctr.init
	ctr.mu.Unlock()
	ctr.finish(s, init)
}

// finish stops the compute system, collects the exits of all processes, and restarts
// the container or reports its exit.
func (ctr *container) finish(s *system, init *process) {
	c := ctr.client
	teardown := s.stop()
	if c.isClosed() {
		return
	}
	if teardown != nil {
		teardown = join(teardown, ErrMayStillRun)
		c.leftovers.leave(ctr.id, claimOfLife())
	}
	deadline := time.Now().Add(c.grace)
	exit := init.exit(StateExit, deadline)
	exit.Err = join(exit.Err, teardown)
	ctr.collectExecs(deadline)
	init.release()
	init.handle.closeWait(c)
	s.close()
	if ctr.restartManager == nil {
		ctr.reportExit(exit)
		return
	}
	ctr.decideRestart(exit)
}

// collectExecs waits until the exits of the exec'd processes are queued, and gives up
// those that HCS does not tell until deadline.
func (ctr *container) collectExecs(deadline time.Time) {
	ctr.mu.Lock()
	execs := slices.Clone(ctr.order)
	ctr.mu.Unlock()
	for _, p := range execs {
		if !p.isAttached() { // it never will be
			continue
		}
		if !ctr.client.await(p.done, time.Until(deadline)) {
			p.lose()
		}
	}
}

// reportExit ends the life of the id: it is free when the callback begins.
func (ctr *container) reportExit(exit StateInfo) {
	ctr.logExit(exit)
	ctr.mu.Lock()
	_, turn := ctr.moveLocked(gone, event{info: exit, exit: ctr})
	ctr.mu.Unlock()
	if turn {
		ctr.events.deliver()
	}
}

// logExit warns of an exit with an error: StateInfo.Err has no place in the event of an
// engine of 2016.
func (ctr *container) logExit(exit StateInfo) {
	if exit.Err == nil && !ctr.client.logger.Logger.IsLevelEnabled(logrus.DebugLevel) {
		return
	}
	log := ctr.log().WithFields(logrus.Fields{"process": exit.ProcessID, "exit": exit.ExitCode, "pid": exit.Pid})
	if exit.Err != nil {
		log.WithError(exit.Err).Warn("process or container ended with an error")
		return
	}
	log.Debug("process ended")
}

// decideRestart asks the restart manager whether the container starts again. One that
// fails restarts nothing.
func (ctr *container) decideRestart(exit StateInfo) {
	c := ctr.client
	ctr.mu.Lock()
	ctr.deciding = true
	ctr.mu.Unlock()
	again, wait, err := ctr.askRestartManager(exit.ExitCode)
	if err != nil {
		ctr.log().WithError(err).Error("restart manager failed, container is not restarted")
	}
	info := exit
	info.State = StateRestart
	told := make(chan struct{})
	ctr.mu.Lock()
	ctr.deciding = false
	restart, turn := false, false
	if again && err == nil && !ctr.cancelled {
		restart, turn = ctr.moveLocked(restarting, event{info: info, told: told})
	}
	cancelled := ctr.cancelled
	ctr.mu.Unlock()
	if !restart {
		if cancelled {
			ctr.drain(wait)
		}
		ctr.reportExit(exit)
		return
	}
	ctr.logExit(info)
	if turn {
		ctr.events.deliver()
	}
	select {
	case <-told:
		ctr.awaitRestart(exit, wait)
	case <-c.closing:
	}
}

// askRestartManager calls the restart manager, which belongs to the engine: like a
// callback it does not count as a task.
func (ctr *container) askRestartManager(exitCode uint32) (again bool, wait chan error, err error) {
	ctr.client.tasks.add(-1)
	defer ctr.client.tasks.add(1)
	return ctr.restartManager.ShouldRestart(exitCode)
}

// awaitRestart waits until the restart manager lets the restart begin, and starts the
// container again.
func (ctr *container) awaitRestart(exit StateInfo, wait chan error) {
	c := ctr.client
	if wait != nil {
		select {
		case err := <-wait:
			if err != nil {
				exit.Err = join(exit.Err, newError(OpRestart, ctr.id, "", err))
				ctr.reportExit(exit)
				return
			}
		case <-ctr.cancel:
			ctr.drain(wait)
		case <-c.closing:
			return
		}
	}
	if err := ctr.startAgain(); err != nil && !c.isClosed() {
		ctr.reportExit(exitOfFailedRestart(exit, err))
	}
}

// drain receives what a restart manager sends after its Cancel, so that a goroutine of
// the engine that sends it can end. One that does not answer is not waited for longer
// than the grace.
func (ctr *container) drain(wait chan error) {
	if wait == nil {
		return
	}
	c := ctr.client
	c.tasks.start(func() {
		timer := time.NewTimer(c.grace)
		defer timer.Stop()
		select {
		case <-wait:
		case <-timer.C:
		case <-c.closing:
		}
	})
}

// startAgain makes the next incarnation.
func (ctr *container) startAgain() error {
	ctr.mu.Lock()
	if err := ctr.proceedLocked(); err != nil {
		ctr.mu.Unlock()
		return err
	}
	ctr.system, ctr.init = nil, nil
	ctr.pauses.resetLocked()
	ctr.starting, ctr.endSeen = true, false
	ctr.events.held = true
	ctr.handed.Store(false)
	ctr.handedEnd.Store(false)
	ctr.moveLocked(creating)
	ctr.mu.Unlock()
	return ctr.bringUp(ctr.boot)
}

// exitOfFailedRestart is the exit of a container that could not be started again: the
// last one if a signal was the reason, else an unknown one.
func exitOfFailedRestart(last StateInfo, err error) StateInfo {
	if errors.Is(err, errCancelled) {
		return last
	}
	return StateInfo{State: StateExit, ExitCode: UnknownExitCode, ProcessID: InitFriendlyName, ExitedAt: time.Now(), Err: err}
}
