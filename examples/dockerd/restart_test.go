package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// The daemon ends and another one begins on the same host, whose HCS goes on.

func TestNextDaemonGoesOnWithWhatRuns(t *testing.T) {
	h := newHost(t, hcstest.WithProgram("server", nil), hcstest.WithProgram("greet", greeter))
	p := h.start()
	withLabel := func(o *dockerclient.ContainerCreateOptions) { o.Config.Labels = map[string]string{"app": "web"} }
	running := p.run("running", withLabel, "server")
	exited := p.run("exited", nil, "cmd", "/c", "exit 5")
	p.wait(exited, "")
	created := p.create("created", nil, "greet")
	p.end()

	p = h.start()
	t.Cleanup(p.clear)
	if got := p.inspect("running"); got.ID != running || !got.State.Running || got.Config.Labels["app"] != "web" {
		t.Errorf("running: %+v", got.State)
	}
	if s := p.inspect(exited).State; s.Status != container.StateExited || s.ExitCode != 5 {
		t.Errorf("exited: %+v", s)
	}
	if s := p.inspect(created).State; s.Status != container.StateCreated {
		t.Errorf("created: %+v", s)
	}
	waiting := p.ContainerWait(t.Context(), running, dockerclient.ContainerWaitOptions{})
	if _, err := p.ContainerStop(t.Context(), running, dockerclient.ContainerStopOptions{}); err != nil {
		t.Error(err)
	}
	exitCode(t, waiting)
	for _, id := range []string{running, created} { // with the scratch that is mounted, and with a new one
		p.begin(id)
	}
	if code := p.wait(created, ""); code != 7 {
		t.Errorf("exit code %d", code)
	}
}

func TestContainerThatEndedMeanwhileIsFoundOrRestarted(t *testing.T) {
	h := newHost(t, hcstest.WithProgram("server", nil))
	p := h.start()
	policy := func(o *dockerclient.ContainerCreateOptions) {
		o.HostConfig.RestartPolicy.Name = container.RestartPolicyAlways
	}
	autoRemove := func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.AutoRemove = true }
	ids := []string{p.run("once", nil, "server"), p.run("always", policy, "server"), p.run("removed", autoRemove, "server")}
	p.end()
	for _, id := range ids {
		h.service.Crash(id, libcontainerd.CodeUnexpectedExit)
	}

	p = h.start()
	t.Cleanup(p.clear)
	if s := p.inspect("once").State; s.Status != container.StateExited || uint32(s.ExitCode) != libcontainerd.RestoreExitCode {
		t.Errorf("once: %+v", s)
	}
	eventually(t, "the container whose policy is always runs", func() bool {
		return p.inspect("always").State.Status == container.StateRunning
	})
	eventually(t, "the container of run --rm is gone", func() bool { return p.daemon.byID(ids[2]) == nil })
}

func TestRemovalThatWasCutShortIsCarriedOn(t *testing.T) {
	h := newHost(t, hcstest.WithProgram("server", nil))
	p := h.start()
	id := p.run("web", nil, "server")
	c := p.daemon.byID(id)
	if err := p.daemon.store.remove(id); err != nil { // the daemon dies when it has done this
		t.Fatal(err)
	}
	mounted := c.mounted
	p.end()

	p = h.start()
	t.Cleanup(p.clear)
	eventually(t, "the engine does not know it", func() bool {
		_, err := p.daemon.engine.Container(id)
		return err != nil
	})
	if err := mounted.Unmount(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestStartThatWasCutShortCanBeRepeated(t *testing.T) {
	h := newHost(t)
	p := h.start()
	id := p.create("web", nil, "cmd", "/c", "exit 4")
	if err := p.daemon.mount(t.Context(), p.daemon.byID(id), &libcontainerd.Spec{}); err != nil { // the daemon dies when it has done this
		t.Fatal(err)
	}
	p.end()

	p = h.start()
	t.Cleanup(p.clear)
	p.begin(id)
	if code := p.wait(id, ""); code != 4 {
		t.Errorf("exit code %d", code)
	}
}

func TestRemovalThatWasCutShortLeavesNoFiles(t *testing.T) {
	h := newHost(t)
	p := h.start()
	id := p.run("web", nil, "cmd", "/c", "echo hello")
	p.wait(id, "")
	folder := p.daemon.folder(id)
	if err := p.daemon.unmount(t.Context(), p.daemon.byID(id)); err != nil {
		t.Fatal(err)
	}
	if err := p.daemon.store.remove(id); err != nil { // the daemon dies when it has done this
		t.Fatal(err)
	}
	p.end()

	p = h.start()
	t.Cleanup(p.clear)
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is left: %v", err)
	}
}

func TestInputReachesARestoredContainer(t *testing.T) {
	h := newHost(t, hcstest.WithProgram("server", nil), hcstest.WithProgram("echo", echo))
	p := h.start()
	interactive := func(o *dockerclient.ContainerCreateOptions) {
		o.Config.OpenStdin, o.Config.StdinOnce = true, true
		o.HostConfig.RestartPolicy.Name = container.RestartPolicyAlways
	}
	id := p.run("in", interactive, "echo")
	p.end()
	h.service.Crash(id, libcontainerd.CodeUnexpectedExit)

	p = h.start()
	t.Cleanup(p.clear)
	eventually(t, "it runs", func() bool { return p.inspect(id).State.Running && p.inspect(id).State.Pid != 0 })
	attached, err := p.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if _, err := io.WriteString(attached.Conn, "text"); err != nil {
		t.Fatal(err)
	}
	if err := attached.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 8+len("got text"))
	if _, err := io.ReadFull(attached.Reader, frame); err != nil || string(frame[8:]) != "got text" {
		t.Errorf("output %q, error %v", frame, err)
	}
}

func TestManyContainersSurviveDaemonsThatComeAndGo(t *testing.T) {
	h := newHost(t, hcstest.WithProgram("server", nil))
	p := h.start()
	var ids []string
	for range 10 {
		ids = append(ids, p.run("", nil, "server"))
	}
	for range 3 {
		p.end()
		p = h.start()
		for _, id := range ids {
			if !p.inspect(id).State.Running {
				t.Errorf("%s does not run", id)
			}
		}
	}
	p.clear()
}

// Random use of the API by many clients, of an HCS whose calls fail now and then, loses
// nothing: the simulated host says at
// the end what is left over.
func TestRandomUseLeavesNothing(t *testing.T) {
	p := play(t)
	var calls atomic.Uint32
	p.host.service.OnCall("", func(call hcstest.Call) *hcstest.Fault {
		ops := []hcstest.Op{hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpShutdown, hcstest.OpTerminate}
		if slices.Contains(ops, call.Op) && calls.Add(1)%13 == 0 {
			return &hcstest.Fault{Err: libcontainerd.CodeAccessDenied}
		}
		return nil
	})
	names := []string{"aa", "bb", "cc", "dd"}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for seed := range uint64(8) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for ctx.Err() == nil {
				p.act(ctx, r, names[r.IntN(len(names))])
			}
		})
	}
	all.Wait()
}

// act does one thing with the container of a name, if there is one. It may fail.
func (p *playing) act(ctx context.Context, r *rand.Rand, name string) {
	if r.IntN(10) == 0 { // a client that goes at any moment
		short, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(int(5*time.Millisecond))))
		defer cancel()
		ctx = short
	}
	switch r.IntN(11) {
	case 0:
		_, _ = p.ContainerCreate(ctx, dockerclient.ContainerCreateOptions{Name: name, Config: &container.Config{
			Image: "nanoserver", Cmd: []string{"cmd", "/c", "echo x& ping -t localhost"},
		}, HostConfig: &container.HostConfig{AutoRemove: r.IntN(2) == 0}})
	case 1, 2:
		_, _ = p.ContainerStart(ctx, name, dockerclient.ContainerStartOptions{})
	case 3:
		_, _ = p.ContainerStop(ctx, name, dockerclient.ContainerStopOptions{Timeout: new(0)})
	case 4:
		_, _ = p.ContainerKill(ctx, name, dockerclient.ContainerKillOptions{})
	case 5:
		_, _ = p.ContainerRestart(ctx, name, dockerclient.ContainerRestartOptions{Timeout: new(0)})
	case 6:
		_, _ = p.ContainerRemove(ctx, name, dockerclient.ContainerRemoveOptions{Force: r.IntN(2) == 0})
	case 7:
		if attached, err := p.ContainerAttach(ctx, name, dockerclient.ContainerAttachOptions{Stream: true, Stdout: true, Stdin: true}); err == nil {
			attached.Close()
		}
	case 8:
		if exec, err := p.ExecCreate(ctx, name, dockerclient.ExecCreateOptions{Cmd: []string{"cmd", "/c", "echo y"}, AttachStdout: true}); err == nil {
			if attached, err := p.ExecAttach(ctx, exec.ID, dockerclient.ExecAttachOptions{}); err == nil {
				attached.Close()
			}
		}
	case 9:
		_, _ = p.ContainerList(ctx, dockerclient.ContainerListOptions{All: true})
	case 10:
		_, _ = p.ContainerInspect(ctx, name, dockerclient.ContainerInspectOptions{})
	}
}
