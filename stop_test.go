package libcontainerd_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// After the exit of init the client shuts the system down, or else terminates it. See
// lessons_test.go: 48, 51, D20, F42–F44.
func TestTeardownAfterTheExitOfInit(t *testing.T) {
	const shutdown, terminate = 3 * time.Minute, time.Minute
	for name, c := range map[string]struct {
		prepare func(*hcstest.Service)
		took    time.Duration
		broken  bool // the exit event carries an error
		roughly bool // took is the most that it may take
	}{
		"shutdown":                   {func(*hcstest.Service) {}, 0, false, false},
		"shutdown takes its time":    {slow(hcstest.OpStop, 2*time.Minute), 2 * time.Minute, false, false},
		"shutdown is accepted, raw":  {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeOperationPending}), shutdown, false, false},
		"shutdown has no effect":     {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeAlreadyStopped}), libcontainerd.DefaultGrace, false, false},
		"shutdown hangs":             {hang(hcstest.OpShutdown), shutdown, false, false},
		"shutdown fails":             {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeProcNotFound}), 0, false, false},
		"both fail":                  {both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}), once(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeAccessDenied})), 0, false, false},
		"first handle hangs":         {both(hang(hcstest.OpShutdown), once(hcstest.OpTerminate, hcstest.Fault{Hang: true})), shutdown + terminate, false, false},
		"already stopped, bad path":  {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeBadPathname, Done: true}), 0, false, false},
		"already stopped, not found": {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeNotFound, Done: true}), 0, false, false},
		"already stopped, HRESULT":   {inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.Code(0x80370110), Done: true}), 0, false, false},
		"notice of the stop is lost": {once(hcstest.OpWait, hcstest.Fault{Hang: true}), 2 * libcontainerd.DefaultGrace, false, true},
		"nothing helps":              {func(h *hcstest.Service) { h.Hang(hcstest.OpStop, "") }, shutdown + 2*terminate, true, false},
		"nothing is ever answered":   {both(hang(hcstest.OpShutdown), hang(hcstest.OpTerminate), hang(hcstest.OpOpen)), shutdown + 2*terminate, true, false},
		"closing the handles hangs":  {both(hang(hcstest.OpClose), hang(hcstest.OpCloseProcess)), 2 * libcontainerd.DefaultGrace, false, false},
		"closing the handles is refused": {both(
			refusedTwice(hcstest.OpClose), refusedTwice(hcstest.OpCloseProcess)), 60 * time.Millisecond, false, false},
		"the system crashes meanwhile": {func(h *hcstest.Service) {
			h.OnCall(hcstest.OpShutdown, func(c hcstest.Call) *hcstest.Fault {
				h.Crash(c.ID, libcontainerd.CodeGuestCriticalError)
				return nil
			})
		}, 0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEngine(t, hcs, libcontainerd.WithShutdownTimeout(shutdown), libcontainerd.WithTerminateTimeout(terminate))
				c.prepare(hcs)
				began := time.Now()
				must(t, e.Create("c1", spec("cmd", "/c", "exit 3")))
				exit := e.awaitExit("c1")
				if took := time.Since(began); took != c.took && !(c.roughly && took < c.took) {
					t.Errorf("exit came after %v, want %v", took, c.took)
				}
				if exit.ExitCode != 3 || exit.ExitedAt.After(began) {
					t.Errorf("exit code %d at %v, want 3 at %v", exit.ExitCode, exit.ExitedAt, began)
				}
				if (exit.Err != nil) != c.broken {
					t.Errorf("exit error: %v", exit.Err)
				}
				e.wantEvents(t, "start-container c1", "exit c1 3")
				hcs.Heal()
			})
		})
	}
}

// After a Terminate the client does not ask for a Shutdown. See lessons_test.go: 51.
func TestTerminatedContainerIsNotShutDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", libcontainerd.Process{Args: untilStopped}))
		must(t, e.Signal("c1", 9))
		exit := e.awaitExit("c1")
		if exit.Err != nil || exit.ExitCode == 0 {
			t.Errorf("exit %+v", exit)
		}
		if calls := e.hcs.Calls(hcstest.OpShutdown); len(calls) > 0 {
			t.Errorf("calls %v", calls)
		}
		e.wantEvents(t, "start-container c1", "exit-process c1/p1 1067", "exit c1 1067")
	})
}

// An end that takes minutes holds up nobody. See lessons_test.go: 27, 46, D31, D33.
func TestSlowTeardownHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("slow", spec(untilStopped...)))
		must(t, e.Create("other", spec(untilStopped...)))
		e.hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, ID: "slow", Fault: hcstest.Fault{Delay: 4 * time.Minute}})
		e.hcs.Inject(hcstest.Rule{Op: hcstest.OpShutdown, ID: "slow", Fault: hcstest.Fault{Delay: 3 * time.Minute}})
		pid := e.infos["slow"][0].Pid
		e.hcs.ExitProcess("slow", pid, 0)
		synctest.Wait() // the teardown has begun
		began := time.Now()
		if _, err := e.GetPidsForContainer("slow"); err != nil {
			t.Error(err)
		}
		if _, err := e.Summary("slow"); err != nil {
			t.Error(err)
		}
		if err := e.Signal("slow", 0); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("signal 0: %v", err)
		}
		if err := e.AddProcess("slow", "p", libcontainerd.Process{Args: untilStopped}); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("exec: %v", err)
		}
		if err := e.Create("slow", spec("cmd")); !errdefs.IsAlreadyExists(err) {
			t.Errorf("create: %v", err)
		}
		must(t, e.AddProcess("other", "p", libcontainerd.Process{Args: []string{"cmd", "/c", "exit 0"}}))
		must(t, e.Signal("slow", 15))
		must(t, e.Signal("other", 9))
		e.awaitExit("other")
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		e.awaitExit("slow")
	})
}

func TestWaitThatFailsDuringTheTeardownIsNoStop(t *testing.T) {
	for name, prepare := range map[string]func(*hcstest.Service){
		"of a container that ended":  func(*hcstest.Service) {},
		"of a container that failed": func(h *hcstest.Service) { h.Fail(hcstest.OpStdio, "c1", libcontainerd.CodeNotFound) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEngine(t, hcs)
				prepare(hcs)
				once(hcstest.OpStop, hcstest.Fault{Hang: true})(hcs) // what was accepted is not done
				once(hcstest.OpWait, hcstest.Fault{Delay: time.Second, Err: libcontainerd.CodeInvalidHandle})(hcs)
				if e.Create("c1", spec("cmd", "/c", "exit 3")) == nil {
					e.awaitExit("c1")
				}
				time.Sleep(3 * time.Minute)
				for _, s := range list(t, hcs) {
					t.Errorf("left: %v", s)
				}
			})
		})
	}
}

// While the client waits for a stop, the service goes away. The container outlives it,
// and the service is slow to come back. See lessons_test.go: F45.
func TestSystemThatOutlivesTheServiceDuringItsStopIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEngine(t, hcs)
		must(t, e.Create("c1", spec(untilStopped...)))
		stop := hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, Times: 1, Fault: hcstest.Fault{Hang: true}})
		must(t, e.Signal("c1", 15))
		<-stop.Met()
		hcs.LoseService(func(string) bool { return true })
		hcs.Fail(hcstest.OpOpen, "c1", libcontainerd.CodeServiceNotAvailable, libcontainerd.CodeServiceNotAvailable)
		hcs.RestoreService()
		e.awaitExit("c1")
		synctest.Wait()
		for _, s := range list(t, hcs) {
			t.Errorf("left: %v", s)
		}
	})
}

// As long as HCS lists the container as running the timeouts hold.
func TestContainerThatIsListedAsRunningHasItsTimeouts(t *testing.T) {
	const shutdown, terminate = 7 * time.Minute, 3 * time.Minute
	for name, c := range map[string]struct {
		end func(*engine)
		min time.Duration
	}{
		"exit of init": {func(e *engine) { e.hcs.ExitProcess("c1", e.last("c1").Pid, 4) }, shutdown + terminate},
		"kill":         {func(e *engine) { e.Signal("c1", 9) }, terminate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil, libcontainerd.WithShutdownTimeout(shutdown), libcontainerd.WithTerminateTimeout(terminate))
				must(t, e.Create("c1", spec(untilStopped...)))
				hang(hcstest.OpStop)(e.hcs)
				began := time.Now()
				c.end(e)
				e.hears("exit c1 ", 1, 3*time.Hour)
				if took := time.Since(began); took < c.min {
					t.Errorf("exit after %v, want no sooner than %v", took, c.min)
				}
				if exit := e.wantExit(t, "c1", time.Second); !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
					t.Errorf("exit %+v", exit)
				}
				e.hcs.Heal()
				time.Sleep(time.Hour)
			})
		})
	}
}

// If HCS answers a termination with "stopped already", in any of its dialects, the client
// waits for nothing but the notification, and only briefly.
func TestTerminationOfWhatHasStoppedIsWaitedForBriefly(t *testing.T) {
	for _, code := range []libcontainerd.Code{
		libcontainerd.CodeAlreadyStopped, 0x80370110, libcontainerd.CodeNotFound, 0x80070490, libcontainerd.CodeSystemNotFound, 0x8037010e,
	} {
		for name, end := range map[string]func(*engine){
			"kill":         func(e *engine) { e.Signal("c1", 9) },
			"exit of init": func(e *engine) { e.hcs.ExitProcess("c1", e.last("c1").Pid, 4) },
		} {
			t.Run(fmt.Sprintf("%s/%#x", name, uint32(code)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					must(t, e.Create("c1", spec(untilStopped...)))
					both(inject(hcstest.OpTerminate, hcstest.Fault{Err: code, Done: true}),
						inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeFail}),
						hang(hcstest.OpWait), inject(hcstest.OpList, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}))(e.hcs)
					if name == "kill" {
						hang(hcstest.OpWaitProcess)(e.hcs)
					}
					began := time.Now()
					end(e)
					e.hears("exit c1 ", 1, time.Hour)
					if took := time.Since(began); took > 4*libcontainerd.DefaultGrace {
						t.Errorf("exit after %v", took)
					}
					e.wantExit(t, "c1", time.Second)
					e.hcs.Heal()
				})
			})
		}
	}
}

// forgetful is a HCS that does not list a system which has stopped, though a handle
// to it is open.
type forgetful struct{ *hcstest.Service }

func (s forgetful) ComputeSystems(owner string) ([]libcontainerd.ComputeSystemInfo, error) {
	systems, err := s.Service.ComputeSystems(owner)
	var running []libcontainerd.ComputeSystemInfo
	for _, system := range systems {
		if system.State != "Stopped" {
			running = append(running, system)
		}
	}
	return running, err
}

// If HCS does not report a stop, the client sees it soon after HCS no longer lists the
// container as running.
func TestStopThatHCSDoesNotTell(t *testing.T) {
	const soon = 3 * libcontainerd.DefaultGrace
	for name, c := range map[string]struct {
		prepare func(*hcstest.Service)
		end     func(*engine)
		stop    time.Duration // until it has stopped
		more    time.Duration // that it may take: until the next look at all that run
	}{
		"kill":                 {untold, func(e *engine) { e.Signal("c1", 9) }, 0, 0},
		"kill, slow stop":      {untold, func(e *engine) { e.Signal("c1", 9) }, 3 * time.Minute, 0},
		"shutdown":             {untold, func(e *engine) { e.Signal("c1", 15) }, 0, 2 * time.Minute},
		"shutdown, slow stop":  {untold, func(e *engine) { e.Signal("c1", 15) }, 3 * time.Minute, 2 * time.Minute},
		"exit of init":         {hang(hcstest.OpWait), func(e *engine) { e.hcs.ExitProcess("c1", e.last("c1").Pid, 4) }, 0, 0},
		"exit, slow stop":      {hang(hcstest.OpWait), func(e *engine) { e.hcs.ExitProcess("c1", e.last("c1").Pid, 4) }, 3 * time.Minute, 0},
		"kill, init is told":   {hang(hcstest.OpWait), func(e *engine) { e.Signal("c1", 9) }, 0, 0},
		"two kills":            {untold, func(e *engine) { e.Signal("c1", 9); time.Sleep(time.Second); e.Signal("c1", 9) }, 0, 0},
		"shutdown, then crash": {untold, func(e *engine) { e.Signal("c1", 15); e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit) }, 0, 2 * time.Minute},
	} {
		for lists, wrap := range map[string]func(*hcstest.Service) libcontainerd.ComputeService{
			"listed as stopped": func(h *hcstest.Service) libcontainerd.ComputeService { return h },
			"not listed":        func(h *hcstest.Service) libcontainerd.ComputeService { return forgetful{h} },
		} {
			t.Run(name+"/"+lists, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hcs := hcstest.New(t)
					e := newEngine(t, hcs, libcontainerd.WithComputeService(wrap(hcs)))
					c.prepare(hcs)
					must(t, e.Create("c1", spec(untilStopped...)))
					if name == "shutdown, then crash" {
						hang(hcstest.OpStop)(hcs)
					} else if c.stop > 0 {
						slow(hcstest.OpStop, c.stop)(hcs)
					}
					began := time.Now()
					c.end(e)
					e.hears("exit c1 ", 1, time.Hour)
					limit := c.stop + soon + c.more
					if took := time.Since(began); took > limit {
						t.Errorf("exit after %v, want within %v", took, limit)
					}
					exit := e.wantExit(t, "c1", time.Second)
					if errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
						t.Errorf("of a system that has stopped the exit says %v", exit.Err)
					}
					if exit.ExitCode == 0 {
						t.Errorf("false success: %+v", exit)
					}
					hcs.Heal()
				})
			})
		}
	}
}
