package libcontainerd_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContainerRunsToItsExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		s := spec("cmd", "/c", "echo hello from %NAME%& exit 3")
		s.Process.Env = []string{"NAME=here"}
		must(t, e.Create("c1", s))
		exit := e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 3")
		if got := strings.TrimSpace(e.output("c1")); got != "hello from here" {
			t.Errorf("output %q", got)
		}
		start := e.infos["c1"][0]
		want := libcontainerd.StateInfo{State: "exit", Pid: start.Pid, ExitCode: 3, ProcessID: "init", ExitedAt: exit.ExitedAt}
		if exit != want || exit.Pid == 0 || exit.ExitedAt.IsZero() {
			t.Errorf("exit event %+v, want %+v", exit, want)
		}
		if _, err := e.Stats("c1"); !errdefs.IsNotFound(err) {
			t.Errorf("after the exit the id is still known: %v", err)
		}
	})
}

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

// An exit that is being reported is waited for by the exit of the container.
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
		slow(hcstest.OpWaitProcess, 5*time.Second)(e.hcs) // the exit is heard of late, but in time
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

func TestStdinReachesTheProcessUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec("more")))
		stdin := e.pipe("c1").Stdin
		if _, err := io.WriteString(stdin, "one\r\ntwo\r\n"); err != nil {
			t.Fatal(err)
		}
		must(t, stdin.Close())
		must(t, stdin.Close())
		e.awaitExit("c1")
		if got := e.output("c1"); !strings.Contains(got, "one") || !strings.Contains(got, "two") {
			t.Errorf("output %q", got)
		}
	})
}

func TestIDInUseIsRefusedAndTheFirstLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		for _, create := range map[string]func() error{
			"create":  func() error { return e.Create("c1", spec("cmd")) },
			"restore": func() error { return e.Restore("c1") },
		} {
			if err := create(); !errdefs.IsAlreadyExists(err) || !strings.Contains(err.Error(), "c1") {
				t.Errorf("got %v", err)
			}
		}
		must(t, e.Signal("c1", 0))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

func TestUnknownIDIsNotFoundForEveryMethod(t *testing.T) {
	e := newEngine(t, nil)
	var limit int64 = 1 << 30
	for name, call := range map[string]func() error{
		"Signal":        func() error { return e.Signal("x", 9) },
		"Signal 0":      func() error { return e.Signal("x", 0) },
		"SignalProcess": func() error { return e.SignalProcess("x", "p", 9) },
		"AddProcess":    func() error { return e.AddProcess("x", "p", libcontainerd.Process{Args: []string{"cmd"}}) },
		"Resize":        func() error { return e.Resize("x", "init", 80, 25) },
		"Pause":         func() error { return e.Pause("x") },
		"Resume":        func() error { return e.Resume("x") },
		"Stats":         func() error { _, err := e.Stats("x"); return err },
		"GetPids":       func() error { _, err := e.GetPidsForContainer("x"); return err },
		"Summary":       func() error { _, err := e.Summary("x"); return err },
		"Update":        func() error { return e.UpdateResources("x", libcontainerd.Resources{}) },
		"Update a limit": func() error {
			return e.UpdateResources("x", libcontainerd.Resources{Memory: &libcontainerd.Memory{Limit: &limit}})
		},
	} {
		if err := call(); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptionThatFailsFailsCreateBeforeHCSIsAsked(t *testing.T) {
	e := newEngine(t, nil)
	failure := errors.New("no")
	err := e.Create("c1", spec("cmd"), libcontainerd.WithRestartManager(nil), failingOption{failure}, libcontainerd.WithRestartManager(nil))
	if !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	if calls := e.hcs.Calls(); len(calls) > 0 {
		t.Errorf("HCS was asked: %v", calls)
	}
}

type failingOption struct{ err error }

func (o failingOption) Apply(interface{}) error { return o.err }

func TestCallsOfAContainersLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
		e.awaitExit("c1")
		var got []string
		for _, c := range e.hcs.Calls() {
			got = append(got, string(c.Op))
		}
		want := []string{"Create", "Start", "CreateProcess", "Stdio", "Shutdown", "CloseProcess", "Close"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}
