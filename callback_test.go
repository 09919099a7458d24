package libcontainerd_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// The Backend may call every method from inside a callback. See lessons_test.go: 24, 34, D21,
// D44.
func TestBackendMayCallEveryMethodFromACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		calls := func(id string) {
			e.Signal(id, 0)
			e.SignalProcess(id, "init", 0)
			e.Resize(id, "init", 80, 25)
			e.Stats(id)
			e.GetPidsForContainer(id)
			e.Summary(id)
			e.UpdateResources(id, libcontainerd.Resources{})
			e.Pause(id)
			e.Resume(id)
			e.AddProcess(id, fmt.Sprint(time.Now().UnixNano()), exec("cmd", "/c", "exit 0"))
			e.Restore(id)
			e.Create(id+"x", spec("nosuch.exe"))
			e.Reconcile(t.Context(), "nobody")
			time.Sleep(time.Millisecond)
		}
		e.onState = func(id string, info libcontainerd.StateInfo) error {
			if info.State != libcontainerd.StateExitProcess && info.ExitCode != 1<<31 { // that exit is from Restore
				calls(id)
			}
			if info.State == libcontainerd.StateExit && info.ExitCode == 4 {
				return e.Create(id, hyperv("cmd", "/c", "exit 5"))
			}
			return nil
		}
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
		must(t, e.Create("c1", hyperv("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		e.await("exit c1 5", 1)
		time.Sleep(time.Second) // the callback is on its way
	})
}

// The engine of 2016 holds its own lock while it calls the client, and takes it
// in its callback for exits.
func TestEngineMayHoldItsLockWhileItCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		var lock sync.Mutex
		release := make(chan bool)
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			switch info.State {
			case libcontainerd.StateExit, libcontainerd.StateExitProcess:
				<-release // a mutex that synctest can see through
				lock.Lock()
				defer lock.Unlock()
			}
			return nil
		}
		lock.Lock()
		must(t, e.Create("c1", hyperv(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 0")))
		e.await("exit-process c1/p1", 1) // its callback waits for the lock
		must(t, e.Pause("c1"))
		must(t, e.Resume("c1"))
		must(t, e.AddProcess("c1", "p2", exec(untilStopped...)))
		must(t, e.SignalProcess("c1", "p2", 9))
		must(t, e.Signal("c1", 9))
		lock.Unlock()
		close(release)
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit-process c1/p1 0", "pause c1", "resume c1", "exit-process c1/p2 1067", "exit c1 1067")
	})
}

// For one container events come one at a time, and a slow callback holds up no
// other container.
func TestCallbacksOfAContainerDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		var mu sync.Mutex
		inside := map[string]int{}
		e.onState = func(id string, info libcontainerd.StateInfo) error {
			mu.Lock()
			inside[id]++
			if inside[id] > 1 {
				t.Errorf("callbacks of %s overlap", id)
			}
			mu.Unlock()
			if id == "slow" {
				time.Sleep(time.Minute)
			}
			mu.Lock()
			inside[id]--
			mu.Unlock()
			return nil
		}
		must(t, e.Create("slow", spec(untilStopped...)))
		for i := range 5 {
			must(t, e.AddProcess("slow", fmt.Sprint(i), exec("cmd", "/c", "exit 0")))
		}
		must(t, e.Create("quick", spec(untilStopped...)))
		began := time.Now()
		must(t, e.Signal("quick", 9))
		e.awaitExit("quick")
		if took := time.Since(began); took != 0 {
			t.Errorf("the quick container ended after %v", took)
		}
		must(t, e.Signal("slow", 9))
		e.awaitExit("slow")
		time.Sleep(time.Hour) // its last callback is on its way
	})
}

// The Backend is told of a restart, and then of the start that follows it. See
// lessons_test.go: 30.
func TestStartFollowsItsRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			if info.State == libcontainerd.StateRestart {
				time.Sleep(time.Minute)
				e.wantEvents(t, "start-container c1", "restart c1 4")
				if calls := e.hcs.Calls(hcstest.OpCreate); len(calls) != 1 {
					t.Errorf("created again already: %v", calls)
				}
			}
			return nil
		}
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "restart c1 4", "start-container c1", "exit c1 4")
	})
}

// If a container is over before its start is reported, the start is reported first,
// and then the exit. See lessons_test.go: D17.
func TestExitNeverOvertakesTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			if info.State == libcontainerd.StateStart {
				must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 1")))
				time.Sleep(time.Minute) // all is over by then
				e.wantEvents(t, "start-container c1")
			}
			return nil
		}
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit-process c1/p1 1", "exit c1 1067")
	})
}
