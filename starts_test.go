package libcontainerd_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Of ten containers three start at a time, in the order of their Create.
func TestStartsAreLimitedAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithMaxConcurrentStarts(3))
		var mu sync.Mutex
		starting, most := 0, 0
		var order []string
		e.hcs.OnCall(hcstest.OpCreate, func(c hcstest.Call) *hcstest.Fault {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, c.ID)
			starting++
			most = max(most, starting)
			return &hcstest.Fault{Delay: time.Second}
		})
		e.hcs.OnCall(hcstest.OpStdio, func(hcstest.Call) *hcstest.Fault {
			mu.Lock()
			defer mu.Unlock()
			starting--
			return nil
		})
		var creating sync.WaitGroup
		var want []string
		for n := range 10 {
			id := fmt.Sprintf("c%d", n)
			want = append(want, id)
			creating.Go(func() {
				if err := e.Create(id, spec(untilStopped...)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		creating.Wait()
		if most != 3 {
			t.Errorf("%d started at a time, want 3", most)
		}
		for n := 0; n < len(order); n += 3 { // three begin in the same instant
			slices.Sort(order[n:min(n+3, len(order))])
		}
		if !slices.Equal(order, want) {
			t.Errorf("order %v", order)
		}
		endAll(t, e.hcs)
	})
}

// Signal and Close end the wait of a create for its turn.
func TestWaitForATurnCanBeEnded(t *testing.T) {
	for name, end := range map[string]func(*engine) error{
		"signal": func(e *engine) error { return e.Signal("c2", 15) },
		"close":  func(e *engine) error { go e.Close(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil, libcontainerd.WithMaxConcurrentStarts(1))
				hung := e.hcs.Hang(hcstest.OpCreate, "c1")
				first := make(chan error, 1)
				go func() { first <- e.Create("c1", spec(untilStopped...)) }()
				<-hung.Met()
				second := make(chan error, 1)
				go func() { second <- e.Create("c2", spec(untilStopped...)) }()
				synctest.Wait()
				must(t, end(e))
				if err := <-second; !errdefs.IsAborted(err) && !errdefs.IsFailedPrecondition(err) {
					t.Errorf("got %v", err)
				}
				hung.Release()
				<-first
				endAll(t, e.hcs)
			})
		})
	}
}

// A Create from inside a callback of a start does not wait for that start.
func TestCreateFromACallbackOfAStartGetsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithMaxConcurrentStarts(1))
		e.onState = func(id string, info libcontainerd.StateInfo) error {
			if id == "c1" && info.State == libcontainerd.StateStart {
				return e.Create("c2", spec(untilStopped...))
			}
			return nil
		}
		must(t, e.Create("c1", spec(untilStopped...)))
		endAll(t, e.hcs)
	})
}
