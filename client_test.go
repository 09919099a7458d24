package libcontainerd_test

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewClientWithoutHCSSaysWhatToDo(t *testing.T) {
	if _, err := libcontainerd.NewClient(nil, libcontainerd.WithComputeService(hcstest.New(t))); !errdefs.IsInvalidArgument(err) {
		t.Errorf("nil backend: %v", err)
	}
	for name, option := range map[string]libcontainerd.RemoteOption{
		"service":           libcontainerd.WithComputeService(nil),
		"owner":             libcontainerd.WithOwner(""),
		"shutdown timeout":  libcontainerd.WithShutdownTimeout(0),
		"terminate timeout": libcontainerd.WithTerminateTimeout(-1),
		"logger":            libcontainerd.WithLogger(nil),
		"attempts":          libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{Attempts: -1}),
		"growth":            libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{Growth: 0.5}),
		"delay":             libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{Delay: -1}),
		"option":            nil,
	} {
		if _, err := libcontainerd.New("", option); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

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

// backend is a Backend so large that Go allocates it by itself.
type backend struct {
	*engine
	_ [1 << 10]byte
}

// A Remote forgets the clients that are closed, and what they hold.
func TestRemoteForgetsClosedClients(t *testing.T) {
	remote, err := libcontainerd.New("", libcontainerd.WithComputeService(hcstest.New(t)))
	must(t, err)
	const clients = 10
	var backends []weak.Pointer[backend]
	for range clients {
		b := new(backend)
		client, err := remote.Client(b)
		must(t, err)
		must(t, client.Close())
		backends = append(backends, weak.Make(b))
	}
	kept := 0
	for range 10 {
		runtime.GC()
		kept = 0
		for _, b := range backends {
			if b.Value() != nil {
				kept++
			}
		}
		if kept == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if kept > 0 {
		t.Errorf("%d of %d closed clients are kept", kept, clients)
	}
	open, err := remote.Client(new(backend))
	must(t, err)
	remote.Cleanup()
	if _, err := open.State("c1"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a client that was open at Cleanup: %v", err)
	}
	runtime.KeepAlive(remote)
}
