package swarm_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// TestSoak is a large swarm under churn, and measures it. "make swarm-soak" runs it;
// SWARM_SOAK is how long the churn lasts.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("SWARM_SOAK"), "0"))
	if err != nil {
		t.Fatal(err)
	}
	if length == 0 {
		t.Skip("SWARM_SOAK says how long")
	}
	workers, tasks := number(t, "SWARM_WORKERS", 50), number(t, "SWARM_TASKS", 5000)

	f := newFleet(t, 3, 0)
	f.pace, f.patience = time.Second, 10*time.Minute
	before := memory()
	f.addWorkers(workers)
	idle := memory()
	service := f.create(newService("web", uint64(tasks), "app"))
	f.settled(fmt.Sprintf("%d replicas on %d workers", tasks, workers), service, tasks)
	full := memory()
	t.Logf("memory: %.1f MB of 3 managers, %.2f MB per worker, %.0f KB per task, all in one process with its HCS",
		before/1e6, (idle-before)/float64(workers)/1e6, (full-idle)/float64(tasks)/1e3)
	t.Logf("%d goroutines", runtime.NumGoroutine())

	f.measureDeath(service, tasks)
	rounds := f.churn(service, tasks, time.Now().Add(length))
	f.nudge(service, tasks)
	f.settled(fmt.Sprintf("all replicas after %d rounds of churn", rounds), service, tasks)
	t.Logf("memory: %.1f MB before the churn, %.1f MB after it", full/1e6, memory()/1e6)
	f.scale(service, 0)
	f.settled("none", service, 0)
}

func number(t *testing.T, variable string, otherwise int) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv(variable), strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// memory returns the bytes of memory that are in use.
func memory() float64 {
	runtime.GC()
	runtime.GC() // what has a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// measureDeath tells how long it takes from a node's death until all replicas run
// again, and until none runs twice when the node is back.
func (f *fleet) measureDeath(service string, tasks int) {
	f.t.Helper()
	w := f.workers[0]
	f.kill(w)
	died := time.Now()
	f.eventually("from a node's death to the last replica that runs again", func() (bool, string) {
		running := f.running(service)
		for _, name := range running {
			if name == "" { // still counted on the dead one
				return false, "the node is not down yet"
			}
		}
		return len(running) == tasks, f.report(service)
	})
	f.t.Logf("%.1f s from the death, with what it took to notice", time.Since(died).Seconds())
	f.start(w)
	f.settled("none runs twice", service, tasks)
}

// nudge makes another manager the leader if tasks are left pending. When the leader of
// swarmkit v2.0.0 dies while tasks are being placed, the next one may overlook some of
// them, and the one after that finds them.
func (f *fleet) nudge(service string, tasks int) {
	f.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(f.pace) {
		if len(f.running(service)) == tasks {
			return
		}
	}
	f.t.Logf("%d of %d replicas run; another leader has to look", len(f.running(service)), tasks)
	m := f.leader()
	f.kill(m)
	f.start(m)
}

// churn lets things happen until the deadline, and returns how many did.
func (f *fleet) churn(service string, tasks int, deadline time.Time) (rounds int) {
	f.t.Helper()
	events := []func(*machine){
		func(w *machine) { // dies, and is back at once or late
			f.kill(w)
			time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Second))))
			f.start(w)
		},
		func(w *machine) { // is drained
			f.availability(w.name, api.NodeAvailabilityDrain)
			time.Sleep(2 * time.Second)
			f.availability(w.name, api.NodeAvailabilityActive)
		},
		func(w *machine) { // its HCS fails
			w.hcs.Inject(hcstest.Rule{Op: hcstest.OpCreate, Times: 20, Fault: hcstest.Fault{Err: libcontainerd.CodeConnectFailed}})
			w.hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, Times: 5, Fault: hcstest.Fault{Delay: time.Second}})
			for _, id := range f.systemsOf(w) {
				w.hcs.Crash(id, libcontainerd.CodeUnexpectedExit)
			}
		},
		func(*machine) { // the service is scaled
			f.scale(service, uint64(tasks*9/10))
			time.Sleep(2 * time.Second)
			f.scale(service, uint64(tasks))
		},
		func(*machine) { // the leader dies
			m := f.leader()
			f.kill(m)
			time.Sleep(5 * time.Second)
			f.start(m)
		},
	}
	for ; time.Now().Before(deadline); rounds++ {
		events[rounds%len(events)](f.workers[rand.IntN(len(f.workers))])
	}
	for _, w := range f.workers {
		w.hcs.Heal()
	}
	return rounds
}

func (f *fleet) systemsOf(w *machine) (ids []string) {
	f.t.Helper()
	all, err := w.hcs.ComputeSystems("")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}
