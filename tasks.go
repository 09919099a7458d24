package libcontainerd

import (
	"sync"
	"sync/atomic"
	"time"
)

// tasks counts what Close waits for: the goroutines of a client, and the methods
// that are under way.
type tasks struct {
	n atomic.Int64

	mu   sync.Mutex    // guards following
	idle chan struct{} // closed when n becomes 0; nil unless somebody waits
}

// start runs f in a new goroutine.
func (t *tasks) start(f func()) {
	t.add(1)
	go func() {
		defer t.add(-1)
		f()
	}()
}

// add counts goroutines and methods in and out. Callbacks are counted out: one of
// them may be what waits for the others.
func (t *tasks) add(n int64) {
	if t.n.Add(n) > 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// wait waits until nothing runs, for no longer than limit, and returns how much
// still does.
func (t *tasks) wait(limit time.Duration) int {
	t.mu.Lock()
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	if t.n.Load() == 0 {
		close(idle)
		t.idle = nil
	}
	t.mu.Unlock()
	if await(idle, limit) {
		return 0
	}
	return int(t.n.Load())
}

// isClosed reports whether done is closed.
func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// await waits for done, for no longer than limit, and reports whether it is closed.
func await(done <-chan struct{}, limit time.Duration) bool {
	if isClosed(done) {
		return true
	}
	if limit <= 0 {
		return false
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
