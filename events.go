package libcontainerd

import (
	"errors"
	"sync"
	"sync/atomic"
)

// event is a state change that the Backend is to be told of.
type event struct {
	info StateInfo
	exec *process      // whose exit it is, or nil
	exit *container    // whose life it ends, or nil
	told chan struct{} // closed when the callback has ended, or nil
}

// begun is what the gate sets when the callback begins, nil for most events.
func (e *event) begun() *atomic.Bool {
	switch {
	case e.exec != nil:
		return &e.exec.exitBegun
	case e.exit != nil:
		return &e.exit.exitBegun
	}
	return nil
}

// ended cleans up after the callback.
func (e *event) ended() {
	switch {
	case e.exec != nil:
		e.exec.forget()
	case e.exit != nil:
		e.exit.client.remove(e.exit)
		e.exit.exitEnded.Store(true)
	case e.told != nil:
		close(e.told)
	}
}

// events are what the Backend is to be told of one container, in the order in which
// it happened.
//
// Whoever queues an event while nobody delivers gets the turn and delivers; others
// leave their event to that one. Nobody waits for a callback of somebody else, so
// that a Backend may call the Client from inside a callback, whatever locks it
// holds.
type events struct {
	client *client
	id     string

	mu      *sync.Mutex // that of the container, guards following
	pending []event
	taken   bool // somebody has the turn
	held    bool // a start is under way: only who starts the container delivers
}

// pushLocked appends e. It reports whether the caller has got the turn.
func (q *events) pushLocked(e event) (turn bool) {
	q.pending = append(q.pending, e)
	turn = !q.taken && !q.held
	q.taken = q.taken || turn
	return turn
}

// popLocked takes the next event, if there is one.
func (q *events) popLocked() (event, bool) {
	if len(q.pending) == 0 {
		q.pending = nil
		return event{}, false
	}
	e := q.pending[0]
	q.pending = q.pending[1:]
	return e, true
}

// pop is popLocked.
func (q *events) pop() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.popLocked()
}

// deliver tells the Backend all that is queued, and gives the turn back. The caller has
// the turn, and is a goroutine of the client.
func (q *events) deliver() {
	for {
		q.mu.Lock()
		e, ok := event{}, false
		if !q.held {
			e, ok = q.popLocked()
		}
		q.taken = ok
		q.mu.Unlock()
		if !ok {
			return
		}
		q.tellLogged(e)
	}
}

// deliverInBackground is deliver in a new goroutine.
func (q *events) deliverInBackground() { q.client.tasks.start(q.deliver) }

// deliverOwn delivers the first event that is queued, for a method of Client that has
// the turn. Events of others that are queued behind it are delivered in another
// goroutine: the method's caller may hold a lock that their callbacks need.
func (q *events) deliverOwn() {
	defer func() { // also if the Backend panics
		q.mu.Lock()
		defer q.mu.Unlock()
		q.passTurnLocked()
	}()
	if e, ok := q.pop(); ok {
		q.tellLogged(e)
	}
}

// passTurnLocked gives the turn to another goroutine, or back if nothing is queued.
func (q *events) passTurnLocked() {
	q.taken = len(q.pending) > 0 && !q.held
	if q.taken {
		q.deliverInBackground()
	}
}

// deliverHeld tells the Backend all that is queued during a start, for who starts the
// container, and ends the hold.
func (q *events) deliverHeld() {
	for q.deliverNextHeld() {
	}
}

// deliverNextHeld tells the next event, and reports whether there was one. If the Backend
// panics the others are told all the same.
func (q *events) deliverNextHeld() (more bool) {
	q.mu.Lock()
	e, ok := q.popLocked()
	q.held = ok
	q.mu.Unlock()
	if !ok {
		return false
	}
	defer func() {
		if !more {
			q.deliverHeld()
		}
	}()
	q.tellLogged(e)
	return true
}

// tellLogged makes the callback of e. A refusal is logged: it changes nothing.
func (q *events) tellLogged(e event) {
	if err := q.tell(e); err != nil && !errors.Is(err, errClosed) {
		q.client.log(q.id).WithField("state", e.info.State).WithError(err).Error("backend refused a state change")
	}
}

// tell makes the callback of e.
func (q *events) tell(e event) error {
	defer e.ended()
	return q.client.gate.stateChanged(e.begun(), q.id, e.info)
}
