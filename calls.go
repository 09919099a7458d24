package libcontainerd

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Operations, as Error.Op and Operation.Op name them.
const (
	OpCreate        = "create"
	OpStart         = "start"
	OpExec          = "exec"
	OpStdio         = "stdio"
	OpAttach        = "attach"
	OpStateChange   = "state change"
	OpShutdown      = "shutdown"
	OpTerminate     = "terminate"
	OpKill          = "kill"
	OpResize        = "resize"
	OpCloseStdin    = "close stdin"
	OpPause         = "pause"
	OpResume        = "resume"
	OpState         = "state"
	OpStats         = "stats"
	OpListProcesses = "list processes"
	OpOpen          = "open"
	OpList          = "list"
	OpClose         = "close"
	OpWait          = "wait"
	OpSignal        = "signal"
	OpUpdate        = "update"
	OpRestore       = "restore"
	OpRestart       = "restart"
	OpReconcile     = "reconcile"
	OpInfo          = "info"
)

// Operation is one finished call into HCS, as an Observer sees it.
type Operation struct {
	Op          string // "create", "start", "exec" …
	ContainerID string // "" if no container is concerned
	Process     string // friendly name, "" if no process is concerned
	Attempt     int    // 1, or more for a call that was tried again
	Start       time.Time
	Duration    time.Duration // until the answer, or until the client gave up waiting
	Err         error         // nil on success
}

// Observer is told of every call into HCS once it is over, for metrics and
// traces. It may be called concurrently and should return at once.
type Observer func(Operation)

// call makes one call into HCS and waits for its answer for no longer than
// limit. An answer that comes later goes to late (nil: it needs no care), in
// the goroutine of the call. Failures come back as *Error.
func call[T any](c *client, op Operation, limit time.Duration, f func() (T, error), late func(T, error)) (T, error) {
	op.Attempt = max(op.Attempt, 1)
	op.Start = time.Now()
	v, err := bounded(&c.tasks, limit, f, late)
	if err != nil {
		err = newError(op.Op, op.ContainerID, op.Process, err)
	}
	if c.observer != nil {
		op.Duration, op.Err = time.Since(op.Start), err
		c.observer(op)
	}
	return v, err
}

// bounded runs f in a goroutine of its own, so that a call that hangs holds up
// nobody for longer than limit.
func bounded[T any](t *tasks, limit time.Duration, f func() (T, error), late func(T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	answered := make(chan answer) // unbuffered: a send means that somebody took it
	gaveUp := make(chan struct{}) // closed when nobody waits any more
	t.start(func() {
		v, err := f()
		select {
		case answered <- answer{v, err}:
		case <-gaveUp:
			if late != nil {
				late(v, err)
			}
		}
	})
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-answered:
		return a.v, a.err
	case <-timer.C:
		close(gaveUp)
		var zero T
		return zero, errTimeout(limit)
	}
}

func errTimeout(limit time.Duration) error {
	return fmt.Errorf("no answer within %v: %w", limit, context.DeadlineExceeded)
}

// withDocument describes err as the refusal of a document by a host of this
// build; the rest of the description comes from call.
func withDocument(err error, document string, build uint16) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error) //nolint:errorlint // a deeper one keeps its wrapping
	if !ok {
		e = &Error{Err: err}
	}
	described := *e
	described.Document, described.HostBuild = document, build
	return &described
}

// handle keeps a handle to HCS until the last call on it has come back, and
// closes it then. A Close while another call runs would wait for that
// call, and keep new ones from being made.
type handle[T interface{ Close() error }] struct {
	value T

	mu      sync.Mutex // guards following
	users   int        // calls that run
	closing bool       // no further call may begin

	closed chan struct{} // closed once value is, or is given up
}

func newHandle[T interface{ Close() error }](value T) *handle[T] {
	return &handle[T]{value: value, closed: make(chan struct{})}
}

// acquire lets a call begin, if the handle is not on its way out.
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
		c.tasks.start(func() { h.finish(c) })
	}
}

// close asks for the end of the handle. It returns false if that must wait for
// a call; the channel closed tells when it came.
func (h *handle[T]) close(c *client) bool {
	h.mu.Lock()
	idle := h.users == 0
	first := !h.closing
	h.closing = true
	h.mu.Unlock()
	if first && idle {
		c.tasks.start(func() { h.finish(c) })
	}
	return idle
}

// isClosing tells whether the handle is on its way out.
func (h *handle[T]) isClosing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closing
}

// finish closes the handle. HCS may refuse that while it is away, and the handle is
// open then: it is tried again for as long as the grace.
func (h *handle[T]) finish(c *client) {
	defer close(h.closed)
	refused := patience{limit: c.grace}
	for {
		err := h.value.Close()
		if err == nil {
			return
		}
		pause, more := refused.next()
		if !more {
			c.logger.WithError(newError(OpClose, "", "", err)).Error("handle cannot be closed and is given up")
			return
		}
		time.Sleep(pause)
	}
}

// patience paces the repetitions of a call that may soon succeed: pauses that
// double, from 10 ms to a second, until limit is over.
type patience struct {
	limit time.Duration
	pause time.Duration
	end   time.Time
}

// next returns the pause before the next repetition; more is false if there is to
// be none.
func (p *patience) next() (pause time.Duration, more bool) {
	if p.end.IsZero() {
		p.end = time.Now().Add(p.limit)
		p.pause = 10 * time.Millisecond
	} else {
		p.pause = min(2*p.pause, time.Second)
	}
	pause = min(p.pause, time.Until(p.end))
	return pause, pause > 0
}

// closeHandle closes h and waits a while until it is. One that a call holds
// closes when that call comes back.
func closeHandle[T interface{ Close() error }](c *client, h *handle[T]) {
	if h.close(c) {
		await(h.closed, c.grace)
	}
}

// use is call on a handle: it keeps the handle open until f has returned.
func use[H interface{ Close() error }, T any](c *client, h *handle[H], op Operation, limit time.Duration, f func(H) (T, error), late func(T, error)) (T, error) {
	if !h.acquire() {
		var zero T
		return zero, newError(op.Op, op.ContainerID, op.Process, errGone)
	}
	return call(c, op, limit, func() (T, error) {
		defer h.release(c)
		return f(h.value)
	}, late)
}

// order is use for calls that return nothing but an error.
func order[H interface{ Close() error }](c *client, h *handle[H], op Operation, limit time.Duration, f func(H) error, late func(error)) error {
	_, err := use(c, h, op, limit,
		func(v H) (struct{}, error) { return struct{}{}, f(v) },
		func(_ struct{}, err error) {
			if late != nil {
				late(err)
			}
		})
	return err
}

// tasks counts goroutines, so that Close can wait for them.
type tasks struct {
	mu   sync.Mutex    // guards following
	n    int           // goroutines that run
	idle chan struct{} // closed when n is 0; nil if nobody waits
}

// start runs f in a goroutine of its own.
func (t *tasks) start(f func()) {
	t.add(1)
	go func() {
		defer t.add(-1)
		f()
	}()
}

// add counts goroutines in and out.
func (t *tasks) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
	if t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// apart runs f without counting the goroutine meanwhile. Callbacks run so: one
// of them may be what waits for the others.
func (t *tasks) apart(f func()) {
	t.add(-1)
	defer t.add(1)
	f()
}

// wait waits until no goroutine runs, for no longer than limit, and returns how
// many are left.
func (t *tasks) wait(limit time.Duration) int {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return 0
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	if await(idle, limit) {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}
