package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// forever is a program that lives on when its pipes are broken.
func forever() hcstest.Option { return hcstest.WithProgram("forever", nil) }

// endOutside ends a system behind the engine's back.
func endOutside(t *testing.T, svc *hcstest.Service, id string) {
	t.Helper()
	system, err := svc.OpenComputeSystem(id)
	must(t, err)
	must(t, system.Terminate())
	system.Wait()
	must(t, system.Close())
}

func TestNewTakesUpWhatStillRuns(t *testing.T) {
	svc := hcstest.New(t, forever())
	dir := engine.WithStateDir(filepath.Join(t.TempDir(), "state"))
	before := startMortal(t, svc, -1, dir)
	labels := map[string]string{"a": "b"}
	path := filepath.Join(t.TempDir(), "log")
	c := mustRun(t, before.engine, "web1", hyperv("forever"), engine.WithLabels(labels), engine.WithLogFile(path, engine.LogOptions{}), engine.WithRestart(engine.OnFailure(5)))
	was := c.Status()
	last := before.engine.LastEvent()
	before.kill(t)

	after := newEngine(t, svc, dir)
	c, err := after.Container("web1")
	must(t, err)
	status := c.Status()
	if status.Phase != engine.PhaseRunning || status.Pid != was.Pid || !status.StartedAt.Equal(was.StartedAt) {
		t.Errorf("status %+v, was %+v", status, was)
	}
	if !cmp.Equal(c.Labels(), labels) || !cmp.Equal(c.Spec(), hyperv("forever")) {
		t.Errorf("labels %v, spec %+v", c.Labels(), c.Spec())
	}
	if events := until(t.Context(), after, last+1, engine.EventRestore); !cmp.Equal(events, []string{"restore web1"}) {
		t.Errorf("events %v", events)
	}
	p, err := c.Exec(t.Context(), libcontainerd.Process{Args: []string{"cmd", "/c", "exit 5"}})
	must(t, err)
	if exit := mustWait(t, p); exit.Code != 5 {
		t.Errorf("exit %+v", exit)
	}
	if _, err := after.Run(t.Context(), "web1", spec("cmd")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a second run: %v", err)
	}
	mustKill(t, c)
}

func TestNewHonoursRestartPolicies(t *testing.T) {
	away := func(t *testing.T, svc *hcstest.Service, c *engine.Container, kill func()) {
		kill()
		endOutside(t, svc, "web1")
	}
	exited := func(t *testing.T, svc *hcstest.Service, c *engine.Container, kill func()) {
		svc.ExitProcess("web1", c.Status().Pid, 0)
		mustWait(t, c)
		kill()
	}
	stopped := func(t *testing.T, svc *hcstest.Service, c *engine.Container, kill func()) {
		must(t, c.Stop(t.Context(), time.Second))
		mustWait(t, c)
		kill()
	}
	for _, test := range []struct {
		name     string
		policy   engine.RestartPolicy
		end      func(*testing.T, *hcstest.Service, *engine.Container, func())
		phase    engine.Phase
		code     uint32
		restarts int
	}{
		{"ended meanwhile", engine.Never(), away, engine.PhaseExited, libcontainerd.RestoreExitCode, 0},
		{"ended meanwhile", engine.OnFailure(1), away, engine.PhaseRunning, 0, 1},
		{"ended meanwhile", engine.UnlessStopped(), away, engine.PhaseRunning, 0, 1},
		{"ended meanwhile", engine.Always(), away, engine.PhaseRunning, 0, 1},
		{"exited before", engine.Never(), exited, engine.PhaseExited, 0, 0},
		{"exited before", engine.OnFailure(1), exited, engine.PhaseExited, 0, 0},
		{"stopped before", engine.OnFailure(1), stopped, engine.PhaseExited, 0, 0},
		{"stopped before", engine.UnlessStopped(), stopped, engine.PhaseExited, 0, 0},
		{"stopped before", engine.Always(), stopped, engine.PhaseRunning, 0, 1},
	} {
		t.Run(test.name+" "+test.policy.String(), func(t *testing.T) {
			svc := hcstest.New(t, forever())
			dir := engine.WithStateDir(t.TempDir())
			before := startMortal(t, svc, -1, dir)
			c := mustRun(t, before.engine, "web1", spec("forever"), engine.WithRestart(test.policy))
			var was engine.Status
			test.end(t, svc, c, func() {
				was = c.Status()
				before.kill(t)
			})

			after := newEngine(t, svc, dir)
			c, err := after.Container("web1")
			must(t, err)
			if test.phase == engine.PhaseRunning {
				until(t.Context(), after, 0, engine.EventStart)
			}
			code := test.code
			if was.Phase == engine.PhaseExited && test.phase == engine.PhaseExited {
				code = was.ExitCode
			}
			status := c.Status()
			if status.Phase != test.phase || status.ExitCode != code || status.Restarts != test.restarts {
				t.Errorf("status %+v", status)
			}
			mustKill(t, c)
		})
	}
}

func TestStoppedContainerThatNewStartsCanBeStoppedAgain(t *testing.T) {
	svc := hcstest.New(t, forever())
	dir := engine.WithStateDir(t.TempDir())
	before := startMortal(t, svc, -1, dir)
	mustKill(t, mustRun(t, before.engine, "web1", spec("forever"), engine.WithRestart(engine.Always())))
	before.kill(t)
	after := newEngine(t, svc, dir)
	c, err := after.Container("web1")
	must(t, err)
	mustKill(t, c) // before, while or after it starts
	if phase := c.Status().Phase; phase != engine.PhaseExited {
		t.Errorf("it is %v", phase)
	}
}

// A Stop of a container that has exited changes nothing: the next engine restarts it.
func TestStopAfterTheExitIsNotKept(t *testing.T) {
	svc := hcstest.New(t, exits(0, 1))
	dir := engine.WithStateDir(t.TempDir())
	before := startMortal(t, svc, -1, dir)
	c := mustRun(t, before.engine, "web1", spec("exits"), engine.WithRestart(engine.UnlessStopped()))
	svc.Fail(hcstest.OpCreate, "web1", libcontainerd.CodeAccessDenied)
	mustWait(t, c)
	must(t, c.Stop(t.Context(), time.Second))
	before.kill(t)
	after := newEngine(t, svc, dir)
	if events := until(t.Context(), after, 0, engine.EventStart); len(events) != 2 {
		t.Errorf("events %v", events)
	}
	c, err := after.Container("web1")
	must(t, err)
	mustKill(t, c)
}

// A container that was being stopped is not taken up, but ended.
func TestNewGoesOnWithAStop(t *testing.T) {
	svc := hcstest.New(t, forever())
	dir := engine.WithStateDir(t.TempDir())
	before := startMortal(t, svc, -1, dir)
	c := mustRun(t, before.engine, "web1", spec("forever"), engine.WithRestart(engine.UnlessStopped()))
	held := svc.Hang(hcstest.OpShutdown, "web1")
	ctx, cancel := context.WithCancel(t.Context())
	go c.Stop(ctx, time.Hour)
	<-held.Met()
	cancel()
	go held.Release()
	before.kill(t)
	after := newEngine(t, svc, dir)
	c, err := after.Container("web1")
	must(t, err)
	if exit := mustWait(t, c); exit.Code != libcontainerd.RestoreExitCode {
		t.Errorf("exit %+v", exit)
	}
}

func TestNewEndsWhatItCannotTakeUp(t *testing.T) {
	svc := hcstest.New(t, forever())
	dir := engine.WithStateDir(t.TempDir())
	before := startMortal(t, svc, -1, dir)
	mustRun(t, before.engine, "web1", spec("forever"))
	before.kill(t)
	svc.Fail(hcstest.OpOpenProcess, "web1", libcontainerd.CodeAccessDenied)
	after := newEngine(t, svc, dir)
	want := []string{fmt.Sprint("exit web1 ", libcontainerd.RestoreExitCode)}
	if diff := cmp.Diff(want, until(t.Context(), after, 0, engine.EventExit)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if systems, err := svc.ComputeSystems(""); err != nil || len(systems) > 0 {
		t.Errorf("systems %v, %v", systems, err)
	}
}

// The exit of a container that HCS did not end was told. The next engine ends it, and
// tells only that, or starts it again.
func TestNewEndsWhatMayStillRun(t *testing.T) {
	for _, test := range []struct {
		policy engine.RestartPolicy
		want   []string
	}{
		{engine.Never(), []string{"ended web1"}},
		{engine.Always(), []string{"ended web1", "restart web1", "start web1"}},
	} {
		t.Run(test.policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := hcstest.New(t, forever())
				dir := engine.WithStateDir(t.TempDir())
				before := startMortal(t, svc, -1, dir)
				c := mustRun(t, before.engine, "web1", spec("forever"), engine.WithRestart(test.policy))
				held := svc.Hang(hcstest.OpStop, "web1")
				if err := c.Kill(t.Context()); !errors.Is(err, libcontainerd.ErrMayStillRun) {
					t.Fatalf("kill: %v", err)
				}
				was := mustWait(t, c)
				before.kill(t)
				held.Release()
				after := newEngine(t, svc, dir)
				c, err := after.Container("web1")
				must(t, err)
				time.Sleep(time.Minute)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				var got []string
				for event := range after.Events(ctx, 0) {
					got = append(got, fmt.Sprint(event.Type, " ", event.ContainerID))
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if status := c.Status(); status.Phase == engine.PhaseExited && (status.ExitCode != was.Code || status.Err == nil) {
					t.Errorf("status %+v, was %+v", status, was)
				}
				mustKill(t, c)
			})
		})
	}
}

// What a run ended with is no longer known once the next one has begun, in no engine.
func TestErrorOfAFormerRunIsNotKept(t *testing.T) {
	svc := hcstest.New(t, forever())
	dir := engine.WithStateDir(t.TempDir())
	first := startMortal(t, svc, -1, dir)
	mustRun(t, first.engine, "web1", spec("forever"), engine.WithRestart(engine.Always()))
	first.kill(t)
	endOutside(t, svc, "web1")
	second := startMortal(t, svc, -1, dir) // dies in the pause before the restart
	second.kill(t)
	third := startMortal(t, svc, -1, dir)
	until(t.Context(), third.engine, 0, engine.EventStart)
	third.kill(t)
	last := newEngine(t, svc, dir)
	c, err := last.Container("web1")
	must(t, err)
	if status := c.Status(); status.Phase != engine.PhaseRunning || status.Err != nil || status.ExitCode != 0 {
		t.Errorf("status %+v", status)
	}
	mustKill(t, c)
}

func TestNewEndsOrphansOfItsOwner(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []engine.Option
		ends    bool
	}{
		{"owner", []engine.Option{engine.WithOwner("ci")}, true},
		{"state directory", []engine.Option{engine.WithStateDir(t.TempDir())}, true},
		{"neither", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			svc := hcstest.New(t, forever())
			before := startMortal(t, svc, -1, test.options...)
			mustRun(t, before.engine, "orphan", spec("forever"), engine.WithAutoRemove())
			forget(t, before)
			after := newEngine(t, svc, test.options...)
			systems, err := svc.ComputeSystems("")
			must(t, err)
			if test.ends {
				if events := until(t.Context(), after, 0, engine.EventOrphan); len(systems) > 0 || !cmp.Equal(events, []string{"orphan orphan"}) {
					t.Errorf("systems %v, events %v", systems, events)
				}
				return
			}
			if len(systems) != 1 {
				t.Errorf("systems %v", systems)
			}
			endOutside(t, svc, "orphan")
		})
	}
}

// forget kills an engine, and loses what it knew of its containers.
func forget(t *testing.T, m *mortal) {
	t.Helper()
	must(t, m.engine.LoseContainers())
	m.kill(t)
}

func TestStateDirectoryIsUsedByOneEngine(t *testing.T) {
	svc := hcstest.New(t)
	dir := engine.WithStateDir(t.TempDir())
	eng := newEngine(t, svc, dir)
	if _, err := engine.New(dir, engine.WithComputeService(svc)); !errdefs.IsUnavailable(err) {
		t.Errorf("got %v", err)
	}
	must(t, eng.Close(t.Context()))
	newEngine(t, svc, dir)
}

// sendTo is a writer that hands over what is written.
type sendTo chan<- string

func (s sendTo) Write(b []byte) (int, error) {
	select {
	case s <- string(b):
	default:
	}
	return len(b), nil
}

func TestRestoredContainersGetStreams(t *testing.T) {
	svc := hcstest.New(t)
	dir := engine.WithStateDir(t.TempDir())
	before := startMortal(t, svc, -1, dir)
	c := mustRun(t, before.engine, "web1", spec("cmd", "/c", "echo hello"), engine.WithRestart(engine.Always()), engine.WithLabels(map[string]string{"a": "b"}))
	mustKill(t, c)
	before.kill(t)
	written := make(chan string, 1)
	after := newEngine(t, svc, dir, engine.WithRestoredStdio(func(id string, labels map[string]string) (_ io.Reader, stdout, stderr io.Writer) {
		if id != "web1" || labels["a"] != "b" {
			t.Errorf("asked for %q with %v", id, labels)
		}
		return nil, sendTo(written), nil
	}))
	if text := <-written; text != "hello\r\n" {
		t.Errorf("output %q", text)
	}
	c, err := after.Container("web1")
	must(t, err)
	mustKill(t, c)
}

// An engine that is killed at any step, before or after a call of HCS or a write to
// the disk, loses no container and leaves no zombie.
func TestEngineKilledAnywhereLosesNothing(t *testing.T) {
	steps := lifeOfAnEngine(t, -1)
	if steps < 50 {
		t.Fatalf("only %d steps", steps)
	}
	for n := range steps {
		if t.Failed() {
			return
		}
		lifeOfAnEngine(t, n)
	}
}

// lifeOfAnEngine kills an engine after n steps, and shows what the next one does. It
// returns how many steps there were.
func lifeOfAnEngine(t *testing.T, n int) int {
	t.Helper()
	svc := hcstest.New(t, forever())
	dir := engine.WithStateDir(t.TempDir())
	m := startMortal(t, svc, n, dir)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		select {
		case <-m.killed:
			cancel()
		case <-ctx.Done():
		}
	}()
	ran := make(map[string]bool) // whose Run has returned
	run := func(id string, spec libcontainerd.Spec, options ...engine.RunOption) *engine.Container {
		c, err := m.engine.Run(ctx, id, spec, options...)
		select {
		case <-m.killed:
		default:
			if err != nil {
				t.Errorf("%d: run of %s: %v", n, id, err)
			}
			ran[id] = true
		}
		return c
	}
	lives := run("lives", spec("forever"), engine.WithRestart(engine.UnlessStopped()))
	if lives != nil {
		if p, err := lives.Exec(ctx, libcontainerd.Process{Args: []string{"forever"}}); err == nil {
			p.Kill(ctx)
		}
	}
	if c := run("exits", spec("cmd", "/c", "exit 3"), engine.WithAutoRemove()); c != nil {
		c.Wait(ctx)
	}
	delete(ran, "exits") // removed as soon as it has exited
	if c := run("exited", spec("cmd", "/c", "exit 3")); c != nil {
		c.Wait(ctx)
	}
	if c := run("stopped", spec("forever"), engine.WithRestart(engine.UnlessStopped())); c != nil {
		c.Kill(ctx)
	}
	m.kill(t)
	cancel()

	after := newEngine(t, svc, dir)
	for id := range ran {
		c, err := after.Container(id)
		if err != nil {
			t.Errorf("%d: %v", n, err)
			continue
		}
		if id == "lives" && c.Status().Phase != engine.PhaseRunning {
			t.Errorf("%d: %s is %+v", n, id, c.Status())
		}
	}
	systems, err := svc.ComputeSystems("")
	must(t, err)
	for _, system := range systems {
		if c, err := after.Container(system.ID); err != nil || c.Status().Phase == engine.PhaseExited {
			t.Errorf("%d: zombie %v: %v", n, system, err)
		}
	}
	for _, c := range after.Containers() {
		if err := c.Kill(t.Context()); err != nil {
			t.Errorf("%d: kill of %s: %v", n, c.ID(), err)
		}
		if err := c.Remove(t.Context()); err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("%d: remove of %s: %v", n, c.ID(), err)
		}
	}
	must(t, after.Close(t.Context()))
	if err := svc.Settle(10 * time.Second); err != nil {
		t.Errorf("%d: %v", n, err)
	}
	return m.steps
}
