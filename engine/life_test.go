package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestRunRefusesWhatCannotRun(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	running := mustRun(t, eng, "busy", spec(idle...))
	for _, test := range []struct {
		name    string
		id      string
		spec    libcontainerd.Spec
		options []engine.RunOption
		is      func(error) bool
		says    string
	}{
		{name: "an id in use", id: "busy", spec: spec("cmd"), is: errdefs.IsAlreadyExists, says: `"busy"`},
		{name: "an empty id", spec: spec("cmd"), is: errdefs.IsInvalidArgument, says: "id"},
		{name: "a spec without a command", id: "c", spec: spec(), is: errdefs.IsInvalidArgument, says: "args"},
		{name: "a program that is not there", id: "c", spec: spec("nothing.exe"), is: func(err error) bool { return errors.Is(err, libcontainerd.Code(2)) }, says: "nothing"},
		{name: "a name", id: "c", spec: spec("cmd"), options: []engine.RunOption{engine.WithName("x")}, is: errdefs.IsInvalidArgument, says: "WithName"},
		{name: "a nil option", id: "c", spec: spec("cmd"), options: []engine.RunOption{nil}, is: errdefs.IsInvalidArgument, says: "option is nil"},
		{name: "a log file without a path", id: "c", spec: spec("cmd"), options: []engine.RunOption{engine.WithLogFile("", engine.LogOptions{})}, is: errdefs.IsInvalidArgument, says: "path"},
		{name: "a negative log size", id: "c", spec: spec("cmd"), options: []engine.RunOption{engine.WithLogFile("x", engine.LogOptions{MaxSize: -1})}, is: errdefs.IsInvalidArgument, says: "MaxSize"},
		{name: "a negative number of log files", id: "c", spec: spec("cmd"), options: []engine.RunOption{engine.WithLogFile("x", engine.LogOptions{MaxFiles: -1})}, is: errdefs.IsInvalidArgument, says: "MaxFiles"},
		{name: "a negative restart limit", id: "c", spec: spec("cmd"), options: []engine.RunOption{engine.WithRestart(engine.OnFailure(-1))}, is: errdefs.IsInvalidArgument, says: "-1"},
		{name: "a log file in a file", id: "c", spec: spec("cmd"), options: []engine.RunOption{engine.WithLogFile("life_test.go/x", engine.LogOptions{})}, is: func(err error) bool { return err != nil }, says: "log file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := eng.Run(t.Context(), test.id, test.spec, test.options...)
			if err == nil || !test.is(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want an error that says %q", err, test.says)
			}
			if c, err := eng.Container("c"); !errdefs.IsNotFound(err) {
				t.Errorf("container %v is left, %v", c, err)
			}
		})
	}
	mustKill(t, running)
}

func TestExecRefusesTheOptionsOfRun(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec(idle...))
	for _, option := range []engine.RunOption{
		engine.WithRestart(engine.Always()), engine.WithLogFile("x", engine.LogOptions{}), engine.WithLabels(nil),
		engine.WithAutoRemove(), engine.WithName(""), nil,
	} {
		if _, err := c.Exec(t.Context(), libcontainerd.Process{Args: idle}, option); !errdefs.IsInvalidArgument(err) {
			t.Errorf("got %v", err)
		}
	}
	mustKill(t, c)
}

func TestNewRefusesBadOptions(t *testing.T) {
	for _, option := range []engine.Option{
		engine.WithOwner(""), engine.WithOwner("docker"), engine.WithStateDir(""), engine.WithLogger(nil), engine.WithSlog(nil), nil,
	} {
		if _, err := engine.New(option); !errdefs.IsInvalidArgument(err) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAnIDIsFreeOnceItsContainerHasExited(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	first := mustRun(t, eng, "web1", spec("cmd", "/c", "exit 1"))
	mustWait(t, first)
	second := mustRun(t, eng, "web1", spec("cmd", "/c", "exit 2"))
	mustWait(t, second)
	if found, err := eng.Container("web1"); found != second {
		t.Errorf("found %v, %v, want the second container", found, err)
	}
	if code := first.Status().ExitCode; code != 1 {
		t.Errorf("the first one has exited with %d meanwhile", code)
	}
	if err := first.Remove(t.Context()); !errdefs.IsNotFound(err) {
		t.Errorf("remove of the container that was replaced: %v", err)
	}
	must(t, second.Remove(t.Context()))
	if _, err := eng.Container("web1"); !errdefs.IsNotFound(err) {
		t.Errorf("after the remove: %v", err)
	}
	if err := second.Pause(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("pause of a container that has exited: %v", err)
	}
}

func TestRemoveKeepsAContainerThatRuns(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec(idle...))
	if err := c.Remove(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("got %v", err)
	}
	mustKill(t, c)
}

func TestAutoRemoveRemovesBeforeWaitReturns(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec("cmd", "/c", "exit 4"), engine.WithAutoRemove())
	if exit := mustWait(t, c); exit.Code != 4 {
		t.Errorf("exit %+v", exit)
	}
	if _, err := eng.Container("web1"); !errdefs.IsNotFound(err) || len(eng.Containers()) > 0 {
		t.Errorf("it is still there: %v", err)
	}
}

// A run that is given up, whatever HCS is busy with, leaves nothing.
func TestRunThatIsGivenUpLeavesNothing(t *testing.T) {
	for _, op := range []hcstest.Op{
		hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpStdio, hcstest.OpPid, hcstest.OpLayerID,
	} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := hcstest.New(t)
				eng := newEngine(t, svc)
				held := svc.Hang(op, "")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				if _, err := eng.Run(ctx, "web1", spec(idle...)); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("got %v", err)
				}
				if took := time.Since(begun); took != time.Second {
					t.Errorf("it took %v", took)
				}
				held.Release()
				c := mustRun(t, eng, "web1", spec(idle...)) // waits for the end of the other one
				if systems, err := svc.ComputeSystems(""); err != nil || len(systems) != 1 {
					t.Errorf("systems %v, %v", systems, err)
				}
				mustKill(t, c)
			})
		})
	}
}

func TestRunOfACancelledContextAsksHCSNothing(t *testing.T) {
	svc := hcstest.New(t)
	eng := newEngine(t, svc)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := eng.Run(ctx, "web1", spec(idle...)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if calls := svc.Calls(); len(calls) > 0 {
		t.Errorf("calls %v", calls)
	}
}

func TestContextThatEndsAfterRunMeansNothing(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	ctx, cancel := context.WithCancel(t.Context())
	c, err := eng.Run(ctx, "web1", spec(idle...))
	must(t, err)
	cancel()
	if _, err := c.Processes(t.Context()); err != nil {
		t.Error(err)
	}
	mustKill(t, c)
}

// Each method returns when its context ends, whatever HCS does.
func TestContextEndsTheWaiting(t *testing.T) {
	for name, call := range map[string]func(context.Context, *engine.Container, *engine.Process) error{
		"Stop":           func(ctx context.Context, c *engine.Container, _ *engine.Process) error { return c.Stop(ctx, time.Hour) },
		"Kill":           func(ctx context.Context, c *engine.Container, _ *engine.Process) error { return c.Kill(ctx) },
		"Pause":          func(ctx context.Context, c *engine.Container, _ *engine.Process) error { return c.Pause(ctx) },
		"Resize":         func(ctx context.Context, c *engine.Container, _ *engine.Process) error { return c.Resize(ctx, 80, 25) },
		"Process.Kill":   func(ctx context.Context, _ *engine.Container, p *engine.Process) error { return p.Kill(ctx) },
		"Process.Resize": func(ctx context.Context, _ *engine.Container, p *engine.Process) error { return p.Resize(ctx, 80, 25) },
		"Process.Wait": func(ctx context.Context, _ *engine.Container, p *engine.Process) error {
			_, err := p.Wait(ctx)
			return err
		},
		"Wait": func(ctx context.Context, c *engine.Container, _ *engine.Process) error {
			_, err := c.Wait(ctx)
			return err
		},
		"Stats": func(ctx context.Context, c *engine.Container, _ *engine.Process) error {
			_, err := c.Stats(ctx)
			return err
		},
		"Processes": func(ctx context.Context, c *engine.Container, _ *engine.Process) error {
			_, err := c.Processes(ctx)
			return err
		},
		"Exec": func(ctx context.Context, c *engine.Container, _ *engine.Process) error {
			_, err := c.Exec(ctx, libcontainerd.Process{Args: idle})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := hcstest.New(t)
				eng := newEngine(t, svc)
				s := hyperv(idle...)
				s.Process.Terminal = true
				c := mustRun(t, eng, "web1", s)
				p, err := c.Exec(t.Context(), libcontainerd.Process{Args: idle, Terminal: true})
				must(t, err)
				svc.OnCall("", func(call hcstest.Call) *hcstest.Fault {
					if call.Op == hcstest.OpWait || call.Op == hcstest.OpWaitProcess {
						return nil
					}
					return &hcstest.Fault{Hang: true}
				})
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				begun := time.Now()
				if err := call(ctx, c, p); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begun); took != 3*time.Second {
					t.Errorf("it took %v", took)
				}
				svc.Heal()
				mustKill(t, c)
			})
		})
	}
}

func TestStop(t *testing.T) {
	stubborn := hcstest.WithProgram("stubborn", nil)
	for _, test := range []struct {
		name    string
		timeout time.Duration
		hang    bool // the shutdown is accepted and does not come
		took    time.Duration
		kills   bool
	}{
		{name: "graceful", timeout: 10 * time.Second},
		{name: "without limit", timeout: -1},
		{name: "at once", timeout: 0, kills: true},
		{name: "one that does not end", timeout: 10 * time.Second, hang: true, took: 10 * time.Second, kills: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := hcstest.New(t, stubborn)
				eng := newEngine(t, svc)
				c := mustRun(t, eng, "web1", spec("stubborn"))
				if test.hang {
					held := svc.Hang(hcstest.OpStop, "web1")
					svc.OnCall(hcstest.OpTerminate, func(hcstest.Call) *hcstest.Fault {
						held.Release()
						return nil
					})
				}
				begun := time.Now()
				must(t, c.Stop(t.Context(), test.timeout))
				if took := time.Since(begun); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				if phase := c.Status().Phase; phase != engine.PhaseExited {
					t.Errorf("it is %v", phase)
				}
				if kills := len(svc.Calls(hcstest.OpTerminate)) > 0; kills != test.kills {
					t.Errorf("it was terminated: %v, want %v", kills, test.kills)
				}
				must(t, c.Stop(t.Context(), 0)) // again: no error
			})
		})
	}
}

// A Stop goes on when nobody waits for it any longer.
func TestStopThatIsGivenUpStillKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		c := mustRun(t, eng, "web1", spec(idle...))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		held := svc.Hang(hcstest.OpShutdown, "web1")
		if err := c.Stop(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		held.Release()
		mustWait(t, c)
	})
}

func TestStopSaysThatHCSDidNotEndTheContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		c := mustRun(t, eng, "web1", spec(idle...))
		held := svc.Hang(hcstest.OpStop, "web1")
		err := c.Kill(t.Context())
		if !errors.Is(err, libcontainerd.ErrMayStillRun) {
			t.Fatalf("got %v", err)
		}
		if exit := mustWait(t, c); !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
			t.Errorf("exit %+v", exit)
		}
		held.Release()
		eng.SystemEnded("web1")
		for event := range eng.Events(t.Context(), 0) {
			if event.Type == engine.EventEnded {
				break
			}
		}
		must(t, c.Kill(t.Context()))
	})
}

func TestPauseAndResume(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", hyperv(idle...))
	must(t, c.Pause(t.Context()))
	if phase := c.Status().Phase; phase != engine.PhasePaused {
		t.Errorf("paused: %v", phase)
	}
	must(t, c.Resume(t.Context()))
	if phase := c.Status().Phase; phase != engine.PhaseRunning {
		t.Errorf("resumed: %v", phase)
	}
	mustKill(t, c)
	process := mustRun(t, eng, "web2", spec(idle...))
	if err := process.Pause(t.Context()); !errdefs.IsNotImplemented(err) {
		t.Errorf("pause under process isolation: %v", err)
	}
	mustKill(t, process)
}

func TestExec(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec(idle...))
	var output bytes.Buffer
	p, err := c.Exec(t.Context(), libcontainerd.Process{Args: []string{"cmd", "/c", "echo hi& exit 5"}}, engine.WithStdio(nil, &output, nil))
	must(t, err)
	for range 2 {
		if exit := mustWait(t, p); exit.Code != 5 || exit.Err != nil || exit.At.IsZero() {
			t.Errorf("exit %+v", exit)
		}
	}
	if output.String() != "hi\r\n" {
		t.Errorf("output %q", &output)
	}
	if p.Pid() == 0 || p.Name() == "" {
		t.Errorf("pid %d, name %q", p.Pid(), p.Name())
	}
	if err := p.Kill(t.Context()); err != nil {
		t.Errorf("kill of a process that has ended: %v", err)
	}
	if err := p.Resize(t.Context(), 80, 25); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("resize of a process that has ended: %v", err)
	}
	mustKill(t, c)
}

// Two containers may each have a process "health", and each gets its own output.
func TestExecsOfOneNameInTwoContainers(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			c, err := eng.Run(t.Context(), fmt.Sprint("web", i), spec(idle...))
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				var output bytes.Buffer
				p, err := c.Exec(t.Context(), libcontainerd.Process{Args: []string{"cmd", "/c", fmt.Sprint("echo ", i)}},
					engine.WithName("health"), engine.WithStdio(nil, &output, nil))
				if err != nil {
					t.Error(err)
					continue
				}
				if _, err := p.Wait(t.Context()); err != nil || output.String() != fmt.Sprint(i, "\r\n") {
					t.Errorf("output of %d: %q, %v", i, &output, err)
				}
			}
			if err := c.Kill(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestNameOfAProcessIsInUseAsLongAsItRuns(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec(idle...))
	process := libcontainerd.Process{Args: idle}
	p, err := c.Exec(t.Context(), process, engine.WithName("p"))
	must(t, err)
	if _, err := c.Exec(t.Context(), process, engine.WithName("p")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("got %v", err)
	}
	must(t, p.Kill(t.Context()))
	_, err = c.Exec(t.Context(), process, engine.WithName("p"))
	must(t, err)
	if names := programs(t, c); !slices.Equal(names, []string{"init ping.exe", "p ping.exe"}) {
		t.Errorf("processes %q", names)
	}
	mustKill(t, c)
}

// programs returns names and programs of the processes, but for those of Windows.
func programs(t *testing.T, c *engine.Container) (names []string) {
	t.Helper()
	summary, err := c.Processes(t.Context())
	must(t, err)
	for _, s := range summary {
		if s.Name != "" || s.ImageName == "ping.exe" {
			names = append(names, s.Name+" "+s.ImageName)
		}
	}
	return names
}

func TestExecThatIsGivenUpLeavesNoProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		c := mustRun(t, eng, "web1", spec(idle...))
		held := svc.Hang(hcstest.OpStdio, "web1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Exec(ctx, libcontainerd.Process{Args: idle}, engine.WithName("p")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		svc.Fail(hcstest.OpKill, "web1", libcontainerd.CodeAccessDenied) // the first time
		held.Release()
		time.Sleep(time.Minute)
		if names := programs(t, c); !slices.Equal(names, []string{"init ping.exe"}) {
			t.Errorf("processes %q", names)
		}
		mustKill(t, c)
	})
}

func TestFailedExecSaysWhy(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec(idle...))
	if _, err := c.Exec(t.Context(), libcontainerd.Process{Args: []string{"nothing.exe"}}); !errors.Is(err, libcontainerd.Code(2)) {
		t.Errorf("got %v", err)
	}
	mustKill(t, c)
	if _, err := c.Exec(t.Context(), libcontainerd.Process{Args: idle}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("after the exit: %v", err)
	}
}

func TestStatsAndInfo(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec(idle...))
	if stats, err := c.Stats(t.Context()); err != nil || stats.Read.IsZero() {
		t.Errorf("stats %+v, %v", stats, err)
	}
	if info, err := eng.Info(t.Context()); err != nil || info.Build == 0 {
		t.Errorf("info %+v, %v", info, err)
	}
	mustKill(t, c)
}

func TestStopDuringRunEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		held := svc.Hang(hcstest.OpStart, "web1")
		failed := make(chan error)
		go func() {
			_, err := eng.Run(t.Context(), "web1", spec(idle...))
			failed <- err
		}()
		<-held.Met()
		c, err := eng.Container("web1")
		must(t, err)
		go func() {
			time.Sleep(time.Second)
			held.Release()
		}()
		must(t, c.Stop(t.Context(), 10*time.Second))
		if err := <-failed; !errdefs.IsAborted(err) {
			t.Errorf("the run returned %v", err)
		}
		if len(eng.Containers()) > 0 {
			t.Error("it is still known")
		}
	})
}

func TestClosedEngineAnswersSo(t *testing.T) {
	svc := hcstest.New(t)
	eng := newEngine(t, svc)
	c := mustRun(t, eng, "web1", spec(idle...))
	p, err := c.Exec(t.Context(), libcontainerd.Process{Args: idle})
	must(t, err)
	waited := make(chan error, 2)
	go func() {
		_, err := c.Wait(t.Context())
		waited <- err
	}()
	go func() {
		_, err := p.Wait(t.Context())
		waited <- err
	}()
	must(t, eng.Close(t.Context()))
	must(t, eng.Close(t.Context()))
	_, run := eng.Run(t.Context(), "web2", spec(idle...))
	_, exec := c.Exec(t.Context(), libcontainerd.Process{Args: idle})
	_, info := eng.Info(t.Context())
	for i, err := range []error{<-waited, <-waited, run, exec, info, c.Kill(t.Context()), c.Pause(t.Context()), p.Kill(t.Context())} {
		if !errors.Is(err, engine.ErrClosed) || !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%d: got %v", i, err)
		}
	}
	for range eng.Events(t.Context(), eng.LastEvent()+1) {
		t.Error("an event of a closed engine")
	}
	if phase := c.Status().Phase; phase != engine.PhaseRunning {
		t.Errorf("the container is %v", phase)
	}
	system, err := svc.OpenComputeSystem("web1") // it runs on
	must(t, err)
	must(t, system.Terminate())
	system.Wait()
	must(t, system.Close())
}

func TestCloseReturnsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		c := mustRun(t, eng, "web1", spec(idle...))
		held := svc.Hang(hcstest.OpStatistics, "web1")
		go c.Stats(t.Context())
		<-held.Met()
		mustKill(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := eng.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		held.Release()
		must(t, eng.Close(t.Context()))
	})
}

// A call that HCS has not answered could reach the next container of the id: that
// waits.
func TestRunWaitsForCallsOfTheFormerContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		c := mustRun(t, eng, "web1", hyperv(idle...))
		held := svc.Hang(hcstest.OpPause, "web1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Pause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("pause: %v", err)
		}
		mustKill(t, c)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := eng.Run(ctx, "web1", spec(idle...))
		if waits := errors.Is(err, context.DeadlineExceeded); !waits {
			t.Errorf("the run did not wait: %v", err)
		}
		held.Release()
		mustKill(t, mustRun(t, eng, "web1", spec(idle...)))
	})
}

// Stopped and to be removed, a container leaves its id: the next one waits.
func TestRunWaitsForAContainerThatIsBeingRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		c := mustRun(t, eng, "web1", spec(idle...), engine.WithAutoRemove())
		held := svc.Hang(hcstest.OpTerminate, "web1")
		go c.Kill(t.Context())
		<-held.Met()
		time.AfterFunc(time.Second, held.Release)
		next := mustRun(t, eng, "web1", spec(idle...))
		if phase := c.Status().Phase; phase != engine.PhaseExited {
			t.Errorf("the former one is %v", phase)
		}
		mustKill(t, next)
	})
}

// Writers that block hold up Close once, not each.
func TestCloseWaitsForAllWritersAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		eng := newEngine(t, svc)
		w := make(blocking)
		for i := range 4 {
			mustRun(t, eng, fmt.Sprint("web", i), spec(idle...), engine.WithStdio(nil, values{[]io.Writer{w}}, nil))
		}
		synctest.Wait()
		begun := time.Now()
		must(t, eng.Close(t.Context()))
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		close(w)
		for i := range 4 {
			endOutside(t, svc, fmt.Sprint("web", i))
		}
	})
}
