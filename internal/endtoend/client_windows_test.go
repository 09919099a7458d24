package endtoend

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

const (
	killedCode   = 1067       // of a process that HCS terminated
	shutdownCode = 0xc000013a // of a process that was asked to end
)

func TestContainerFromCreateToExit(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	spec := h.spec(t, "web", "cmd", "/c", `"echo %GREETING%& echo oops 1>&2& exit 3"`)
	spec.Process.Env = []string{"GREETING=hello=world"}
	e.create(t, "web", spec)
	exit := e.await(t, "web", libcontainerd.StateExit)
	if exit.ExitCode != 3 || exit.ProcessID != "init" || exit.Err != nil {
		t.Errorf("exit %+v", exit)
	}
	if got := e.output("web"); got != "hello=world\n" {
		t.Errorf("stdout %q", got)
	}
	if got := e.streams["web"].stderr.String(); got != "oops \r\n" {
		t.Errorf("stderr %q", got)
	}
	h.wantTrace(t, e, "web", "start-container, exit init 3")
	spec.Process.Args = []string{"cmd", "/c", "exit 0"}
	e.create(t, "web", spec) // the id is free again
	e.awaitNth(t, "web", libcontainerd.StateExit, 2)
}

func TestMissingProgramIsNotFound(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	err := e.Create("web", h.spec(t, "web", "no-such-program"))
	if !errors.Is(err, errdefs.ErrNotFound) || !errors.Is(err, libcontainerd.CodeFileNotFound) {
		t.Errorf("create: %v", err)
	}
	if got := e.trace("web"); got != "" {
		t.Errorf("events %q, want none", got)
	}
}

func TestInputIsReadToItsEnd(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	e.create(t, "web", h.spec(t, "web", h.inside(t, "copy")))
	stdin := e.stdin("web")
	if _, err := io.WriteString(stdin, "one\ntwo\n"); err != nil {
		t.Error(err)
	}
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	if exit := e.await(t, "web", libcontainerd.StateExit); exit.ExitCode != 0 {
		t.Errorf("exit %+v", exit)
	}
	if got := e.output("web"); got != "one\ntwo\n" {
		t.Errorf("stdout %q", got)
	}
}

func TestExecBesideARunningInit(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	e.create(t, "web", h.spec(t, "web", "cmd"))
	e.exec(t, "web", "hello", "cmd", "/c", `"echo from exec& exit 5"`)
	e.exec(t, "web", "sleeper", "cmd")
	if exit := e.await(t, "web", libcontainerd.StateExitProcess); exit.ExitCode != 5 || exit.ProcessID != "hello" {
		t.Errorf("exit of hello %+v", exit)
	}
	if got := e.output("hello"); got != "from exec\n" {
		t.Errorf("stdout %q", got)
	}
	if err := e.SignalProcess("web", "sleeper", 9); err != nil {
		t.Error(err)
	}
	e.awaitNth(t, "web", libcontainerd.StateExitProcess, 2)
	if err := e.Signal("web", 9); err != nil {
		t.Error(err)
	}
	e.await(t, "web", libcontainerd.StateExit)
	want := fmt.Sprintf("start-container, exit-process hello 5, exit-process sleeper %d, exit init %d", killedCode, killedCode)
	h.wantTrace(t, e, "web", want)
}

func TestSignalsEndAContainer(t *testing.T) {
	for signal, code := range map[int]uint32{15: shutdownCode, 9: killedCode} {
		t.Run(fmt.Sprint(signal), func(t *testing.T) {
			h := anyHCS(t)
			e := newEngine(t)
			e.create(t, "web", h.spec(t, "web", "cmd"))
			e.exec(t, "web", "second", "cmd")
			if err := e.Signal("web", 0); err != nil {
				t.Errorf("signal 0: %v", err)
			}
			if err := e.Signal("web", signal); err != nil {
				t.Error(err)
			}
			exit := e.await(t, "web", libcontainerd.StateExit)
			want := fmt.Sprintf("start-container, exit-process second %d, exit init %d", code, code)
			h.wantTrace(t, e, "web", want)
			if exit.Err != nil {
				t.Error(exit.Err)
			}
			if err := e.Signal("web", 0); !errdefs.IsNotFound(err) {
				t.Errorf("signal 0 afterwards: %v", err)
			}
		})
	}
}

func TestResizeReachesTheConsole(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	spec := h.spec(t, "web", "cmd")
	spec.Process.Terminal = true
	spec.Process.InitialConsoleSize = [2]int{25, 80}
	e.create(t, "web", spec)
	if err := e.Resize("web", "init", 120, 40); err != nil {
		t.Error(err)
	}
	want := `{"Operation":"ConsoleSize","ConsoleSize":{"Height":40,"Width":120}}`
	if call := h.log.find("HcsModifyProcess", "web"); !h.isReal() && (call == nil || call.text != want) {
		t.Errorf("HCS was told %v, want %s", call, want)
	}
	e.kill(t, "web")
}

// kill ends a container and waits for its exit.
func (e *engine) kill(t *testing.T, id string) {
	t.Helper()
	if err := e.Signal(id, 9); err != nil {
		t.Error(err)
	}
	e.await(t, id, libcontainerd.StateExit)
}

func TestPauseAndResume(t *testing.T) {
	standIn(t)
	e := newEngine(t)
	e.create(t, "vm", hyperVSpec(t, "cmd"))
	if err := errors.Join(e.Pause("vm"), e.Resume("vm"), e.Pause("vm")); err != nil {
		t.Error(err)
	}
	if err := e.Signal("vm", 15); err != nil { // a paused container can be stopped
		t.Error(err)
	}
	e.await(t, "vm", libcontainerd.StateExit)

}

func TestProcessIsolationCannotBePaused(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	e.create(t, "web", h.spec(t, "web", "cmd"))
	if err := e.Pause("web"); !errdefs.IsNotImplemented(err) {
		t.Errorf("pause under process isolation: %v", err)
	}
	e.kill(t, "web")
}

func TestStatsAndSummary(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	e.create(t, "web", h.spec(t, "web", "cmd"))
	e.exec(t, "web", "copy", h.inside(t, "copy"))
	stats, err := e.Stats("web")
	if err != nil {
		t.Fatal(err)
	}
	if stats.Uptime <= 0 || stats.Timestamp.Before(stats.ContainerStartTime) {
		t.Errorf("stats %+v", stats)
	}
	if !h.isReal() && (stats.Storage.WriteSizeBytes == 0 || len(stats.Network) != 1) {
		t.Errorf("stats %+v", stats)
	}
	pids, err := e.GetPidsForContainer("web")
	if err != nil || len(pids) != 2 {
		t.Fatalf("pids %v, %v", pids, err)
	}
	summary, err := e.Summary("web")
	if err != nil || len(summary) < 2 || len(summary) > 2 && !h.isReal() { // Windows has its own processes in it
		t.Fatalf("summary %+v, %v", summary, err)
	}
	for i, s := range summary[:2] {
		if int(s.Pid) != pids[i] || s.ImageName == "" || s.CreatedAt.IsZero() {
			t.Errorf("summary of %d: %+v", pids[i], s)
		}
	}
	e.kill(t, "web")
}

// restarts restarts a container a number of times.
type restarts struct {
	mu   sync.Mutex // guards following
	left int
}

func (r *restarts) ShouldRestart(uint32) (bool, chan error, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left--
	now := make(chan error)
	close(now)
	return r.left >= 0, now, nil
}

func (r *restarts) Cancel() error { return nil }

func TestRestartManager(t *testing.T) {
	h := anyHCS(t)
	e := newEngine(t)
	e.create(t, "web", h.spec(t, "web", "cmd", "/c", "exit 4"), libcontainerd.WithRestartManager(&restarts{left: 2}))
	e.await(t, "web", libcontainerd.StateExit)
	want := "start-container, restart init 4, start-container, restart init 4, start-container, exit init 4"
	h.wantTrace(t, e, "web", want)
}

func TestRestore(t *testing.T) {
	h := anyHCS(t)
	first := newEngine(t)
	spec := h.spec(t, "web", "cmd")
	first.create(t, "web", spec)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := newEngine(t)
	for _, id := range []string{"web", "unknown"} {
		if err := second.Restore(id); err != nil {
			t.Error(err)
		}
		if exit := second.await(t, id, libcontainerd.StateExit); exit.ExitCode != 1<<31 {
			t.Errorf("%s: exit %+v", id, exit)
		}
	}
	spec.Process.Args = []string{"cmd", "/c", "exit 0"}
	second.create(t, "web", spec)
	second.awaitNth(t, "web", libcontainerd.StateExit, 2)
}

func TestReattach(t *testing.T) {
	h := anyHCS(t)
	first := newEngine(t)
	spec := h.spec(t, "web", "cmd")
	first.create(t, "web", spec)
	pid := first.await(t, "web", libcontainerd.StateStart).Pid
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := newEngine(t)
	if err := second.Restore("web", libcontainerd.WithReattach(spec, pid)); err != nil {
		t.Fatal(err)
	}
	if got := second.await(t, "web", libcontainerd.StateRestore); got.Pid != pid {
		t.Errorf("restored %+v, want pid %d", got, pid)
	}
	second.exec(t, "web", "hello", "cmd", "/c", "echo again")
	second.await(t, "web", libcontainerd.StateExitProcess)
	second.kill(t, "web")
	want := fmt.Sprintf("restore, exit-process hello 0, exit init %d", killedCode)
	h.wantTrace(t, second, "web", want)
	h.wantTrace(t, first, "web", "start-container") // a closed client gets no further event
}

func TestReconcileEndsWhatNobodyClaims(t *testing.T) {
	h := anyHCS(t)
	first := newEngine(t)
	first.create(t, "orphan", h.spec(t, "orphan", "cmd"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := newEngine(t)
	second.create(t, "claimed", h.spec(t, "claimed", "cmd"))
	ended, err := second.Reconcile(t.Context(), "")
	if err != nil || len(ended) != 1 || ended[0].ID != "orphan" {
		t.Errorf("reconciled %v, %v", ended, err)
	}
	second.kill(t, "claimed")
}

func TestManyContainersAtOnce(t *testing.T) {
	h := anyHCS(t)
	count := 50
	if h.isReal() {
		count = 10 // each one makes and mounts a scratch
	}
	var specs []libcontainerd.Spec
	for i := range count {
		id := fmt.Sprint("c", i)
		specs = append(specs, h.spec(t, id, "cmd", "/c", fmt.Sprintf(`"echo %s& exit %d"`, id, i)))
	}
	e := newEngine(t)
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			id := fmt.Sprint("c", i)
			if err := e.Create(id, specs[i]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range count {
		id := fmt.Sprint("c", i)
		if exit := e.await(t, id, libcontainerd.StateExit); exit.ExitCode != uint32(i) {
			t.Errorf("%s: exit %+v", id, exit)
		}
		if got, want := e.trace(id), fmt.Sprintf("start-container, exit init %d", i); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		if got := e.output(id); got != id+"\n" {
			t.Errorf("%s: stdout %q", id, got)
		}
	}
}
