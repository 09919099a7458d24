package hcstest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// Fault is what happens to a call instead of, or in addition to, its ordinary
// course. First the call is held for Delay. Then, with Hang, it is held until it
// is released. Then its answer is Err, or, if Err is nil, it is carried out.
//
// With Done the call is carried out at once, and only its answer is held or
// replaced by Err: HCS has done it, and the caller does not know.
//
// A Close that fails leaves the handle open, and the caller closes it again. A
// Wait that is held ends when its handle is closed. Any held call but a Close
// ends when the service is lost.
type Fault struct {
	Err   error // a bare Code becomes a *libcontainerd.Error, other errors are answered as they are
	Delay time.Duration
	Hang  bool // until Injection.Release or Service.Heal
	Done  bool
}

// Rule says which calls meet a Fault.
type Rule struct {
	Op    Op     // empty: any
	ID    string // empty: any compute system
	Pid   uint32 // 0: any process
	Skip  int    // calls that pass before the first one that meets it
	Times int    // calls that meet it, 0: all
	Fault
}

// Injection is a Rule at work.
type Injection struct {
	rule Rule
	svc  *Service
	met  chan struct{} // closed at the first hit
	free chan struct{} // closed by Release
	once sync.Once     // guards the close of free

	seen atomic.Int64 // calls that matched
	hits atomic.Int64 // calls that met the fault
}

// Inject makes calls meet a fault. If several rules match a call, the newest
// counts.
func (s *Service) Inject(rule Rule) *Injection {
	in := &Injection{rule: rule, svc: s, met: make(chan struct{}), free: make(chan struct{})}
	s.change(func(f *faults) { f.add(&reactor{op: rule.Op, react: in.react, in: in}) })
	return in
}

// Fail answers the next calls of op with errs, one call each. A call whose error
// is nil is carried out, the others are not. An empty id stands for any compute
// system.
func (s *Service) Fail(op Op, id string, errs ...error) {
	for _, err := range slices.Backward(errs) {
		// The rule that is injected last is matched first. When it is used up, the
		// next one counts.
		s.Inject(Rule{Op: op, ID: id, Times: 1, Fault: Fault{Err: err}})
	}
}

// Hang holds every call of op until the Injection is released. An empty id
// stands for any compute system.
func (s *Service) Hang(op Op, id string) *Injection {
	return s.Inject(Rule{Op: op, ID: id, Fault: Fault{Hang: true}})
}

// OnCall calls react for every call of op, before the call is carried out. An
// empty op stands for all. If react returns a fault, the call meets it. react
// runs in the goroutine of the caller, with no lock held. It may block, and it
// may use the Service. It sees OpStop and OpExit too.
func (s *Service) OnCall(op Op, react func(Call) *Fault) {
	s.change(func(f *faults) { f.add(&reactor{op: op, react: react}) })
}

// Heal removes all faults and lets every held call go on.
func (s *Service) Heal() {
	old := s.faults.Swap(newFaults())
	close(old.healed)
}

// Met is closed when the first call has met the fault.
func (in *Injection) Met() <-chan struct{} { return in.met }

// Hits is the number of calls that have met the fault.
func (in *Injection) Hits() int { return int(in.hits.Load()) }

// Release removes the rule and lets the calls that it holds go on.
func (in *Injection) Release() {
	in.svc.change(func(f *faults) { f.remove(in) })
	in.once.Do(func() { close(in.free) })
}

func (in *Injection) react(c Call) *Fault {
	r := &in.rule
	if r.ID != "" && r.ID != c.ID || r.Pid != 0 && r.Pid != c.Pid {
		return nil
	}
	n := in.seen.Add(1) - int64(r.Skip)
	if n <= 0 || r.Times > 0 && n > int64(r.Times) {
		return nil
	}
	if in.hits.Add(1) == 1 {
		close(in.met)
	}
	if n == int64(r.Times) {
		in.svc.change(func(f *faults) { f.remove(in) })
	}
	return &r.Fault
}

// faults are the faults in force at one moment. The value is replaced, never
// changed, so that a call without faults costs one atomic load.
type faults struct {
	reactors []*reactor    // the newest first
	healed   chan struct{} // closed by Heal
}

type reactor struct {
	op    Op // empty: any
	react func(Call) *Fault
	in    *Injection // or nil
}

func newFaults() *faults { return &faults{healed: make(chan struct{})} }

func (f *faults) add(r *reactor) {
	f.reactors = append([]*reactor{r}, f.reactors...)
}

func (f *faults) remove(in *Injection) {
	var kept []*reactor
	for _, r := range f.reactors {
		if r.in != in {
			kept = append(kept, r)
		}
	}
	f.reactors = kept
}

func (s *Service) change(edit func(*faults)) {
	for {
		old := s.faults.Load()
		changed := *old
		edit(&changed)
		if s.faults.CompareAndSwap(old, &changed) {
			return
		}
	}
}

// hold is a fault that a call has met, and what releases it.
type hold struct {
	*Fault
	healed <-chan struct{}
	free   <-chan struct{} // nil if no Injection made the fault
}

// fault finds the fault that c meets, nil if none.
func (s *Service) fault(c Call) *hold {
	f := s.faults.Load()
	for _, r := range f.reactors {
		if r.op != "" && r.op != c.Op {
			continue
		}
		if fault := r.react(c); fault != nil {
			h := &hold{Fault: fault, healed: f.healed}
			if r.in != nil {
				h.free = r.in.free
			}
			return h
		}
	}
	return nil
}

// meet carries out do, or does what the faults say instead. A held call ends
// early when lost or closed is closed; either may be nil.
func (s *Service) meet(c Call, lost, closed <-chan struct{}, do func() error) error {
	h := s.fault(c)
	if h == nil {
		return do()
	}
	if h.Done {
		err := do()
		if interrupted := h.wait(c, lost, closed); interrupted != nil {
			return interrupted
		}
		if h.Err != nil {
			return c.answer(h.Err)
		}
		return err
	}
	interrupted := h.wait(c, lost, closed)
	if interrupted != nil {
		return interrupted
	}
	if h.Err != nil {
		return c.answer(h.Err)
	}
	return do()
}

// wait blocks as long as the fault says. It returns an error if the call is ended
// in the meantime.
func (h *hold) wait(c Call, lost, closed <-chan struct{}) error {
	if h.Delay > 0 {
		timer := time.NewTimer(h.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-h.healed:
		case <-h.free:
		case <-lost:
			return c.failure(libcontainerd.CodeServiceDisconnect, "")
		case <-closed:
			return c.failure(libcontainerd.CodeInvalidHandle, "the handle was closed")
		}
	}
	if h.Hang {
		select {
		case <-h.healed:
		case <-h.free:
		case <-lost:
			return c.failure(libcontainerd.CodeServiceDisconnect, "")
		case <-closed:
			return c.failure(libcontainerd.CodeInvalidHandle, "the handle was closed")
		}
	}
	return nil
}

// answer gives a scripted error the form that the interfaces want.
func (c Call) answer(err error) error {
	if code, ok := err.(libcontainerd.Code); ok { //nolint:errorlint // a wrapped Code stays as its author wrapped it
		return c.failure(code, "")
	}
	return err
}

// codeOf is the code with which a system stops, if a fault at OpStop made it stop
// with an error.
func codeOf(err error) libcontainerd.Code {
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[libcontainerd.Code](err); ok {
		return code
	}
	if e, ok := errors.AsType[*libcontainerd.Error](err); ok && e.Code != 0 {
		return e.Code
	}
	return libcontainerd.CodeUnexpectedExit
}
