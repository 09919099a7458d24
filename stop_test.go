package libcontainerd_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// untold has HCS keep every end to itself, that of processes included.
var untold = both(hang(hcstest.OpWait), hang(hcstest.OpWaitProcess))

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

// A stop that HCS does not tell is seen soon after HCS no longer lists the container
// as running.
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

// What HCS says of a termination is believed, in each of its dialects: there is no
// more to be waited for than the notification.
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

// The end of a container that nobody signalled, and that HCS does not tell, is found
// within minutes. That costs one list of all systems a minute, however many there are.
func TestEndThatNobodyTellsIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		untold(e.hcs)
		const containers = 50
		id := func(n int) string { return fmt.Sprintf("c%d", n) }
		for n := range containers {
			must(t, e.Create(id(n), spec(untilStopped...)))
		}
		lists := len(e.hcs.Calls(hcstest.OpList))
		time.Sleep(time.Hour)
		if n := len(e.hcs.Calls(hcstest.OpList)) - lists; n > 61 {
			t.Errorf("%d lists of all systems within an hour, want at most one a minute", n)
		}
		if n := e.count("exit "); n > 0 {
			t.Errorf("%d of %d containers that run have exits", n, containers)
		}
		lists = len(e.hcs.Calls(hcstest.OpList))
		for n := range 3 {
			e.hcs.Crash(id(n), libcontainerd.CodeUnexpectedExit)
		}
		time.Sleep(3 * time.Minute)
		for n := range 3 {
			exit := e.wantExit(t, id(n), time.Second)
			if exit.ExitCode != libcontainerd.UnknownExitCode || exit.Err == nil {
				t.Errorf("exit %+v", exit)
			}
		}
		if n := e.count("exit "); n != 3 {
			t.Errorf("%d exits, want 3", n)
		}
		if n := len(e.hcs.Calls(hcstest.OpList)) - lists; n > 3+2*3+1 { // an end that was found may be asked about once more
			t.Errorf("%d lists of all systems within three minutes", n)
		}
		e.hcs.Heal()
		for n := range containers {
			e.Signal(id(n), 9)
		}
		e.hears("exit ", containers, time.Hour)
	})
}

// A list that is refused, or says nothing of a container for once, ends none.
func TestListThatIsRefusedEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		inject(hcstest.OpList, hcstest.Fault{Err: libcontainerd.CodeAccessDenied})(e.hcs)
		time.Sleep(time.Hour)
		e.wantEvents(t, "start-container c1")
		must(t, e.Signal("c1", 9))
		e.wantExit(t, "c1", time.Minute)
	})
}

// namelessState is a HCS that does not say in which state a system is.
type namelessState struct{ *hcstest.Service }

func (s namelessState) ComputeSystems(owner string) ([]libcontainerd.ComputeSystemInfo, error) {
	systems, err := s.Service.ComputeSystems(owner)
	for i := range systems {
		systems[i].State = ""
	}
	return systems, err
}

// A state that is not known is no end.
func TestSystemOfNoKnownStateIsNotOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "c1", spec(untilStopped...))
		e := newEngine(t, hcs, libcontainerd.WithComputeService(namelessState{hcs}))
		must(t, e.Create("c2", spec(untilStopped...)))
		time.Sleep(time.Hour)
		e.wantEvents(t, "start-container c2")
		must(t, e.Signal("c2", 9))
		e.wantExit(t, "c2", time.Hour)
		if err := e.Create("c1", spec(untilStopped...)); !is(libcontainerd.CodeSystemAlreadyExists)(err) {
			t.Errorf("got %v", err)
		}
		if systems := list(t, hcs); len(systems) != 1 || e.count("start-container c1") > 0 {
			t.Errorf("systems %v, events %q", systems, e.events())
		}
		e.Signal("c1", 9)
		e.hears("exit c1", 1, time.Hour)
		endAll(t, hcs)
	})
}
