package libcontainerd

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// stop brings the compute system down and waits until it is: a shutdown first,
// a termination when that does not help, a second handle when the first does
// not answer. The error says that it may be there still.
func (ctr *container) stop() error {
	var failures []error
	for _, try := range []func() error{ctr.shutdown, ctr.terminate, ctr.terminateAgain} {
		if ctr.hasStopped() {
			return ctr.verifyStop(ctr.client.grace)
		}
		if ctr.client.isClosing() {
			return nil
		}
		err := try()
		if err == nil {
			return ctr.verifyStop(ctr.client.grace)
		}
		ctr.log.WithError(err).Warn("compute system does not stop")
		failures = append(failures, err)
	}
	return join(failures...)
}

// endFailedStart ends the system of a container that never ran. What has not
// come to an end within the terminate timeout goes on in the background.
func (ctr *container) endFailedStart() {
	c := ctr.client
	deadline := time.Now().Add(c.terminateTimeout)
	err := ctr.terminate()
	if err == nil {
		err = ctr.verifyStop(time.Until(deadline))
	}
	if err != nil && time.Now().Before(deadline) {
		err = ctr.terminateWithin(time.Until(deadline))
	}
	if err != nil {
		ctr.log.WithError(err).Error("compute system of a failed start does not stop, going on in the background")
		ctr.endLater(claimOfLife())
	}
}

// verifyStop asks HCS again when the wait did not end with a stop but for
// another reason, such as the service going away: the container may have outlived
// it.
func (ctr *container) verifyStop(limit time.Duration) error {
	ctr.mu.Lock()
	stopped := isStop(ctr.stopErr)
	ctr.mu.Unlock()
	if stopped {
		return nil
	}
	return ctr.terminateWithin(limit)
}

// isStop tells whether a wait that ended with err saw the system stop, of itself
// or because it was asked to.
func isStop(err error) bool {
	return err == nil || slices.ContainsFunc([]error{
		CodeTerminatedInStart, CodeUnexpectedExit, CodeTerminated, CodeGuestCriticalError,
		CodeAlreadyStopped, CodeSystemNotFound,
	}, func(code error) bool { return errors.Is(err, code) })
}

// shutdown asks the system to stop in order, unless a termination was asked for,
// and waits for it.
func (ctr *container) shutdown() error {
	c := ctr.client
	ctr.mu.Lock()
	terminating := ctr.terminating
	ctr.mu.Unlock()
	if terminating {
		return ctr.awaitStop(OpTerminate, c.terminateTimeout)
	}
	deadline := time.Now().Add(c.shutdownTimeout)
	err := order(c, ctr.system, ctr.op(OpShutdown), c.shutdownTimeout, ComputeSystem.Shutdown, nil)
	switch {
	case err == nil, hasCode(err, CodeOperationPending, CodeShutdownInProgress):
		return ctr.awaitStop(OpShutdown, time.Until(deadline))
	case isStopAccepted(err): // it has stopped, so Wait should say so soon
		return ctr.awaitStop(OpShutdown, min(c.grace, time.Until(deadline)))
	}
	return err
}

// terminate ends the system at once and waits until it has stopped.
func (ctr *container) terminate() error {
	limit := ctr.client.terminateTimeout
	deadline := time.Now().Add(limit)
	err := ctr.requestTerminate(limit)
	if err != nil {
		return err
	}
	return ctr.awaitStop(OpTerminate, time.Until(deadline))
}

// requestTerminate asks for the termination. From now on the stop of the system
// is no crash.
func (ctr *container) requestTerminate(limit time.Duration) error {
	ctr.mu.Lock()
	ctr.terminating = true
	ctr.mu.Unlock()
	err := order(ctr.client, ctr.system, ctr.op(OpTerminate), limit, ComputeSystem.Terminate, nil)
	if isStopAccepted(err) {
		return nil
	}
	return err
}

// terminateAgain ends the system through a handle of its own, since the first
// one may be stuck in a call.
func (ctr *container) terminateAgain() error {
	return ctr.terminateWithin(ctr.client.terminateTimeout)
}

func (ctr *container) terminateWithin(limit time.Duration) error {
	return ctr.client.endUnder(ctr.id, limit, nil)
}

// endUnder ends the system that HCS has under id; one that it does not know has
// ended. What spare says, once the system is open, to be somebody else's is left
// alone, with an error; nil: nothing is.
func (c *client) endUnder(id string, limit time.Duration, spare func() error) error {
	deadline := time.Now().Add(limit)
	return c.persist(deadline, func() error {
		system, err := c.open(id, time.Until(deadline))
		switch {
		case errors.Is(err, CodeSystemNotFound):
			return nil
		case err != nil:
			return err
		}
		if spare != nil {
			if err := spare(); err != nil {
				newHandle(system).close(c)
				return err
			}
		}
		return c.end(id, system, time.Until(deadline))
	})
}

// The service may be back a moment after it went away, and RS1 and RS2 refuse for
// a moment to list systems while one of them ends.
const (
	persistFor   = time.Second
	persistPause = 100 * time.Millisecond
)

// persist repeats a call that fails only because of the moment, for a while that
// ends at deadline at the latest.
func (c *client) persist(deadline time.Time, call func() error) error {
	if patience := time.Now().Add(persistFor); patience.Before(deadline) {
		deadline = patience
	}
	for {
		err := call()
		momentary := isServiceLost(err) || errors.Is(err, CodeAccessDenied) || errors.Is(err, CodeInvalidState)
		if !momentary || time.Until(deadline) <= persistPause {
			return err
		}
		if await(c.closing, persistPause) {
			return err
		}
	}
}

// awaitStop waits until the system has stopped.
func (ctr *container) awaitStop(op string, limit time.Duration) error {
	if await(ctr.stopped, limit) {
		return nil
	}
	return newError(op, ctr.id, "", fmt.Errorf("compute system has not stopped: %w", errTimeout(limit)))
}

func (ctr *container) hasStopped() bool {
	return isClosed(ctr.stopped)
}

// open opens a handle to a compute system. One that comes late is closed.
func (c *client) open(id string, limit time.Duration) (ComputeSystem, error) {
	return call(c, Operation{Op: OpOpen, ContainerID: id}, limit,
		func() (ComputeSystem, error) { return c.service.OpenComputeSystem(id) },
		func(s ComputeSystem, err error) {
			if err == nil {
				newHandle(s).close(c)
			}
		})
}

// list lists the compute systems of owner.
func (c *client) list(owner string) (systems []ComputeSystemInfo, err error) {
	err = c.persist(time.Now().Add(c.callTimeout), func() error {
		systems, err = call(c, Operation{Op: OpList}, c.callTimeout,
			func() ([]ComputeSystemInfo, error) { return c.service.ComputeSystems(owner) }, nil)
		return err
	})
	return systems, err
}

// end terminates system, waits until it has stopped, and closes the handle, all
// within limit or until the client is closed.
func (c *client) end(id string, system ComputeSystem, limit time.Duration) error {
	h := newHandle(system)
	defer closeHandle(c, h)
	deadline := time.Now().Add(limit)
	err := order(c, h, Operation{Op: OpTerminate, ContainerID: id}, limit, ComputeSystem.Terminate, nil)
	if err != nil && !isStopAccepted(err) {
		return err
	}
	var ended error
	stopped := make(chan struct{})
	c.tasks.start(func() {
		ended = system.Wait()
		close(stopped)
	})
	select {
	case <-stopped:
	case <-c.closing:
		return newError(OpTerminate, id, "", errClosed)
	case <-time.After(time.Until(deadline)):
		return newError(OpTerminate, id, "", fmt.Errorf("compute system has not stopped: %w", errTimeout(limit)))
	}
	if !isStop(ended) {
		return newError(OpWait, id, "", ended)
	}
	return nil
}
