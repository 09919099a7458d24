package libcontainerd

import (
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
	ctr.processes.collect(deadline)
	init.release()
	init.handle.closeWait(c, c.grace)
	s.close()
	if ctr.restartManager == nil {
		ctr.reportExit(exit)
		return
	}
	(&restart{ctr: ctr, exit: exit}).decide()
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
// engine of 2016. A client that is closed has let go of the process.
func (ctr *container) logExit(exit StateInfo) {
	if ctr.client.isClosed() {
		return
	}
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
