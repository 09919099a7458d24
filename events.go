package libcontainerd

import (
	"reflect"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// gate makes one call of the Backend. There is no other way to it. Once Close has
// begun the gate is shut: nothing is called, and the error is errClosed.
//
// begun, if it is not nil, is set when the callback begins. Nothing but the call
// itself comes between.
//
// The goroutine does not count as a task meanwhile: the callback may call Close.
func (c *client) gate(begun *atomic.Bool, callback func(Backend) error) error {
	c.tasks.add(-1)
	defer c.tasks.add(1)
	if c.isClosed() {
		return errClosed
	}
	if begun != nil {
		begun.Store(true)
	}
	return callback(c.backend)
}

// letBegin keeps a callback from overtaking another one, which has begun and sets ended
// at its end. The goroutine of that one may have lost its processor right before the first
// instruction of the Backend. Usually its end comes within microseconds; if it takes longer
// it has begun for sure, and may be waiting for this very call.
func letBegin(ended *atomic.Bool) {
	const (
		most  = 100 * time.Millisecond
		pause = 100 * time.Microsecond
	)
	if ended.Load() || insideCallback() {
		return
	}
	for range 100 {
		runtime.Gosched()
	}
	for waited := time.Duration(0); !ended.Load() && waited < most; waited += pause {
		time.Sleep(pause)
	}
}

// insideCallback reports whether the calling goroutine is inside a callback.
func insideCallback() bool {
	var callers [128]uintptr
	n := runtime.Callers(2, callers[:])
	frames := runtime.CallersFrames(callers[:n])
	for more := n > 0; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if frame.Function == gateFunction {
			return true
		}
	}
	return n == len(callers) // too deep to know
}

// gateFunction is the name of the method gate in a stack.
var gateFunction = reflect.TypeFor[client]().PkgPath() + ".(*client).gate"

// event is a state change that the Backend is to be told of.
type event struct {
	info  StateInfo
	begun *atomic.Bool // set when the callback begins, or nil
	after func()       // called when the callback has ended, or nil
}

// queue holds the events of one container, in the order in which they happened. It
// is guarded by container.mu.
//
// Whoever queues an event while nobody delivers gets the turn and delivers; others
// leave their event to that one. Nobody waits for a callback of somebody else, so
// that a Backend may call the Client from inside a callback, whatever locks it
// holds.
type queue struct {
	pending []event
	taken   bool // somebody has the turn
	held    bool // a start is under way: only who starts the container delivers
}

// pushLocked appends e. It reports whether the caller has got the turn.
func (q *queue) pushLocked(e event) (turn bool) {
	q.pending = append(q.pending, e)
	turn = !q.taken && !q.held
	q.taken = q.taken || turn
	return turn
}

// popLocked takes the next event, if there is one.
func (q *queue) popLocked() (event, bool) {
	if len(q.pending) == 0 {
		q.pending = nil
		return event{}, false
	}
	e := q.pending[0]
	q.pending = q.pending[1:]
	return e, true
}

// deliver tells the Backend all that is queued, and gives the turn back. The caller has
// the turn, and is a goroutine of the client.
func (ctr *container) deliver() {
	for {
		ctr.mu.Lock()
		q := &ctr.events
		e, ok := event{}, false
		if !q.held {
			e, ok = q.popLocked()
		}
		q.taken = ok
		ctr.mu.Unlock()
		if !ok {
			return
		}
		ctr.tellLogged(e)
	}
}

// deliverOwn delivers the first event that is queued, for a method of Client that has
// the turn. Events of others that are queued behind it are delivered in another
// goroutine: the method's caller may hold a lock that their callbacks need.
func (ctr *container) deliverOwn() {
	defer ctr.passTurn() // also if the Backend panics
	ctr.mu.Lock()
	e, ok := ctr.events.popLocked()
	ctr.mu.Unlock()
	if ok {
		ctr.tellLogged(e)
	}
}

// passTurn gives the turn to another goroutine, or back if nothing is queued.
func (ctr *container) passTurn() {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.passTurnLocked()
}

func (ctr *container) passTurnLocked() {
	q := &ctr.events
	q.taken = len(q.pending) > 0 && !q.held
	if q.taken {
		ctr.client.tasks.start(ctr.deliver)
	}
}

// deliverHeld tells the Backend all that is queued during a start, for who starts the
// container, and ends the hold.
func (ctr *container) deliverHeld() {
	for {
		ctr.mu.Lock()
		e, ok := ctr.events.popLocked()
		ctr.events.held = ok
		ctr.mu.Unlock()
		if !ok {
			return
		}
		ctr.tellLogged(e)
	}
}

// tellLogged makes the callback of e. A refusal is logged: it changes nothing.
func (ctr *container) tellLogged(e event) {
	if err := ctr.tell(e); err != nil && err != errClosed { //nolint:errorlint // the gate returns it bare
		ctr.log().WithField("state", e.info.State).WithError(err).Error("backend refused a state change")
	}
}

// tell makes the callback of e.
func (ctr *container) tell(e event) error {
	if e.begun == &ctr.exitBegun {
		defer ctr.exitEnded.Store(true)
	}
	if e.after != nil {
		defer e.after()
	}
	return ctr.client.gate(e.begun, func(b Backend) error { return b.StateChanged(ctr.id, e.info) })
}

// log is the logger, for what concerns one container.
func (c *client) log(containerID string) *logrus.Entry {
	if containerID == "" {
		return c.logger
	}
	return c.logger.WithField("container", containerID)
}

func (ctr *container) log() *logrus.Entry { return ctr.client.log(ctr.id) }
