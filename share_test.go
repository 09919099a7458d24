package libcontainerd_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// questions are those that a poller asks again and again.
var questions = map[string]struct {
	op  hcstest.Op
	ask func(*engine, string) error
}{
	"stats":   {hcstest.OpStatistics, func(e *engine, id string) error { _, err := e.Stats(id); return err }},
	"summary": {hcstest.OpProcessList, func(e *engine, id string) error { _, err := e.Summary(id); return err }},
	"info":    {hcstest.OpList, func(e *engine, _ string) error { _, err := e.Info(); return err }},
}

// While HCS does not answer, a question is asked once, however many want to know.
func TestOneQuestionOfAKindAtATime(t *testing.T) {
	const polls = 1000
	for name, q := range questions {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				id := ""
				if name != "info" { // without containers nobody else lists systems
					id = "c1"
					must(t, e.Create("c1", spec(untilStopped...)))
					must(t, e.Create("c2", spec(untilStopped...)))
				}
				hung := e.hcs.Inject(hcstest.Rule{Op: q.op, ID: id, Times: polls, Fault: hcstest.Fault{Hang: true}})
				answers := make(chan error, polls)
				for range polls / 2 {
					go func() { answers <- q.ask(e, "c1") }()
				}
				synctest.Wait()
				if n := hung.Hits(); n != 1 {
					t.Errorf("%d at once make %d calls", polls/2, n)
				}
				if name != "info" {
					must(t, q.ask(e, "c2")) // another container is another question
				}
				for range polls / 2 { // also when the first ones have given up
					if err := <-answers; !errdefs.IsDeadlineExceeded(err) {
						t.Errorf("got %v", err)
					}
				}
				for range 3 {
					began := time.Now()
					if err := q.ask(e, "c1"); !errdefs.IsDeadlineExceeded(err) || time.Since(began) > libcontainerd.DefaultCallTimeout {
						t.Errorf("after %v: %v", time.Since(began), err)
					}
				}
				if n := hung.Hits(); n != 1 {
					t.Errorf("%d calls in all", n)
				}
				// The late answer is for those who wait; the next one asks again.
				go func() { answers <- q.ask(e, "c1") }()
				synctest.Wait()
				hung.Release()
				must(t, <-answers)
				asked := len(e.hcs.Calls(q.op))
				must(t, q.ask(e, "c1"))
				if n := len(e.hcs.Calls(q.op)) - asked; n != 1 {
					t.Errorf("once HCS answers again a question makes %d calls", n)
				}
				if name != "info" {
					must(t, errors.Join(e.Signal("c1", 9), e.Signal("c2", 9)))
					e.wantExit(t, "c1", time.Hour)
					e.wantExit(t, "c2", time.Hour)
				}
			})
		})
	}
}

// Callers that ask meanwhile share the answer, also if it is an error.
func TestAnswerIsShared(t *testing.T) {
	for name, q := range questions {
		for kind, answer := range map[string]error{"success": nil, "error": libcontainerd.CodeRPCNotExecuted} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					must(t, e.Create("c1", spec(untilStopped...)))
					before := len(e.hcs.Calls(q.op))
					once(q.op, hcstest.Fault{Delay: time.Second, Err: answer})(e.hcs)
					answers := make(chan error, 10)
					for range 10 {
						go func() { answers <- q.ask(e, "c1") }()
					}
					for range 10 {
						if err := <-answers; !errors.Is(err, answer) {
							t.Errorf("got %v, want %v", err, answer)
						}
					}
					if n := len(e.hcs.Calls(q.op)) - before; n != 1 {
						t.Errorf("%d calls", n)
					}
					must(t, e.Signal("c1", 9))
					e.wantExit(t, "c1", time.Hour)
				})
			})
		}
	}
}

// An answer belongs to one life of a container. While a question about it hangs, the
// next life of the id gets its answer.
func TestQuestionOfAFormerLifeIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		hung := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpStatistics, Times: 1, Fault: hcstest.Fault{Hang: true}})
		go e.Stats("c1")
		<-hung.Met()
		must(t, e.Signal("c1", 9))
		e.wantExit(t, "c1", time.Hour)
		must(t, e.Create("c1", spec(untilStopped...)))
		if _, err := e.Stats("c1"); err != nil {
			t.Errorf("stats of the next life: %v", err)
		}
		hung.Release()
		must(t, e.Signal("c1", 9))
		e.hears("exit c1", 2, time.Hour)
	})
}

// Each caller that shares an answer gets a copy, and may change it. Only the race
// detector sees a mistake.
func TestSharedAnswersAreApart(t *testing.T) {
	hcs := hcstest.New(t)
	for _, op := range []hcstest.Op{hcstest.OpStatistics, hcstest.OpList} {
		slow(op, time.Millisecond)(hcs)
	}
	e := newEngine(t, hcs)
	s := spec(untilStopped...)
	s.Windows.Networking = &libcontainerd.Networking{EndpointList: []string{"e1"}}
	must(t, e.Create("c1", s))
	var askers sync.WaitGroup
	for range 8 {
		askers.Go(func() {
			for range 50 {
				info, err := e.Info()
				if err != nil || len(info.Isolations) == 0 {
					t.Error(info, err)
					return
				}
				info.Isolations[0] += "x"
				stats, err := e.Stats("c1")
				if err != nil || len(stats.Network) == 0 {
					t.Error(stats, err)
					return
				}
				stats.Network[0].EndpointId += "x"
			}
		})
	}
	askers.Wait()
	must(t, e.Signal("c1", 9))
	e.awaitExit("c1")
}
