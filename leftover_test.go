package libcontainerd_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// lateFailure is a HCS that makes a compute system long after it was asked for,
// and says that it did not.
type lateFailure struct{ *hcstest.Service }

func (s lateFailure) CreateComputeSystem(id, configuration string) (libcontainerd.ComputeSystem, error) {
	time.Sleep(time.Hour)
	system, err := s.Service.CreateComputeSystem(id, configuration)
	if err != nil {
		return nil, err
	}
	system.Close()
	return nil, libcontainerd.CodeTimeout
}

// afterthought is a HCS that makes a compute system long after hcsshim has given
// its creation up.
type afterthought struct{ *hcstest.Service }

func (s afterthought) CreateComputeSystem(id, configuration string) (libcontainerd.ComputeSystem, error) {
	go func() {
		time.Sleep(30 * time.Minute)
		if system, err := s.Service.CreateComputeSystem(id, configuration); err == nil {
			system.Close()
		}
	}()
	return nil, libcontainerd.CodeOperationTimeout
}

// If HCS does not end a system when it should, the client ends it as soon as it can,
// also when nobody asks again.
func TestWhatHCSDoesNotEndIsEndedLater(t *testing.T) {
	refuse := func(op hcstest.Op, times int) func(*hcstest.Service) {
		return func(h *hcstest.Service) {
			h.Inject(hcstest.Rule{Op: op, Times: times, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied}})
		}
	}
	for name, c := range map[string]struct {
		prepare func(*hcstest.Service)
		wrap    func(*hcstest.Service) libcontainerd.ComputeService
		created bool // Create succeeds
	}{
		"create that was done, list refused":      {prepare: both(once(hcstest.OpCreate, hcstest.Fault{Err: libcontainerd.CodeTimeout, Done: true}), refuse(hcstest.OpList, 3))},
		"create that was done, terminate refused": {prepare: both(once(hcstest.OpCreate, hcstest.Fault{Err: libcontainerd.CodeTimeout, Done: true}), refuse(hcstest.OpTerminate, 3))},
		"create that is done and fails late":      {wrap: func(h *hcstest.Service) libcontainerd.ComputeService { return lateFailure{h} }},
		"create that is done after it failed":     {wrap: func(h *hcstest.Service) libcontainerd.ComputeService { return afterthought{h} }},
		"create that comes late, terminate refused": {prepare: both(
			once(hcstest.OpCreate, hcstest.Fault{Delay: time.Hour}), refuse(hcstest.OpTerminate, 3))},
		"start refused, terminate refused":    {prepare: both(refuse(hcstest.OpStart, 1), refuse(hcstest.OpTerminate, 5))},
		"start refused, stop takes for ever":  {prepare: both(refuse(hcstest.OpStart, 1), slow(hcstest.OpStop, 40*time.Minute))},
		"shutdown refused, terminate refused": {prepare: both(refuse(hcstest.OpShutdown, 1), refuse(hcstest.OpTerminate, 6)), created: true},
		"shutdown refused, open refused":      {prepare: both(refuse(hcstest.OpShutdown, 1), refuse(hcstest.OpTerminate, 1), refuse(hcstest.OpOpen, 6)), created: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				var service libcontainerd.ComputeService = hcs
				if c.wrap != nil {
					service = c.wrap(hcs)
				} else {
					c.prepare(hcs)
				}
				e := newEngine(t, hcs, libcontainerd.WithComputeService(service))
				err := e.Create("c1", spec("cmd", "/c", "exit 3"))
				if (err == nil) != c.created {
					t.Errorf("create: %v", err)
				}
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				for _, s := range list(t, hcs) {
					t.Errorf("left: %v", s)
				}
				lists := len(hcs.Calls(hcstest.OpList))
				time.Sleep(3 * time.Hour)
				if n := len(hcs.Calls(hcstest.OpList)) - lists; n > 0 {
					t.Errorf("HCS was asked %d times for systems that have ended", n)
				}
			})
		})
	}
}

// lateOnce is afterthought for the first compute system.
type lateOnce struct {
	*hcstest.Service
	first *sync.Once
}

func (s lateOnce) CreateComputeSystem(id, configuration string) (system libcontainerd.ComputeSystem, err error) {
	late := false
	s.first.Do(func() { late = true })
	if late {
		return afterthought{s.Service}.CreateComputeSystem(id, configuration)
	}
	return s.Service.CreateComputeSystem(id, configuration)
}

// A container that runs in between changes nothing for what comes late.
func TestLateCreateIsEndedAfterAnotherLifeOfTheID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEngine(t, hcs, libcontainerd.WithComputeService(lateOnce{hcs, new(sync.Once)}))
		if err := e.Create("c1", spec("cmd")); !is(libcontainerd.CodeOperationTimeout)(err) {
			t.Errorf("got %v", err)
		}
		for range 3 {
			must(t, e.Create("c1", spec("cmd", "/c", "exit 3")))
			e.awaitExit("c1")
			synctest.Wait()
		}
		time.Sleep(3 * time.Hour)
		for _, s := range list(t, hcs) {
			t.Errorf("left: %v", s)
		}
	})
}

// A create fails while a container of that id has not stopped. The client still ends
// the container.
func TestContainerThatDidNotStopIsEndedThoughACreateFailsMeanwhile(t *testing.T) {
	for name, create := range map[string]hcstest.Fault{
		"refused":              {Err: libcontainerd.CodeRPCFailed},
		"given up by hcsshim":  {Err: libcontainerd.CodeOperationTimeout},
		"given up, id in use":  {Delay: time.Hour, Err: libcontainerd.CodeSystemAlreadyExists},
		"given up, then fails": {Delay: time.Hour, Err: libcontainerd.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeRPCFailed}),
					inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeRPCFailed}))(e.hcs)
				must(t, e.Create("c1", spec("cmd", "/c", "exit 3")))
				if exit := e.awaitExit("c1"); exit.Err == nil {
					t.Errorf("exit %+v", exit)
				}
				both(once(hcstest.OpCreate, create), once(hcstest.OpList, hcstest.Fault{Err: libcontainerd.CodeRPCFailed}))(e.hcs)
				if err := e.Create("c1", spec("cmd")); err == nil {
					t.Error("id is free")
				}
				time.Sleep(2 * time.Hour)
				e.hcs.Heal()
				time.Sleep(time.Hour)
				for _, s := range list(t, e.hcs) {
					t.Errorf("left: %v", s)
				}
			})
		})
	}
}

// A restart may end the system of the life before.
func TestRestartEndsTheLifeThatDidNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}),
			inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}))(e.hcs)
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			if info.State == libcontainerd.StateRestart {
				e.hcs.Heal()
			}
			return nil
		}
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
		must(t, e.Create("c1", spec("cmd", "/c", "exit 3"), libcontainerd.WithRestartManager(rm)))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "restart c1 3", "start-container c1", "exit c1 3")
	})
}

// However long a former life takes to end, the client waits a grace after it for the id
// to be free.
func TestIDIsWaitedForFromTheEndOfItsFormerLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpStart, "c1", libcontainerd.CodeUnexpectedExit)
		slow(hcstest.OpStop, 6*time.Minute)(e.hcs)
		if err := e.Create("c1", spec("cmd")); !is(libcontainerd.CodeUnexpectedExit)(err) {
			t.Errorf("got %v", err)
		}
		taken := libcontainerd.CodeSystemAlreadyExists
		e.hcs.Fail(hcstest.OpCreate, "c1", taken, taken)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// While HCS is asked about a leftover, another one appears under the same id. It is not
// forgotten with the first.
func TestNewLeftoverUnderAnOldIDIsEndedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		fail := func(done bool) {
			once(hcstest.OpCreate, hcstest.Fault{Err: libcontainerd.CodeTimeout, Done: done})(e.hcs)
			e.hcs.Fail(hcstest.OpList, "", libcontainerd.CodeBusy)
			if err := e.Create("c1", spec("cmd")); !is(libcontainerd.CodeTimeout)(err) {
				t.Errorf("got %v", err)
			}
		}
		// HCS has nothing under the id then, but is slow to say so.
		once(hcstest.OpList, hcstest.Fault{Delay: time.Minute, Done: true})(e.hcs)
		fail(false)
		synctest.Wait()
		fail(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for _, s := range list(t, e.hcs) {
			t.Errorf("left: %v", s)
		}
	})
}

// The client ends the system that was left, not the one that has the id now.
func TestWhatIsEndedLaterIsNoNewContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpStart, "c1", libcontainerd.CodeUnexpectedExit)
		refusal := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpTerminate, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied}})
		if err := e.Create("c1", spec(untilStopped...)); !is(libcontainerd.CodeUnexpectedExit)(err) {
			t.Errorf("got %v", err)
		}
		refusal.Release()
		e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit) // it ends by itself
		must(t, e.Create("c1", spec(untilStopped...)))
		time.Sleep(time.Minute)
		lists := len(e.hcs.Calls(hcstest.OpList))
		time.Sleep(3 * time.Hour)
		if n := len(e.hcs.Calls(hcstest.OpList)) - lists; n > 3*60+1 { // one a minute is for the container that runs
			t.Errorf("HCS was asked %d times", n)
		}
		must(t, e.Signal("c1", 0))
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 3221225786")
	})
}

func TestWhatIsOpenedLateIsNoNewContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpStart, "c1", libcontainerd.CodeUnexpectedExit)
		e.hcs.Fail(hcstest.OpTerminate, "c1", libcontainerd.CodeInvalidParameter, libcontainerd.CodeInvalidParameter)
		late := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpOpen, Skip: 1, Times: 1, Fault: hcstest.Fault{Hang: true}})
		if err := e.Create("c1", spec(untilStopped...)); !is(libcontainerd.CodeUnexpectedExit)(err) {
			t.Errorf("got %v", err)
		}
		<-late.Met()
		e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit) // it ends by itself
		err := e.Create("c1", spec(untilStopped...))
		late.Release()
		synctest.Wait()
		if err != nil {
			must(t, e.Create("c1", spec(untilStopped...)))
		}
		time.Sleep(time.Hour)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

// While a leftover waits for its end, the methods of the client do not find it.
func TestWhatIsEndedLaterIsNoContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpStart, "c1", libcontainerd.CodeUnexpectedExit)
		stop := e.hcs.Hang(hcstest.OpStop, "c1")
		if err := e.Create("c1", spec(untilStopped...)); !is(libcontainerd.CodeUnexpectedExit)(err) {
			t.Errorf("got %v", err)
		}
		for range 10 {
			time.Sleep(time.Minute)
			_, err := e.GetPidsForContainer("c1")
			for _, err := range []error{e.Signal("c1", 15), e.Signal("c1", 0), e.AddProcess("c1", "p1", exec("cmd")), err} {
				if !errdefs.IsNotFound(err) {
					t.Errorf("got %v, want not found", err)
				}
			}
		}
		stop.Release()
		must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
		e.awaitExit("c1")
	})
}

// slowToFree is a HCS that goes on listing a compute system which has stopped.
type slowToFree struct{ *hcstest.Service }

func (s slowToFree) ComputeSystems(owner string) ([]libcontainerd.ComputeSystemInfo, error) {
	systems, err := s.Service.ComputeSystems(owner)
	return append(systems, libcontainerd.ComputeSystemInfo{ID: "c1", Owner: libcontainerd.DefaultOwner, State: "Stopped"}), err
}

// An id may stay taken for a moment after its system has stopped. See
// lessons_test.go: F10, D15.
func TestIDThatIsStillTakenIsWaitedFor(t *testing.T) {
	for name, listed := range map[string]bool{"listed as stopped": true, "no longer listed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				var service libcontainerd.ComputeService = hcs
				if listed {
					service = slowToFree{hcs}
				}
				e := newEngine(t, hcs, libcontainerd.WithComputeService(service))
				taken := libcontainerd.CodeSystemAlreadyExists
				hcs.Fail(hcstest.OpCreate, "c1", nil, taken, taken, taken, nil, taken, taken)
				rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
				must(t, e.Create("c1", spec("cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(rm)))
				e.awaitExit("c1")
				must(t, e.Create("c1", spec("cmd", "/c", "exit 5")))
				e.await("exit c1", 2)
				e.wantEvents(t, "start-container c1", "restart c1 4", "start-container c1", "exit c1 4", "start-container c1", "exit c1 5")

				inject(hcstest.OpCreate, hcstest.Fault{Err: taken})(hcs)
				began := time.Now()
				if err := e.Create("c1", spec("cmd")); !errdefs.IsAlreadyExists(err) || time.Since(began) != libcontainerd.DefaultGrace {
					t.Errorf("gave up after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}

// allOwners is a HCS that lists more systems than it is asked for.
type allOwners struct{ *hcstest.Service }

func (s allOwners) ComputeSystems(string) ([]libcontainerd.ComputeSystemInfo, error) {
	return s.Service.ComputeSystems("")
}

// A create that fails does not prove that the system under the id is ours.
func TestFailedCreateEndsNobodyElsesSystem(t *testing.T) {
	for name, c := range map[string]struct {
		owner string
		runs  bool
	}{
		"one that runs":      {"docker", true},
		"of another owner":   {"somebody else", false},
		"running of another": {"somebody else", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				text := strings.Replace(document(t, hcs, "c1", spec("cmd")), `"Owner":"docker"`, `"Owner":"`+c.owner+`"`, 1)
				other, err := hcs.CreateComputeSystem("c1", text)
				must(t, err)
				if c.runs {
					must(t, other.Start())
				}
				e := newEngine(t, hcs, libcontainerd.WithComputeService(allOwners{hcs}))
				hcs.Fail(hcstest.OpCreate, "c1", libcontainerd.CodeTimeout)
				if err := e.Create("c1", spec("cmd")); !is(libcontainerd.CodeTimeout)(err) {
					t.Errorf("got %v", err)
				}
				if err := e.Create("c1", spec("cmd")); !is(libcontainerd.CodeSystemAlreadyExists)(err) {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Hour)
				if s := list(t, hcs); len(s) != 1 || s[0].State == "Stopped" {
					t.Errorf("systems %v", s)
				}
				must(t, other.Terminate())
				other.Wait()
				must(t, other.Close())
			})
		})
	}
}

// An engine that was told that the compute system of an exit may still be there is
// told when it is not.
func TestEngineIsToldThatTheSystemHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEndEngine(t, hcs)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.Create("c2", spec(untilStopped...)))
		both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeFail}),
			inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeFail}))(hcs)
		hcs.ExitProcess("c1", e.last("c1").Pid, 4)
		exit := e.wantExit(t, "c1", time.Hour)
		if !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
			t.Errorf("exit %+v", exit)
		}
		hcs.Heal()
		time.Sleep(time.Hour)
		if len(e.ended) != 1 || <-e.ended != "c1" {
			t.Error("the engine was not told, or not once")
		}
		must(t, e.Signal("c2", 9))
		e.wantExit(t, "c2", time.Hour)
		time.Sleep(time.Hour)
		if len(e.ended) > 0 {
			t.Error("the engine was told of an end that it knew of")
		}
		endAll(t, hcs)
	})
}

// A client that is closed does not tell the engine of the leftovers that it ended.
func TestEngineOfAClosedClientIsToldOfNoEnd(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpList, hcstest.OpOpen, hcstest.OpTerminate, hcstest.OpStop} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEndEngine(t, hcs)
				must(t, e.Create("c1", spec(untilStopped...)))
				both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeFail}),
					inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeFail}))(hcs)
				hcs.ExitProcess("c1", e.last("c1").Pid, 4)
				e.wantExit(t, "c1", time.Hour)
				hcs.Heal()
				hung := hcs.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Hang: true}})
				<-hung.Met()
				go func() {
					time.Sleep(time.Second)
					hung.Release()
				}()
				must(t, e.Close())
				time.Sleep(time.Hour)
				if len(e.ended) > 0 {
					t.Error("the engine was told")
				}
				endAll(t, hcs)
			})
		})
	}
}
