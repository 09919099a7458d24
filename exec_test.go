package libcontainerd_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestExecRunsBesideInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", libcontainerd.Process{Args: []string{"cmd", "/c", "echo from exec& exit 7"}}))
		e.await("exit-process c1/p1 7", 1)
		must(t, e.AddProcess("c1", "p2", libcontainerd.Process{Args: untilStopped}))
		pids, err := e.GetPidsForContainer("c1")
		must(t, err)
		if len(pids) != 2 {
			t.Errorf("pids %v, want those of init and p2", pids)
		}
		must(t, e.Signal("c1", 15))
		exit := e.awaitExit("c1")
		if exit.ExitCode != 0xc000013a {
			t.Errorf("exit code %#x", exit.ExitCode)
		}
		e.wantEvents(t, "start-container c1", "exit-process c1/p1 7", "exit-process c1/p2 3221225786", "exit c1 3221225786")
		if got := strings.TrimSpace(e.output("p1")); got != "from exec" {
			t.Errorf("output %q", got)
		}
	})
}

func TestExecThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		process string
		spec    libcontainerd.Process
		kind    func(error) bool
		text    string
	}{
		"no name":        {"", exec("cmd"), errdefs.IsInvalidArgument, "friendly name"},
		"init":           {"init", exec("cmd"), errdefs.IsAlreadyExists, "init"},
		"name in use":    {"p1", exec("cmd"), errdefs.IsAlreadyExists, "p1"},
		"no args":        {"p2", exec(), errdefs.IsInvalidArgument, "process.args"},
		"blank args":     {"p2", exec("", " "), errdefs.IsInvalidArgument, "process.args"},
		"no such file":   {"p2", exec("nosuch.exe"), errdefs.IsNotFound, "nosuch.exe"},
		"console height": {"p2", libcontainerd.Process{Args: []string{"cmd"}, Terminal: true, InitialConsoleSize: [2]int{70000, 1}}, errdefs.IsInvalidArgument, "70000"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				must(t, e.Create("c1", spec(untilStopped...)))
				must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
				err := e.AddProcess("c1", c.process, c.spec)
				if !c.kind(err) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "c1") {
					t.Errorf("got %v", err)
				}
				if pids, _ := e.GetPidsForContainer("c1"); len(pids) != 2 {
					t.Errorf("pids %v", pids)
				}
				must(t, e.Signal("c1", 9))
				e.awaitExit("c1")
			})
		})
	}
}

// An exec that fails leaves nothing, also if the engine does not take its streams. See
// lessons_test.go: 28, 36, 42, D27, D28.
func TestExecThatFailsLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*engine)
		want    error
	}{
		"create process": {func(e *engine) { e.hcs.Fail(hcstest.OpCreateProcess, "c1", libcontainerd.CodeInvalidState) }, libcontainerd.CodeInvalidState},
		"stdio":          {func(e *engine) { e.hcs.Fail(hcstest.OpStdio, "c1", libcontainerd.CodeNotFound) }, libcontainerd.CodeNotFound},
		"attach":         {func(e *engine) { e.onAttach = func(string, libcontainerd.IOPipe) error { return errRefused } }, errRefused},
		"attach, kill refused": {func(e *engine) {
			e.onAttach = func(string, libcontainerd.IOPipe) error { return errRefused }
			e.hcs.Fail(hcstest.OpKill, "c1", libcontainerd.CodeAccessDenied)
		}, errRefused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				must(t, e.Create("c1", spec(untilStopped...)))
				c.prepare(e)
				if err := e.AddProcess("c1", "p1", exec(untilStopped...)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "p1") {
					t.Errorf("got %v", err)
				}
				if pids, _ := e.GetPidsForContainer("c1"); len(pids) != 1 {
					t.Errorf("pids %v", pids)
				}
				e.onAttach = nil
				must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 0"))) // the name is free
				e.await("exit-process c1/p1 0", 1)
				must(t, e.Signal("c1", 9))
				e.awaitExit("c1")
				e.wantEvents(t, "start-container c1", "exit-process c1/p1 0", "exit c1 1067")
			})
		})
	}
}

// HCS receives every parameter of a process. See lessons_test.go: 16–18, D32, D47.
func TestProcessParameters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		s := spec(untilStopped...)
		s.Process.Cwd = `C:\app`
		s.Process.Env = []string{"A=b=c", "=C:=C:\\x", "noequals", "Path=first", "PATH=last"}
		s.Process.User.User = "ContainerUser"
		s.Process.InitialConsoleSize = [2]int{50, 160} // sent without a terminal, too, as in 2016
		must(t, e.Create("c1", s))
		terminal := exec("cmd", "/c", `echo "a b"`)
		terminal.Terminal = true
		terminal.InitialConsoleSize = [2]int{50, 160}
		must(t, e.AddProcess("c1", "p1", terminal))
		e.await("exit-process", 1)
		calls := e.hcs.Calls(hcstest.OpCreateProcess)
		want := []libcontainerd.ProcessConfig{{
			CommandLine:      "ping -t localhost",
			User:             "ContainerUser",
			WorkingDirectory: `C:\app`,
			Environment:      map[string]string{"A": "b=c", "=C:": `C:\x`, "PATH": "last"},
			CreateStdInPipe:  true, CreateStdOutPipe: true, CreateStdErrPipe: true,
			ConsoleSize: [2]uint{50, 160},
		}, {
			CommandLine:      `cmd /c echo "a b"`,
			WorkingDirectory: `C:\app`, // as for the init process
			EmulateConsole:   true,
			CreateStdInPipe:  true, CreateStdOutPipe: true,
			ConsoleSize: [2]uint{50, 160},
		}}
		for i, c := range calls {
			if diff := cmp.Diff(want[i], *c.Process); diff != "" {
				t.Errorf("process %d (-want +got):\n%s", i, diff)
			}
		}
		if p := e.pipe("p1"); p.Stderr != nil || !p.Terminal {
			t.Errorf("pipes of a terminal: %+v", p)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// An exec that is over at once is reported after AddProcess has attached it. See
// lessons_test.go: 34, D16.
func TestExecExitFollowsItsAttachment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		e.onAttach = func(string, libcontainerd.IOPipe) error {
			time.Sleep(time.Second)
			if log := e.events(); len(log) != 1 {
				t.Errorf("events before the streams are attached: %q", log)
			}
			return nil
		}
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 5")))
		e.await("exit-process c1/p1 5", 1)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// Names and pids of processes that have ended are free. See lessons_test.go: 25, D29.
func TestExecNameIsFreeWhenItsExitIsHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		again := 0
		e.onState = func(id string, info libcontainerd.StateInfo) error {
			if info.State == libcontainerd.StateExitProcess && again < 3 {
				again++
				return e.AddProcess(id, info.ProcessID, exec("cmd", "/c", "exit 1"))
			}
			return nil
		}
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 1")))
		e.await("exit-process c1/p1 1", 4)
		if pids, _ := e.GetPidsForContainer("c1"); len(pids) != 1 {
			t.Errorf("pids %v", pids)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// SignalProcess reaches an exec'd process, and its error says what HCS answered. See
// lessons_test.go: 47, D36, F34, F35.
func TestKillOfAnExec(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		want   func(error) bool
	}{
		"accepted":            {nil, func(err error) bool { return err == nil }},
		"already stopped":     {libcontainerd.Code(0x8037011f), func(err error) bool { return err == nil }},
		"element not found":   {libcontainerd.CodeNotFound, func(err error) bool { return err == nil }},
		"refused":             {libcontainerd.CodeInvalidParameter, errdefs.IsInvalidArgument},
		"procedure not found": {libcontainerd.CodeProcNotFound, is(libcontainerd.CodeProcNotFound)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				must(t, e.Create("c1", spec(untilStopped...)))
				must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
				must(t, e.SignalProcess("c1", "p1", 0))
				if c.answer != nil {
					e.hcs.Fail(hcstest.OpKill, "c1", c.answer)
				}
				if err := e.SignalProcess("c1", "p1", 9); !c.want(err) {
					t.Errorf("got %v", err)
				}
				if c.answer != nil {
					must(t, e.SignalProcess("c1", "p1", 9))
				}
				e.await("exit-process c1/p1 1067", 1)
				for sig, kind := range map[int]func(error) bool{0: errdefs.IsNotFound, 9: errdefs.IsNotFound, -1: errdefs.IsInvalidArgument} {
					if err := e.SignalProcess("c1", "p1", sig); !kind(err) || !strings.Contains(err.Error(), "p1") || !strings.Contains(err.Error(), "c1") {
						t.Errorf("signal %d after the exit: %v", sig, err)
					}
				}
				must(t, e.SignalProcess("c1", "init", 9))
				e.awaitExit("c1")
			})
		})
	}
}

// HCS wants one kill of a process at a time, and a second one would be useless.
func TestOneKillOfAnExecAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
		hung := e.hcs.Hang(hcstest.OpKill, "c1")
		killed := make(chan error, 1)
		go func() { killed <- e.SignalProcess("c1", "p1", 9) }()
		<-hung.Met()
		must(t, e.SignalProcess("c1", "p1", 9))
		hung.Release()
		must(t, <-killed)
		e.await("exit-process c1/p1 1067", 1)
		if n := len(e.hcs.Calls(hcstest.OpKill)); n != 1 {
			t.Errorf("HCS was asked %d times", n)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// If AddProcess returns nil, exactly one exit follows, whatever ends the container
// meanwhile. If it returns an error, none does.
func TestExecThatWasAddedHasOneExit(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*engine)
		end     func(*engine)
	}{
		"killed while it is attached":  {end: func(e *engine) { e.Signal("c1", 9) }},
		"crashes while it is attached": {end: func(e *engine) { e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit) }},
		"init ends while it is attached": {end: func(e *engine) {
			e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
		}},
		"killed, HCS does not tell": {
			prepare: func(e *engine) { hang(hcstest.OpWaitProcess)(e.hcs) },
			end:     func(e *engine) { e.Signal("c1", 9) },
		},
	} {
		for _, hold := range []time.Duration{0, time.Second, libcontainerd.DefaultGrace, time.Minute} {
			t.Run(fmt.Sprintf("%s/%v", name, hold), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					if c.prepare != nil {
						c.prepare(e)
					}
					must(t, e.Create("c1", spec(untilStopped...)))
					attaching := make(chan bool)
					e.onAttach = func(string, libcontainerd.IOPipe) error {
						close(attaching)
						time.Sleep(hold)
						return nil
					}
					added := make(chan error, 1)
					go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
					<-attaching
					c.end(e)
					err := <-added
					e.wantExit(t, "c1", time.Hour)
					time.Sleep(time.Hour)
					want := 0
					if err == nil {
						want = 1
					}
					if n := e.count("exit-process c1/p1 "); n != want {
						t.Errorf("exec answered %v and has %d exits: %q", err, n, e.events())
					}
					if events := e.events(); !strings.HasPrefix(events[len(events)-1], "exit c1 ") {
						t.Errorf("something follows the exit: %q", events)
					}
					e.hcs.Heal()
				})
			})
		}
	}
}

// An exec that was added while a start was being announced has its exit though the
// start fails: before Create returns, or before the exit that follows a failed
// restart.
func TestExecOfAStartThatFailsHasItsExit(t *testing.T) {
	add := func(e *engine) error { return e.AddProcess("c1", "p1", exec("ping", "-t", "localhost")) }
	addEnding := func(e *engine) error { return e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 3")) }
	inAttach := func(add func(e *engine) error, late time.Duration, prepare func(*engine)) func(*testing.T, *engine, int) {
		return func(t *testing.T, e *engine, failing int) {
			n := 0
			e.onAttach = func(name string, _ libcontainerd.IOPipe) error {
				if name != "c1" {
					return nil
				}
				if n++; n != failing {
					return nil
				}
				must(t, add(e))
				time.Sleep(late)
				if prepare != nil {
					prepare(e)
				}
				return errRefused
			}
		}
	}
	inStart := func(add func(e *engine) error, late time.Duration, prepare func(*engine)) func(*testing.T, *engine, int) {
		return func(t *testing.T, e *engine, failing int) {
			e.onState = func(_ string, info libcontainerd.StateInfo) error {
				if info.State != libcontainerd.StateStart || e.count("start-container") != failing {
					return nil
				}
				must(t, add(e))
				time.Sleep(late)
				if prepare != nil {
					prepare(e)
				}
				return errRefused
			}
		}
	}
	hides := func(e *engine) { hang(hcstest.OpWaitProcess)(e.hcs) }
	for name, fail := range map[string]func(*testing.T, *engine, int){
		"added in AttachStreams, which fails":              inAttach(add, 0, nil),
		"added in AttachStreams, which fails, has ended":   inAttach(addEnding, time.Second, nil),
		"added in the start, which is refused":             inStart(add, 0, nil),
		"added in the start, which is refused, has ended":  inStart(addEnding, time.Second, nil),
		"added in the start, HCS does not tell of its end": inStart(add, 0, hides),
		"added in the start, its container crashes": inStart(add, 0, func(e *engine) {
			e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit)
		}),
		"added in the start, its container is killed": inStart(add, 0, func(e *engine) { e.Signal("c1", 9) }),
		"added in AttachStreams, then the start is refused": func(t *testing.T, e *engine, failing int) {
			n := 0
			e.onAttach = func(name string, _ libcontainerd.IOPipe) error {
				if name == "c1" {
					if n++; n == failing {
						must(t, add(e))
					}
				}
				return nil
			}
			e.onState = func(_ string, info libcontainerd.StateInfo) error {
				if info.State == libcontainerd.StateStart && e.count("start-container") == failing {
					return errRefused
				}
				return nil
			}
		},
	} {
		t.Run("create: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				fail(t, e, 1)
				if err := e.Create("c1", spec(untilStopped...)); !is(errRefused)(err) {
					t.Errorf("create: %v", err)
				}
				if n := e.count("exit-process c1/p1 "); n != 1 {
					t.Errorf("when Create returned the exec had %d exits: events %q", n, e.events())
				}
				time.Sleep(time.Hour)
				if n := e.count("exit-process c1/p1 "); n != 1 {
					t.Errorf("in the end the exec has %d exits", n)
				}
				if n := e.count("exit c1"); n != 0 {
					t.Errorf("a container that never ran exits: events %q", e.events())
				}
				e.hcs.Heal()
			})
		})
		t.Run("restart: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				fail(t, e, 2)
				rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
				must(t, e.Create("c1", spec(untilStopped...), libcontainerd.WithRestartManager(rm)))
				e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
				e.wantExit(t, "c1", 2*time.Hour)
				time.Sleep(time.Hour)
				events := e.events()
				i := slices.IndexFunc(events, func(line string) bool { return strings.HasPrefix(line, "exit-process c1/p1 ") })
				j := slices.IndexFunc(events, func(line string) bool { return strings.HasPrefix(line, "exit c1 ") })
				if n := e.count("exit-process c1/p1 "); n != 1 || i > j {
					t.Errorf("events %q", events)
				}
				e.hcs.Heal()
			})
		})
	}
}

// While the exit of an exec is being reported, the exit of its container waits.
func TestExecExitIsNotLostWhenTheContainerEndsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 7")))
		slow(hcstest.OpCloseProcess, time.Second)(e.hcs) // between the exit and its report
		must(t, e.AddProcess("c1", "p2", exec("cmd", "/c", "exit 8")))
		synctest.Wait() // they have ended, and their handles are being closed
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		log := e.events()
		slices.Sort(log[1:3])
		want := []string{"start-container c1", "exit-process c1/p1 7", "exit-process c1/p2 8", "exit c1 1067"}
		if diff := cmp.Diff(want, log); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestExecExitIsReportedThoughItsHandleDoesNotClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		slow(hcstest.OpWaitProcess, 5*time.Second)(e.hcs) // the exit comes late, but in time
		must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
		pids, err := e.GetPidsForContainer("c1")
		must(t, err)
		e.hcs.Inject(hcstest.Rule{Op: hcstest.OpCloseProcess, Pid: uint32(pids[1]), Fault: hcstest.Fault{Hang: true}})
		synctest.Wait()
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit-process c1/p1 1067", "exit c1 1067")
		e.hcs.Heal()
	})
}

// An exec that hangs in HCS keeps nobody from ending the container. See
// lessons_test.go: D31.
func TestContainerEndsWhileAnExecHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		hung := e.hcs.Hang(hcstest.OpCreateProcess, "c1")
		began := time.Now()
		added := make(chan error, 1)
		go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
		<-hung.Met()
		must(t, e.Signal("c1", 9))
		synctest.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("the signal took %v", took)
		}
		e.awaitExit("c1")
		hung.Release()
		if err := <-added; err == nil {
			t.Error("exec in a container that ended")
		}
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

func TestExecThatComesLateIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		hung := e.hcs.Hang(hcstest.OpCreateProcess, "c1")
		if err := e.AddProcess("c1", "p1", exec("timeout", "/t", "-1")); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		hung.Release()
		synctest.Wait()
		list, err := e.Summary("c1")
		must(t, err)
		for _, s := range list {
			if strings.HasPrefix(s.ImageName, "timeout") {
				t.Errorf("it runs: %+v", s)
			}
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

// An exec's handle comes just when its container gives up waiting for it. One of the two
// closes it. Only the race detector sees a mistake.
func TestHandleOfAnExecThatComesAtTheLastMoment(t *testing.T) {
	const grace = 3 * time.Millisecond
	e := newEngine(t, nil, libcontainerd.WithGrace(grace))
	var delay time.Duration
	e.hcs.OnCall(hcstest.OpCreateProcess, func(c hcstest.Call) *hcstest.Fault {
		if c.Process.CommandLine == "timeout /t -1" {
			return &hcstest.Fault{Delay: delay, Done: true}
		}
		return nil
	})
	for n := range 150 {
		delay = grace - 300*time.Microsecond + time.Duration(n)*10*time.Microsecond
		must(t, e.Create("c1", spec(untilStopped...)))
		added := make(chan error, 1)
		calls := len(e.hcs.Calls(hcstest.OpCreateProcess))
		go func() { added <- e.AddProcess("c1", "p1", exec("timeout", "/t", "-1")) }()
		for len(e.hcs.Calls(hcstest.OpCreateProcess)) == calls {
			time.Sleep(10 * time.Microsecond)
		}
		must(t, e.Signal("c1", 9))
		e.await("exit c1 ", n+1)
		<-added
	}
}

// The container ends while the engine still attaches. See lessons_test.go: D30.
func TestContainerEndsWhileAnExecIsBeingAttached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		attaching, release := make(chan bool), make(chan bool)
		e.onAttach = func(string, libcontainerd.IOPipe) error {
			close(attaching)
			<-release
			return nil
		}
		added := make(chan error, 1)
		go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
		<-attaching
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		close(release)
		if err := <-added; !errdefs.IsFailedPrecondition(err) {
			t.Errorf("exec in a container that ended: %v", err)
		}
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

// The container is still ending when the engine has attached. See
// lessons_test.go: D30.
func TestExecIsAttachedWhileItsContainerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		e.onAttach = func(string, libcontainerd.IOPipe) error {
			time.Sleep(3 * libcontainerd.DefaultGrace / 2)
			return nil
		}
		added := make(chan error, 1)
		go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
		synctest.Wait()
		hang(hcstest.OpCloseProcess)(e.hcs) // so that the end takes a while
		must(t, e.Signal("c1", 9))
		if err := <-added; !errdefs.IsFailedPrecondition(err) {
			t.Errorf("exec in a container that ends: %v", err)
		}
		e.wantEvents(t, "start-container c1")
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 1067")
		e.hcs.Heal()
	})
}

// The streams of an exec that comes late are not handed over once its container has
// exited, whether or not the id has a next life.
func TestNoStreamsAreHandedOverAfterTheExit(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpCreateProcess, hcstest.OpPid, hcstest.OpStdio} {
		for _, end := range []string{"exit", "next life", "restart"} {
			t.Run(fmt.Sprintf("%s/%s", op, end), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					var options []libcontainerd.CreateOption
					if end == "restart" {
						options = append(options, libcontainerd.WithRestartManager(&restartManager{
							answers: []func() (bool, chan error, error){restartWith(closedChannel())},
						}))
					}
					must(t, e.Create("c1", spec(untilStopped...), options...))
					hung := e.hcs.Inject(hcstest.Rule{Op: op, ID: "c1", Times: 1, Fault: hcstest.Fault{Hang: true, Done: true}})
					added := make(chan error, 1)
					go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
					<-hung.Met()
					must(t, e.Signal("c1", 9))
					switch end {
					case "restart":
						e.hears("start-container c1", 2, time.Hour)
					case "next life":
						e.wantExit(t, "c1", time.Hour)
						must(t, e.Create("c1", spec(untilStopped...)))
					default:
						e.wantExit(t, "c1", time.Hour)
					}
					hung.Release()
					if err := <-added; err == nil {
						t.Error("exec in a container that has ended")
					}
					if slices.Contains(e.callbacks(), "attach p1") {
						t.Errorf("callbacks %q", e.callbacks())
					}
					if end != "exit" {
						must(t, e.Signal("c1", 9))
						e.wantExit(t, "c1", time.Hour)
					}
				})
			})
		}
	}
}

// An exec'd process that is added while the streams of the init process are handed over
// does not overtake them.
func TestExecLetsTheStreamsOfInitBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, hcstest.New(t))
		handed, added := make(chan struct{}), make(chan error)
		e.onAttach = func(name string, _ libcontainerd.IOPipe) error {
			if name == "c1" {
				go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
				time.Sleep(50 * time.Millisecond)
				close(handed)
				return nil
			}
			select {
			case <-handed:
			default:
				t.Error("the exec is first")
			}
			return nil
		}
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, <-added)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}
