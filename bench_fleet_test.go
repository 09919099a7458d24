package libcontainerd_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// The benchmarks of many containers.

// fleet is an engine with containers that do nothing, named 0, 1, 2 …
type fleet struct {
	*benchEngine
	ids []string
}

func (f *fleet) grow(b *testing.B, n int) {
	b.Helper()
	for i := len(f.ids); i < n; i++ {
		id := fmt.Sprint(i)
		noError(b, f.Create(id, benchSpec("run")))
		f.ids = append(f.ids, id)
	}
}

// among measures a call on one container, and on each in turn, among N of them.
func among(b *testing.B, call func(*fleet, string) error) {
	b.Helper()
	f := &fleet{benchEngine: newBenchEngine(b)}
	for _, n := range []int{1, 1000, 100_000} {
		f.grow(b, n)
		forOneAndEach(b, f.ids, func(id string) error { return call(f, id) })
	}
}

func forOneAndEach(b *testing.B, ids []string, call func(string) error) {
	b.Helper()
	runtime.GC() // what came before is not measured
	b.Run(fmt.Sprintf("containers=%d/ask=one", len(ids)), func(b *testing.B) {
		id := ids[len(ids)/2]
		loop(b, func() { noError(b, call(id)) })
	})
	b.Run(fmt.Sprintf("containers=%d/ask=each", len(ids)), func(b *testing.B) {
		const stride = 7919 // prime: neighbours in memory are not asked one after the other
		at := 0
		loop(b, func() {
			at = (at + stride) % len(ids)
			noError(b, call(ids[at]))
		})
	})
}

func BenchmarkSignal0(b *testing.B) {
	among(b, func(f *fleet, id string) error { return f.Signal(id, libcontainerd.SignalCheck) })
}

func BenchmarkPids(b *testing.B) {
	among(b, func(f *fleet, id string) error {
		pids, err := f.GetPidsForContainer(id)
		if err == nil && len(pids) != 1 {
			err = fmt.Errorf("%d processes", len(pids))
		}
		return err
	})
}

func BenchmarkStatsAmong(b *testing.B) {
	among(b, func(f *fleet, id string) error {
		_, err := f.Stats(id)
		return err
	})
}

// BenchmarkMapFloor is what the memory itself costs the benchmarks above: a table
// with a lock, and in it objects with locks.
func BenchmarkMapFloor(b *testing.B) {
	type object struct {
		mu    sync.Mutex // guards following
		phase int
		_     [30]uint64 // as large as a container
	}
	var mu sync.RWMutex
	table := make(map[string]*object)
	var ids []string
	for _, n := range []int{1, 1000, 100_000} {
		for i := len(ids); i < n; i++ {
			ids = append(ids, fmt.Sprint(i))
			table[ids[i]] = &object{phase: 1}
		}
		forOneAndEach(b, ids, func(id string) error {
			mu.RLock()
			o := table[id]
			mu.RUnlock()
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.phase != 1 {
				return errors.New("another phase")
			}
			return nil
		})
	}
}

// holdings is what a process holds in memory.
type holdings struct {
	heap, stack uint64 // bytes
	goroutines  int
}

func takeHoldings() holdings {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return holdings{m.HeapAlloc, m.StackInuse, runtime.NumGoroutine()}
}

func (h holdings) report(b *testing.B, before holdings, containers int) {
	b.Helper()
	per := func(after, before uint64) float64 { return (float64(after) - float64(before)) / float64(containers) }
	b.ReportMetric(per(h.heap, before.heap), "heap-B/container")
	b.ReportMetric(per(h.stack, before.stack), "stack-B/container")
	b.ReportMetric(float64(h.goroutines-before.goroutines)/float64(containers), "goroutines/container")
}

// warmGoroutines lets n goroutines run at a time. Go keeps what it has made for them
// and uses it again: it counts for no container then.
func warmGoroutines(n int) {
	release := make(chan struct{})
	var running sync.WaitGroup
	for range n {
		running.Go(func() { <-release })
	}
	close(release)
	running.Wait()
}

// BenchmarkIdle is what 100,000 containers that do nothing hold beside their
// goroutines. Via hcs these are the service's own objects, and what waits for each
// system and init.
func BenchmarkIdle(b *testing.B) {
	const containers = 100_000
	b.Run("via=hcs", func(b *testing.B) {
		for b.Loop() {
			service := newInstant()
			warmGoroutines(3 * containers)
			before := takeHoldings()
			var waits sync.WaitGroup
			for i := range containers {
				c, err := runBare(service, fmt.Sprint(i), "", "run")
				noError(b, err)
				waits.Go(func() { _ = c.system.Wait() })
				waits.Go(func() { _, _ = c.init.Wait() })
			}
			takeHoldings().report(b, before, containers)
			service.terminateAll()
			waits.Wait()
		}
	})
	b.Run("via=client", func(b *testing.B) {
		for b.Loop() {
			f := &fleet{benchEngine: newBenchEngine(b)}
			warmGoroutines(3 * containers)
			before := takeHoldings()
			f.grow(b, containers)
			f.ids = nil
			takeHoldings().report(b, before, containers)
			began := time.Now()
			noError(b, f.Close())
			b.ReportMetric(float64(time.Since(began).Milliseconds()), "close-ms")
		}
	})
}

// BenchmarkManyCreators is 10,000 containers created by 64 goroutines, where each
// call into HCS that creates or starts takes 10 ms.
func BenchmarkManyCreators(b *testing.B) {
	const containers, creators = 10_000, 64
	createAll := func(b *testing.B, create func(id string) error) {
		b.Helper()
		var next atomic.Int64
		var creating sync.WaitGroup
		for range creators {
			creating.Go(func() {
				for i := next.Add(1); i <= containers; i = next.Add(1) {
					if err := create(fmt.Sprint(i)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		creating.Wait()
	}
	const latency = 10 * time.Millisecond
	b.Run("via=hcs", func(b *testing.B) {
		for b.Loop() {
			service := newInstant()
			service.latency = latency
			document, err := libcontainerd.Configuration("web", benchSpec("run"), service)
			noError(b, err)
			createAll(b, func(id string) error {
				_, err := runBare(service, id, document, "run")
				return err
			})
		}
	})
	b.Run("via=client", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			e := newBenchEngine(b)
			e.service.latency = latency
			b.StartTimer()
			createAll(b, func(id string) error { return e.Create(id, benchSpec("run")) })
			b.StopTimer()
			noError(b, e.Close())
			b.StartTimer()
		}
	})
}
