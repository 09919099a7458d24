package libcontainerd

import (
	"slices"
	"sync"
)

// starts limits how many containers start at a time; see WithMaxConcurrentStarts.
type starts struct {
	limit int // 0: none

	mu      sync.Mutex // guards following
	running int
	waiting []chan struct{} // in the order in which they came; closed by who hands a place over
}

// enter waits for a place, until cancel or closing is closed.
func (s *starts) enter(cancel, closing <-chan struct{}) error {
	if s.limit == 0 {
		return nil
	}
	s.mu.Lock()
	if s.running < s.limit {
		s.running++
		s.mu.Unlock()
		return nil
	}
	place := make(chan struct{})
	s.waiting = append(s.waiting, place)
	s.mu.Unlock()
	select {
	case <-place:
		return nil
	case <-cancel:
		s.giveUp(place)
		return errCancelled
	case <-closing:
		s.giveUp(place)
		return errClosed
	}
}

// leave hands the place over to the next one, or frees it.
func (s *starts) leave() {
	if s.limit == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.running--
		return
	}
	close(s.waiting[0])
	s.waiting = s.waiting[1:]
}

// giveUp stops waiting for place. One that was handed over meanwhile goes on to the next.
func (s *starts) giveUp(place chan struct{}) {
	s.mu.Lock()
	i := slices.Index(s.waiting, place)
	if i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		s.leave()
	}
}
