package libcontainerd

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
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

// call makes one call into HCS and waits for its answer for no longer than limit.
// A later answer goes to late, in the goroutine of the call; nil if it needs no
// care. Failures come back as *Error.
func call[T any](c *client, op Operation, limit time.Duration, f func() (T, error), late func(T, error)) (T, error) {
	return told(&pending[noHandle, T]{client: c, f: f, late: late}, op, limit)
}

// callOn is call on a handle, which stays open until f has returned.
func callOn[H io.Closer, T any](c *client, h *handle[H], op Operation, limit time.Duration, f func(H) (T, error), late func(T, error)) (T, error) {
	if !h.acquire() {
		var none T
		return none, newError(op.Op, op.ContainerID, op.Process, errGone)
	}
	return told(&pending[H, T]{client: c, handle: h, on: f, late: late}, op, limit)
}

// request is callOn for calls that return nothing but an error. late is for calls that need
// care, else nil.
func request[H io.Closer](c *client, h *handle[H], op Operation, limit time.Duration, f func(H) error, late func(error)) error {
	if !h.acquire() {
		return newError(op.Op, op.ContainerID, op.Process, errGone)
	}
	p := &pending[H, struct{}]{client: c, handle: h, request: f}
	if late != nil {
		p.late = func(_ struct{}, err error) { late(err) }
	}
	_, err := told(p, op, limit)
	return err
}

// noHandle is the handle of a call that has none.
type noHandle = io.Closer

// pending is a call that HCS has not answered yet. One of f, on and request is the call.
type pending[H io.Closer, T any] struct {
	client  *client
	handle  *handle[H] // acquired; nil: none
	f       func() (T, error)
	on      func(H) (T, error)
	request func(H) error
	late    func(T, error) // or nil

	slot  *slot
	taken atomic.Bool // set by the first of two: the answer, and who gives up waiting

	value T // written before slot.answered gets its element
	err   error
}

// bounded makes the call in a new goroutine, so that one that hangs holds up nobody for
// longer than limit.
func bounded[H io.Closer, T any](p *pending[H, T], limit time.Duration) (T, error) {
	c := p.client
	p.slot = c.slot()
	c.tasks.add(1)
	go p.run()
	p.slot.timer.Reset(limit)
	select {
	case <-p.slot.answered:
	case <-p.slot.timer.C:
		if p.taken.CompareAndSwap(false, true) {
			var none T
			return none, errTimeout(limit)
		}
		<-p.slot.answered
	}
	c.free(p.slot)
	return p.value, p.err
}

func (p *pending[H, T]) run() {
	defer p.client.tasks.add(-1)
	p.make()
	switch {
	case p.taken.CompareAndSwap(false, true):
		p.slot.answered <- struct{}{}
	case p.late != nil:
		p.late(p.value, p.err)
	}
}

// make makes the call.
func (p *pending[H, T]) make() {
	if p.handle != nil {
		defer p.handle.release(p.client)
	}
	switch {
	case p.f != nil:
		p.value, p.err = p.f()
	case p.on != nil:
		p.value, p.err = p.on(p.handle.value)
	default:
		p.err = p.request(p.handle.value)
	}
}

// told is bounded for a call into HCS, whose answer is described and observed.
func told[H io.Closer, T any](p *pending[H, T], op Operation, limit time.Duration) (T, error) {
	began := p.client.observe()
	v, err := bounded(p, limit)
	return v, p.client.told(op, began, err)
}

// observe returns the time if an observer wants it.
func (c *client) observe() (began time.Time) {
	if c.observer != nil {
		began = time.Now()
	}
	return began
}

// told describes the answer to op, and tells the observer of it.
func (c *client) told(op Operation, began time.Time, err error) error {
	if err != nil {
		err = newError(op.Op, op.ContainerID, op.Process, err)
	}
	if c.observer != nil {
		op.Attempt = max(op.Attempt, 1)
		op.Start, op.Duration, op.Err = began, time.Since(began), err
		c.observer(op)
	}
	return err
}

// slot is what the answer to a call is waited for with. A client uses its slots
// again, since a timer and a channel for each call were a third of what a call
// allocates.
type slot struct {
	answered chan struct{} // capacity 1
	timer    *time.Timer
}

func (c *client) slot() *slot {
	if s, ok := c.slots.Get().(*slot); ok {
		return s
	}
	s := &slot{answered: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	s.timer.Stop()
	return s
}

// free gives back a slot whose answer was received.
func (c *client) free(s *slot) {
	s.timer.Stop()
	c.slots.Put(s)
}

// question is one that HCS is asked once at a time: whoever asks while it is not
// answered waits for the same answer. A HCS that does not answer has one call
// hanging then, however many ask.
type question[H io.Closer, T any] struct {
	mu    sync.Mutex    // guards following
	asked *answer[H, T] // the answer that is waited for; nil: none
}

// answer is made by a goroutine that closes given; value and err are set before.
type answer[H io.Closer, T any] struct {
	given chan struct{}
	value T
	err   error
}

// ask returns the answer of f, which gets the value of h, or the answer that is waited for
// already; h is nil for a question that needs no handle. Others may have got the same.
func (q *question[H, T]) ask(c *client, h *handle[H], op Operation, limit time.Duration, f func(H) (T, error)) (value T, err error) {
	q.mu.Lock()
	a := q.asked
	shared := a != nil
	if !shared {
		a = &answer[H, T]{given: make(chan struct{})}
		q.asked = a
		c.tasks.add(1)
		go q.answer(c, a, h, f)
	}
	q.mu.Unlock()
	began := c.observe()
	if c.await(a.given, limit) {
		value, err = a.value, a.err
	} else {
		err = errTimeout(limit)
	}
	if shared { // the call into HCS was made by somebody else
		return value, newError(op.Op, op.ContainerID, op.Process, err)
	}
	return value, c.told(op, began, err)
}

func (q *question[H, T]) answer(c *client, a *answer[H, T], h *handle[H], f func(H) (T, error)) {
	defer c.tasks.add(-1)
	var on H
	switch {
	case h == nil:
		a.value, a.err = f(on)
	case h.acquire():
		a.value, a.err = f(h.value)
		h.release(c)
	default:
		a.err = errGone
	}
	q.mu.Lock()
	q.asked = nil
	q.mu.Unlock()
	close(a.given)
}

// await is the function await with the timer of a slot.
func (c *client) await(done <-chan struct{}, limit time.Duration) bool {
	c.awaitEither(done, nil, limit)
	return isClosed(done)
}

// awaitEither waits until one of two channels is closed, for no longer than limit.
func (c *client) awaitEither(done, other <-chan struct{}, limit time.Duration) {
	if limit <= 0 || isClosed(done) {
		return
	}
	s := c.slot()
	defer c.free(s)
	s.timer.Reset(limit)
	select {
	case <-done:
	case <-other:
	case <-s.timer.C:
	}
}

func errTimeout(limit time.Duration) error {
	return fmt.Errorf("no answer within %s: %w", humanDuration(limit), context.DeadlineExceeded)
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
