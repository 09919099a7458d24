package hcstest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Check returns, joined, every violation of the protocol so far and everything
// that is left over now: systems that have not stopped, handles and pipes that
// are not closed, programs that have not returned. It returns nil if there is
// nothing.
func (s *Service) Check() error {
	errs := s.violations.list()
	s.mu.Lock()
	systems := s.liveLocked()
	s.mu.Unlock()
	slices.SortFunc(systems, func(a, b *system) int { return cmp.Compare(a.id, b.id) })
	for _, sys := range systems {
		if left := sys.leftovers(); left != "" {
			errs = append(errs, errors.New("left over: "+left))
		}
	}
	return errors.Join(errs...)
}

// Settle waits until nothing is left over, at most for the given time, and then
// does what Check does. A client may close its last handles a moment after its
// last event.
func (s *Service) Settle(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.settled():
	case <-timer.C:
	}
	return s.Check()
}

// settled returns a channel that is closed when nothing is left over.
func (s *Service) settled() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	if len(s.live) == 0 {
		close(s.idle)
		s.idle = nil
	}
	return idle
}

// leftovers describes what is left of a system, "" if nothing is left.
func (sys *system) leftovers() string {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	var parts []string
	if sys.state != stateStopped {
		parts = append(parts, "not stopped ("+sys.state+")")
	}
	if n := len(sys.handles); n > 0 {
		parts = append(parts, fmt.Sprintf("open handles: %d", n))
	}
	for _, p := range sys.processes {
		parts = append(parts, p.leftoversLocked())
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("compute system %s: %s", sys.id, strings.Join(parts, "; "))
}

func (p *process) leftoversLocked() string {
	var parts []string
	switch {
	case !p.ended:
		parts = append(parts, "runs")
	case p.programs > 0:
		parts = append(parts, "has ended, but its program has not returned")
	}
	if n := len(p.handles); n > 0 {
		parts = append(parts, fmt.Sprintf("open handles: %d", n))
	}
	for _, end := range p.ends {
		parts = append(parts, end.name+" is open")
	}
	return fmt.Sprintf("process %d (%s): %s", p.pid, p.image, strings.Join(parts, ", "))
}

// maxViolations bounds the list, so that a soak that goes wrong does not fill
// memory.
const maxViolations = 100

// violations are the calls that the interfaces forbid.
type violations struct {
	mu   sync.Mutex // guards following
	errs []error
	more int // beyond maxViolations
}

func (v *violations) add(c Call, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.errs) == maxViolations {
		v.more++
		return
	}
	v.errs = append(v.errs, fmt.Errorf("protocol violated: %s: %s", c, what))
}

func (v *violations) list() []error {
	v.mu.Lock()
	defer v.mu.Unlock()
	errs := slices.Clone(v.errs)
	if v.more > 0 {
		errs = append(errs, fmt.Errorf("protocol violated %d times more", v.more))
	}
	return errs
}
