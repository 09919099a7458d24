package libcontainerd

import (
	"errors"
	"time"
)

// restart is what becomes of a container that has a restart manager and has ended.
type restart struct {
	ctr  *container
	exit StateInfo  // of the life that has ended
	wait chan error // that the restart manager has given; nil: there is nothing to wait for
}

// decide asks the restart manager whether the container starts again. One that fails
// restarts nothing.
func (r *restart) decide() {
	ctr := r.ctr
	ctr.mu.Lock()
	ctr.deciding = true
	ctr.mu.Unlock()
	again := r.ask()
	told := make(chan struct{})
	info := r.exit
	info.State = StateRestart
	ctr.mu.Lock()
	ctr.deciding = false
	cancelled, restarts, turn := ctr.cancelled, false, false
	if again && !cancelled {
		restarts, turn = ctr.moveLocked(restarting, event{info: info, told: told})
	}
	ctr.mu.Unlock()
	if cancelled {
		r.drain()
	}
	if !restarts {
		ctr.reportExit(r.exit)
		return
	}
	ctr.logExit(info)
	if turn {
		ctr.events.deliver()
	}
	select {
	case <-told:
		r.await()
	case <-ctr.client.closing:
		r.drain()
	}
}

// ask calls the restart manager, which belongs to the engine: like a callback it does
// not count as a task.
func (r *restart) ask() (again bool) {
	ctr := r.ctr
	ctr.client.tasks.add(-1)
	defer ctr.client.tasks.add(1)
	again, wait, err := ctr.restartManager.ShouldRestart(r.exit.ExitCode)
	r.wait = wait
	if err != nil {
		ctr.log().WithError(err).Error("restart manager failed, container is not restarted")
	}
	return again && err == nil
}

// await waits until the restart manager lets the restart begin, and starts the container
// again.
func (r *restart) await() {
	ctr := r.ctr
	if r.wait != nil {
		select {
		case err := <-r.wait:
			if err != nil && !ctr.isSignalled() {
				r.exit.Err = join(r.exit.Err, newError(OpRestart, ctr.id, "", err))
				ctr.reportExit(r.exit)
				return
			}
		case <-ctr.cancelChan():
			r.drain()
		case <-ctr.client.closing:
			r.drain()
			return
		}
	}
	if err := r.startAgain(); err != nil && !ctr.client.isClosed() {
		ctr.reportExit(r.exitOfFailure(err))
	}
}

// drain receives what the restart manager sends after its Cancel, so that a goroutine of
// the engine that sends it can end. One that does not answer is not waited for longer
// than the grace, and not at all once the client is closed, unless Cancel was called.
func (r *restart) drain() {
	if r.wait == nil {
		return
	}
	c := r.ctr.client
	c.tasks.start(func() {
		closing := c.closing
		if r.ctr.isSignalled() {
			closing = nil
		}
		timer := time.NewTimer(c.grace)
		defer timer.Stop()
		select {
		case <-r.wait:
		case <-timer.C:
		case <-closing:
		}
	})
}

// startAgain makes the next incarnation.
func (r *restart) startAgain() error {
	ctr := r.ctr
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
	return ctr.bringUp()
}

// exitOfFailure is the exit of a container that could not be started again: the last one
// if a signal was the reason, else an unknown one.
func (r *restart) exitOfFailure(err error) StateInfo {
	exit := r.exit
	if !errors.Is(err, errCancelled) {
		exit = StateInfo{State: StateExit, ExitCode: UnknownExitCode, ProcessID: InitFriendlyName, ExitedAt: time.Now(), Err: err}
	}
	if r.ctr.client.leftovers.mayRun(r.ctr.id) && !errors.Is(exit.Err, ErrMayStillRun) {
		exit.Err = join(exit.Err, ErrMayStillRun)
	}
	return exit
}
