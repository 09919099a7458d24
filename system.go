package libcontainerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
)

// system owns one compute system: it waits for its end, asks HCS to end it, through a
// second handle if the first does not answer, verifies the end, and closes the
// handle. Containers, Restore, Reconcile and leftovers all use it.
//
// ARCHITECTURE.md tells how a compute system ends.
type system struct {
	client  *client
	id      string
	created time.Time // when the client has got it
	build   uint16    // of the host, 0 if it was not asked
	handle  *handle[ComputeSystem]

	owner   *container    // learns of the stop; or nil
	stopped chan struct{} // closed by keepStop

	statistics question[ComputeSystem, Statistics]
	processes  question[ComputeSystem, []ProcessInfo]

	mu       sync.Mutex // guards following
	counted  bool       // Close waits for wait
	waitOver bool       // wait has ended
	stopErr  error      // why it stopped, nil if it was asked to; set before stopped is closed
	isOver   bool       // it has stopped
	shutDown bool       // HCS has accepted a shutdown
	kills    int        // terminations that HCS has not answered
	killed   time.Time  // when HCS accepted a termination; zero: it has not
	asked    bool       // a termination was asked for before the stop
	saidGone bool       // HCS has answered a request to stop that there is nothing left to stop
	expected bool       // a goroutine expects the stop after a kill
}

// newSystem takes charge of a compute system. owner may be nil.
func newSystem(c *client, id string, compute ComputeSystem, owner *container) *system {
	s := &system{
		client:  c,
		id:      id,
		created: time.Now(),
		handle:  newHandle(compute, id, ""),
		owner:   owner,
		stopped: make(chan struct{}),
	}
	if owner == nil {
		s.count()
	}
	go s.wait()
	return s
}

// wait is the one goroutine that waits for the end of the compute system. It ends
// with the handle at the latest.
func (s *system) wait() {
	err := s.handle.value.Wait()
	if err != nil {
		err = newError(OpWait, s.id, "", err)
	}
	if s.keepStop(err) && s.owner != nil {
		s.owner.end(s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waitOver = true
	if s.counted {
		s.client.tasks.add(-1)
	}
}

// count lets Close wait for the goroutine that waits. That of a container counts once the
// container has started: until then a Close, which may come from a callback of the
// start, would wait for the start, and the start for the callback.
func (s *system) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waitOver {
		s.counted = true
		s.client.tasks.add(1)
	}
}

// markStopped is for a stop that HCS has not told wait. The owner learns of it in a new
// goroutine.
func (s *system) markStopped() {
	if s.keepStop(nil) && s.owner != nil {
		s.client.tasks.start(func() { s.owner.end(s) })
	}
}

// keepStop keeps how the system has stopped. It reports whether that was not known.
func (s *system) keepStop(err error) (first bool) {
	s.mu.Lock()
	first = !s.isOver
	if first {
		s.isOver = true
		s.stopErr = err
		s.asked = s.kills > 0 || !s.killed.IsZero()
	}
	s.mu.Unlock()
	if first {
		close(s.stopped)
	}
	return first
}

func (s *system) hasStopped() bool { return isClosed(s.stopped) }

// crash is why the system stopped, if nobody had asked it to.
func (s *system) crash() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked && !isServiceLost(s.stopErr) {
		return nil
	}
	return s.stopErr
}

// stop brings the system down after its init process has ended, and waits for that:
// a shutdown first, a termination when that does not help, a second handle when the
// first does not answer. The error says that it may still be there.
func (s *system) stop() error {
	var failures []error
	closing := s.client.closing
	tries := []func(<-chan struct{}) error{s.shutdownWait, s.terminateWait, s.terminateAgain}
	for i, try := range tries {
		switch last := i == len(tries)-1; {
		case s.hasStopped():
			return s.verify(s.client.grace, closing)
		case s.client.isClosed():
			return nil
		case s.wasGone() && !last, s.wasKilled() && i == 1:
			continue // this handle has nothing more to say
		}
		err := try(closing)
		if err == nil {
			return s.verify(s.client.grace, closing)
		}
		s.log().WithError(err).Info("compute system does not stop")
		failures = append(failures, err)
	}
	return join(failures...)
}

// end terminates the system and waits until it has stopped, for no longer than limit,
// or until closing is closed. HCS must answer the termination within answer.
func (s *system) end(answer, limit time.Duration, closing <-chan struct{}) error {
	deadline := time.Now().Add(limit)
	if err := s.terminate(min(answer, limit)); err != nil {
		return err
	}
	if err := s.awaitStop(OpTerminate, time.Until(deadline), closing); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isStop(s.stopErr) {
		return s.stopErr
	}
	return nil
}

// endFailedStart ends the system of a container whose start has failed, within the
// terminate timeout, also while the client is being closed. The error says that it
// may still be there.
func (s *system) endFailedStart() error {
	deadline := time.Now().Add(s.client.terminateTimeout)
	err := s.terminateWait(nil)
	if err == nil {
		err = s.verify(time.Until(deadline), nil)
	}
	if err != nil && time.Now().Before(deadline) {
		err = s.client.endUnder(s.id, time.Until(deadline), nil, nil)
	}
	return err
}

// shutdown asks the system to stop gracefully.
func (s *system) shutdown(limit time.Duration) error {
	err := request(s.client, s.handle, s.op(OpShutdown), limit, ComputeSystem.Shutdown, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutDown = s.shutDown || err == nil
	return err
}

// shutdownWait asks for a graceful stop and waits for it. Once a termination was asked
// for, it only waits for that.
func (s *system) shutdownWait(closing <-chan struct{}) error {
	s.mu.Lock()
	killed := s.killed
	if killed.IsZero() && s.kills > 0 {
		killed = time.Now() // HCS is about to answer
	}
	s.mu.Unlock()
	if !killed.IsZero() {
		return s.awaitStop(OpTerminate, time.Until(killed.Add(s.client.terminateTimeout)), closing)
	}
	deadline := time.Now().Add(s.client.shutdownTimeout)
	err := s.shutdown(s.client.shutdownTimeout)
	switch {
	case err == nil, hasCode(err, CodeOperationPending, CodeShutdownInProgress):
		return s.awaitStop(OpShutdown, time.Until(deadline), closing)
	case isStopAccepted(err): // it has stopped, so Wait should say so soon
		return s.awaitStop(OpShutdown, min(s.client.grace, time.Until(deadline)), closing)
	}
	return err
}

// terminate asks for the termination. A stop that comes from now on does not count as a crash,
// unless HCS refuses.
func (s *system) terminate(limit time.Duration) error {
	return s.terminateThrough(s.handle, limit)
}

func (s *system) terminateThrough(h *handle[ComputeSystem], limit time.Duration) error {
	s.mu.Lock()
	s.kills++
	s.mu.Unlock()
	err := request(s.client, h, s.op(OpTerminate), limit, ComputeSystem.Terminate, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills--
	if err != nil && !isStopAccepted(err) {
		return err
	}
	s.saidGone = s.saidGone || isAlreadyStopped(err)
	if s.killed.IsZero() {
		s.killed = time.Now()
	}
	return nil
}

// terminateWait terminates the system and waits until it has stopped.
func (s *system) terminateWait(closing <-chan struct{}) error {
	limit := s.client.terminateTimeout
	deadline := time.Now().Add(limit)
	if err := s.terminate(limit); err != nil {
		return err
	}
	return s.awaitStop(OpTerminate, time.Until(deadline), closing)
}

// terminateAgain ends the system through a second handle, since the first one may be
// stuck in a call.
func (s *system) terminateAgain(closing <-chan struct{}) error {
	err := s.client.endUnder(s.id, s.client.terminateTimeout, nil, closing)
	if err == nil {
		s.markStopped()
	}
	return err
}

// kill asks for the termination, through a second handle if the first does not
// answer. If HCS does not tell the stop then, overdue is called.
func (s *system) kill(overdue func()) error {
	limit := s.client.terminateTimeout
	err := s.terminate(limit)
	if errdefs.IsDeadlineExceeded(err) {
		err = s.killAgain(limit)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	first := !s.expected
	s.expected = true
	s.mu.Unlock()
	if first {
		s.client.tasks.start(func() {
			if s.awaitStop(OpTerminate, limit, s.client.closing) != nil {
				overdue()
			}
		})
	}
	return nil
}

func (s *system) killAgain(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	h, err := s.client.secondHandle(s.id, limit)
	if errors.Is(err, CodeSystemNotFound) {
		s.markStopped()
		return nil
	}
	if err != nil {
		return err
	}
	defer h.close(s.client)
	return s.terminateThrough(h, time.Until(deadline))
}

// verify asks HCS again when the wait ended for another reason than a stop, such as
// the service going away: the system may have outlived it.
func (s *system) verify(limit time.Duration, closing <-chan struct{}) error {
	s.mu.Lock()
	stopped := isStop(s.stopErr)
	s.mu.Unlock()
	if stopped {
		return nil
	}
	return s.client.endUnder(s.id, limit, nil, closing)
}

// isStop reports whether a wait that ended with err saw the system stop, by itself or
// because it was asked to.
func isStop(err error) bool {
	return err == nil || slices.ContainsFunc([]error{
		CodeTerminatedInStart, CodeUnexpectedExit, CodeTerminated, CodeGuestCriticalError,
		CodeAlreadyStopped, CodeSystemNotFound,
	}, func(code error) bool { return errors.Is(err, code) })
}

// awaitStop waits until the system has stopped, or closing is closed. Once the grace is
// over, and then now and again, it asks HCS whether the system still runs, and believes
// the answer: HCS does not always tell a stop. If HCS has said before that there was
// nothing left to stop, the wait ends with the grace.
func (s *system) awaitStop(op string, limit time.Duration, closing <-chan struct{}) error {
	c := s.client
	began := time.Now()
	looks := pace{first: c.grace, longest: max(c.grace, time.Minute)}
	for {
		pause, _ := looks.next()
		if c.awaitEither(s.stopped, closing, min(pause, limit-time.Since(began))); s.hasStopped() {
			return nil
		}
		waited := time.Since(began)
		switch {
		case isClosed(closing):
			return newError(op, s.id, "", errClosed)
		case waited >= c.grace && s.isGone(max(limit-waited, time.Second)):
			s.log().Info("HCS has not told the stop of the compute system, but it no longer runs")
			s.markStopped()
			return nil
		case waited >= limit, waited >= c.grace && s.wasGone():
			return newError(op, s.id, "", errNotStopped(min(limit, waited)))
		}
	}
}

func errNotStopped(limit time.Duration) error {
	if limit <= 0 {
		return fmt.Errorf("compute system has not stopped in time: %w", context.DeadlineExceeded)
	}
	return fmt.Errorf("compute system has not stopped: %w", errTimeout(limit))
}

// isGone asks HCS whether the system no longer runs. No answer means that it does.
func (s *system) isGone(limit time.Duration) bool {
	l, err := s.client.listing(min(limit, s.client.callTimeout))
	return err == nil && l.lacks(s)
}

// wasGone reports whether HCS has answered a request to stop that there was nothing left.
func (s *system) wasGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saidGone
}

// wasKilled reports whether HCS has accepted a termination.
func (s *system) wasKilled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.killed.IsZero()
}

// isAskedToStop reports whether HCS has accepted a request to stop.
func (s *system) isAskedToStop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shutDown || !s.killed.IsZero()
}

// close closes the handle and waits until it is closed, for as long as the grace.
func (s *system) close() { s.handle.closeWait(s.client, s.client.grace) }

func (s *system) op(name string) Operation { return Operation{Op: name, ContainerID: s.id} }

func (s *system) log() *logrus.Entry { return s.client.log(s.id) }
