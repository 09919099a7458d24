package libcontainerd

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// handle keeps a handle to HCS open until the last call on it has come back, and
// closes it then. A Close while another call runs would wait for that call, and
// keep new ones from being made.
type handle[T io.Closer] struct {
	value       T
	containerID string
	process     string // friendly name, "" for a compute system

	mu      sync.Mutex    // guards following
	users   int           // calls that run
	closing bool          // no further call may begin
	over    bool          // value is closed, or given up
	closed  chan struct{} // closed by finish, once that is over; nil unless somebody waits
}

func newHandle[T io.Closer](value T, containerID, process string) *handle[T] {
	return &handle[T]{value: value, containerID: containerID, process: process}
}

// acquire lets a call begin. It reports false if the handle is being closed.
func (h *handle[T]) acquire() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.users++
	return true
}

// release ends a call, and closes the handle if that was asked for meanwhile.
func (h *handle[T]) release(c *client) {
	h.mu.Lock()
	h.users--
	last := h.closing && h.users == 0
	h.mu.Unlock()
	if last {
		c.tasks.add(1)
		go h.finish(c)
	}
}

// close asks for the end of the handle, and returns at once. It reports false if
// the end must wait for a call.
func (h *handle[T]) close(c *client) bool {
	h.mu.Lock()
	idle := h.users == 0
	first := !h.closing
	h.closing = true
	h.mu.Unlock()
	if first && idle {
		c.tasks.add(1)
		go h.finish(c)
	}
	return idle
}

// closeWait closes the handle and waits until it is closed, for no longer than limit. One
// that a call uses closes when that call comes back.
func (h *handle[T]) closeWait(c *client, limit time.Duration) {
	if !h.close(c) {
		return
	}
	h.mu.Lock()
	if h.closed == nil && !h.over {
		h.closed = make(chan struct{})
	}
	over, closed := h.over, h.closed
	h.mu.Unlock()
	if !over {
		c.await(closed, limit)
	}
}

// isClosing reports whether close was called.
func (h *handle[T]) isClosing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closing
}

// finish closes the handle. HCS may refuse that while it is away, and then the
// handle is still open: finish tries again for as long as the grace.
func (h *handle[T]) finish(c *client) {
	defer c.tasks.add(-1)
	defer h.finished()
	refused := soon(c.grace)
	for {
		err := h.value.Close()
		if err == nil {
			return
		}
		pause, more := refused.next()
		if !more {
			c.log(h.containerID).WithField("process", h.process).
				WithError(newError(OpClose, h.containerID, h.process, err)).
				Error("handle cannot be closed and is given up")
			return
		}
		time.Sleep(pause)
	}
}

func (h *handle[T]) finished() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.closed != nil {
		close(h.closed)
	}
}

// errGone is the answer to a call on a handle that is closed.
var errGone = fmt.Errorf("it has ended: %w", errdefs.ErrFailedPrecondition)
