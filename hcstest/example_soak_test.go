package hcstest_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// counter is an engine that counts what it is told of each container.
type counter struct {
	mu     sync.Mutex // guards following
	starts map[string]int
	exits  map[string]int
}

func (c *counter) AttachStreams(string, libcontainerd.IOPipe) error { return nil }

func (c *counter) StateChanged(id string, state libcontainerd.StateInfo) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state.State {
	case libcontainerd.StateStart:
		c.starts[id]++
	case libcontainerd.StateExit:
		c.exits[id]++
	}
	return nil
}

// sometimes makes one call in ten meet a fault: the call is refused, or it is
// carried out and its answer is an error, or its answer takes a minute.
func sometimes(random *rand.Rand) func(hcstest.Call) *hcstest.Fault {
	var mu sync.Mutex // guards random
	return func(hcstest.Call) *hcstest.Fault {
		mu.Lock()
		defer mu.Unlock()
		switch random.IntN(30) {
		case 0:
			return &hcstest.Fault{Err: libcontainerd.CodeRPCFailed}
		case 1:
			return &hcstest.Fault{Err: libcontainerd.CodeRPCFailed, Done: true}
		case 2:
			return &hcstest.Fault{Delay: time.Minute}
		}
		return nil
	}
}

// A soak: many lives, each with other faults, and what must hold whatever fails.
// The name of a test that fails has its seed, to run it again. Goroutines may then
// run in another order.
func TestEveryContainerThatStartedHasOneExit(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { liveWithFaults(t, seed) })
		})
	}
}

func liveWithFaults(t *testing.T, seed uint64) {
	svc := hcstest.New(t)
	engine := &counter{starts: make(map[string]int), exits: make(map[string]int)}
	client, err := libcontainerd.NewClient(engine,
		libcontainerd.WithComputeService(svc), libcontainerd.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	svc.OnCall("", sometimes(rand.New(rand.NewPCG(seed, 0))))
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			id := fmt.Sprint("c", i)
			if err := client.Create(id, webSpec("timeout", "/t", "60")); err == nil && i%2 == 0 {
				_ = client.Signal(id, libcontainerd.SignalTerminate) // which may fail, too
			}
		})
	}
	all.Wait()
	svc.Heal()
	time.Sleep(time.Hour) // within the bubble: whatever was to happen has happened

	engine.mu.Lock()
	for id, starts := range engine.starts {
		if exits := engine.exits[id]; starts != 1 || exits != 1 {
			t.Errorf("%s: %d starts, %d exits", id, starts, exits)
		}
	}
	engine.mu.Unlock()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	// At the end of the test svc fails it if a compute system, a handle or a pipe is left.
}
