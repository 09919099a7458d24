package libcontainerd

import "sync"

// eventQueue delivers the state changes of one container, one at a time and in
// order, with no lock held.
//
// Whoever posts while nothing is being delivered delivers; others leave their
// event to that one. Nobody waits for a callback, so that a Backend may call
// the Client from inside one, holding whatever locks of its own.
type eventQueue struct {
	client *client
	id     string

	mu      sync.Mutex // guards following
	pending []event
	busy    bool // somebody is delivering, or the start is not out yet
	closed  bool // nothing is delivered any more
}

type event struct {
	info   StateInfo
	before func() // run just before delivery, may be nil
	after  func() // run when the Backend has returned, may be nil
	last   bool   // nothing may follow
}

// newEventQueue returns a queue that holds what is posted until release.
func newEventQueue(c *client, id string) *eventQueue {
	return &eventQueue{client: c, id: id, busy: true}
}

// post delivers e, from a goroutine that the client counts, in its turn.
func (q *eventQueue) post(e event) {
	if q.push(e) {
		q.drain()
	}
}

// postOwn delivers e from inside a method of Client. What others have posted
// meanwhile is delivered by a goroutine of its own: the method's caller may hold
// a lock that their callbacks need.
func (q *eventQueue) postOwn(info StateInfo) {
	if q.push(event{info: info}) {
		if e, ok := q.pop(); ok {
			q.client.stateChanged(q.id, e.info)
		}
		q.release()
	}
}

// release delivers what was held back, without making the caller wait.
func (q *eventQueue) release() {
	q.mu.Lock()
	more := len(q.pending) > 0
	q.busy = more
	q.mu.Unlock()
	if more {
		q.client.tasks.start(q.drain)
	}
}

// close drops everything that is pending or will be posted.
func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.pending = nil
}

// push appends e and tells whether the caller has to deliver.
func (q *eventQueue) push(e event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.pending = append(q.pending, e)
	if q.busy {
		return false
	}
	q.busy = true
	return true
}

// pop takes the next event, or gives up the turn if there is none.
func (q *eventQueue) pop() (event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending) == 0 {
		q.busy = false
		q.pending = nil
		return event{}, false
	}
	e := q.pending[0]
	q.pending = q.pending[1:]
	if e.last {
		q.closed = true
		q.pending = nil
	}
	return e, true
}

func (q *eventQueue) drain() {
	for {
		e, ok := q.pop()
		if !ok {
			return
		}
		if e.before != nil {
			e.before()
		}
		q.client.tasks.apart(func() { q.client.stateChanged(q.id, e.info) })
		if e.after != nil {
			e.after()
		}
	}
}
