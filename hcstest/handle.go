package hcstest

import (
	"sync"

	"github.com/seed-609fd248/libcontainerd"
)

// handle is the common part of the handles of systems and of processes: the rules
// of their use.
type handle struct {
	svc        *Service
	connection *connection
	closed     chan struct{} // closed when the handle is closed

	mu        sync.Mutex // guards following
	calls     int        // running, waits not counted
	closing   bool
	refused   bool          // a Close was answered with an error: a second one is allowed
	abandoned bool          // closed by Service.Abandon
	quiet     chan struct{} // closed when calls becomes 0; nil: Close does not wait for it
}

func newHandle(s *Service, connection *connection) handle {
	return handle{svc: s, connection: connection, closed: make(chan struct{})}
}

// call carries out a call on the handle.
func (h *handle) call(c Call, do func() error) error {
	if err := h.enter(c); err != nil {
		return err
	}
	defer h.leave()
	return h.svc.call(c, h.connection, do)
}

func (h *handle) enter(c Call) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return h.misusedLocked(c, "used after Close")
	}
	h.calls++
	return nil
}

func (h *handle) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls--
	if h.calls == 0 && h.quiet != nil {
		close(h.quiet)
		h.quiet = nil
	}
}

// misusedLocked is the answer to a call on a closed handle.
func (h *handle) misusedLocked(c Call, what string) error {
	if !h.abandoned {
		h.svc.violations.add(c, what)
	}
	return c.failure(libcontainerd.CodeInvalidHandle, "the handle is closed")
}

// wait carries out a wait. Close ends it. A wait that begins after Close is not a
// violation.
func (h *handle) wait(c Call, do func() error) error {
	n := h.svc.record.add(c)
	err := h.svc.meet(c, h.connection.lost, h.closed, do)
	h.svc.record.answer(n, err)
	return err
}

// close closes the handle and releases what it stands for. Like the handles of
// hcsshim it waits for the calls that still run, though there should be none, and
// stays open if HCS refuses.
func (h *handle) close(c Call, release func()) error {
	h.mu.Lock()
	if h.closing {
		defer h.mu.Unlock()
		if h.refused {
			return nil
		}
		return h.misusedLocked(c, "closed twice")
	}
	h.closing = true
	var quiet chan struct{}
	if h.calls > 0 {
		h.svc.violations.add(c, "closed while a call was running")
		quiet = make(chan struct{})
		h.quiet = quiet
	}
	h.mu.Unlock()
	n := h.svc.record.add(c)
	done := false
	err := h.svc.meet(c, nil, nil, func() error {
		if quiet != nil {
			<-quiet
		}
		close(h.closed)
		release()
		done = true
		return nil
	})
	h.svc.record.answer(n, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = err != nil
	switch {
	case !done && h.abandoned: // during the call
		close(h.closed)
	case !done:
		h.closing = false
	}
	return err
}

// abandon closes the handle as Windows does when its owner dies. It reports
// whether the handle was open.
func (h *handle) abandon() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.abandoned = true
	if h.closing {
		return false
	}
	h.closing = true
	close(h.closed)
	return true
}
