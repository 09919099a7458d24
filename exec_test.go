package libcontainerd_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func exec(args ...string) libcontainerd.Process { return libcontainerd.Process{Args: args} }

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

// Lessons 28, 36, 42, D27, D28: an exec whose streams the engine does not take.
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

// Lesson 34, D16: an exec that is over at once is still reported after AddProcess
// has attached it.
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

// D31: an exec that hangs in HCS keeps nobody from ending the container.
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

// D30: the container ends while the engine still attaches.
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

// D30: the container is still at its end when the engine has attached.
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

// Lesson 25, D29: names and pids of processes that have ended are free.
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

// D40: a process that has ended is no more, also while its exit waits for the
// Backend. Its name is free when the Backend has heard of it.
func TestEndedProcessIsNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			if info.ProcessID == "p1" {
				time.Sleep(time.Minute)
			}
			return nil
		}
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 1")))
		synctest.Wait()
		must(t, e.AddProcess("c1", "p2", exec("cmd", "/c", "exit 2")))
		synctest.Wait()
		if pids, err := e.GetPidsForContainer("c1"); err != nil || len(pids) != 1 {
			t.Errorf("pids %v, %v", pids, err)
		}
		for name, err := range map[string]error{
			"resize":   e.Resize("c1", "p2", 80, 25),
			"signal 0": e.SignalProcess("c1", "p2", 0),
		} {
			if !errdefs.IsNotFound(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, e.SignalProcess("c1", "p2", 9))
		if err := e.AddProcess("c1", "p2", exec("cmd")); !errdefs.IsAlreadyExists(err) {
			t.Errorf("exec under its name: %v", err)
		}
		e.await("exit-process c1/p2 2", 1)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// Lesson 47, D36, failures 34, 35.
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

// HCS wants one kill of a process at a time, and a second one could do no more.
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

// Lessons 16–18, D32, D47: what HCS is told of a process.
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
			WorkingDirectory: `C:\app`, // the init process's
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

// Lessons 44, D46, failure 39: HCS is told once, after the pipe is closed, and
// what it says then hardly matters.
func TestStdinIsClosedOnBothEnds(t *testing.T) {
	for _, answer := range []error{nil, libcontainerd.CodeNotFound, libcontainerd.CodeInvalidState, libcontainerd.CodeInvalidHandle} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, nil)
			must(t, e.Create("c1", spec("more")))
			if answer != nil {
				once(hcstest.OpCloseStdin, hcstest.Fault{Err: answer, Done: true})(e.hcs)
			}
			must(t, e.pipe("c1").Stdin.Close())
			if err := e.pipe("c1").Stdin.Close(); err != nil {
				t.Errorf("second close: %v", err)
			}
			e.awaitExit("c1")
			must(t, e.pipe("c1").Stdin.Close())
			if n := len(e.hcs.Calls(hcstest.OpCloseStdin)); n != 1 {
				t.Errorf("HCS was told %d times", n)
			}
		})
	}
}

// D45, lesson 43: a read error reaches the reader as it was.
func TestReadErrorReachesTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onAttach = func(_ string, p libcontainerd.IOPipe) error { return nil }
		must(t, e.Create("c1", spec(untilStopped...)))
		out := e.pipe("c1").Stdout
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		buf := make([]byte, 1<<16)
		for {
			if _, err := out.Read(buf); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("got %v", err)
				}
				break
			}
		}
	})
}
