package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	eventsapi "github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	dockerclient "github.com/moby/moby/client"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// greeter writes to both streams.
func greeter(p *hcstest.Process) uint32 {
	_, _ = io.WriteString(p.Stdout, "hello\n")
	_, _ = io.WriteString(p.Stderr, "oops\n")
	return 7
}

// echo writes what it reads, with a mark.
func echo(p *hcstest.Process) uint32 {
	data, _ := io.ReadAll(p.Stdin)
	_, _ = p.Stdout.Write(append([]byte("got "), data...))
	return 0
}

func demux(t *testing.T, r io.Reader) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &errs, r); err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String()
}

func TestContainerLivesFromCreateToRemove(t *testing.T) {
	p := play(t, hcstest.WithProgram("greet", greeter))
	ctx := t.Context()
	id := p.create("web", nil, "greet")
	if len(id) != 64 {
		t.Errorf("id %q has not 64 digits", id)
	}
	if s := p.inspect("web").State; s.Status != container.StateCreated || s.Running {
		t.Errorf("created: %+v", s)
	}
	attached, err := p.ContainerAttach(ctx, "web", dockerclient.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	waiting := p.ContainerWait(ctx, id, dockerclient.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	p.begin(id[:10])
	if out, errs := demux(t, attached.Reader); out != "hello\n" || errs != "oops\n" {
		t.Errorf("output %q, %q", out, errs)
	}
	if code := exitCode(t, waiting); code != 7 {
		t.Errorf("exit code %d", code)
	}
	if s := p.inspect(id).State; s.Status != container.StateExited || s.ExitCode != 7 || s.StartedAt > s.FinishedAt {
		t.Errorf("exited: %+v", s)
	}
	logs, err := p.ContainerLogs(ctx, id, dockerclient.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	if out, errs := demux(t, logs); out != "hello\n" || errs != "oops\n" {
		t.Errorf("log %q, %q", out, errs)
	}
	logs.Close()
	if _, err := p.ContainerRemove(ctx, id, dockerclient.ContainerRemoveOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := p.ContainerInspect(ctx, id, dockerclient.ContainerInspectOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("removed: %v", err)
	}
	if mounted := p.host.layers.Mounted(); len(mounted) > 0 {
		t.Errorf("mounted: %v", mounted)
	}
}

func TestImageSaysWhatTheContainerDoesNot(t *testing.T) {
	p := play(t)
	ofImage := func(o *dockerclient.ContainerCreateOptions) {
		o.Config = &container.Config{Image: "servercore:2022", Env: []string{"b=own", "C=own"}}
	}
	config := p.inspect(p.create("core", ofImage)).Config
	if want := []string{"A=image", "b=own", "C=own"}; !slices.Equal(config.Env, want) {
		t.Errorf("environment %q, not %q", config.Env, want)
	}
	p.begin("core")
	if code := p.wait("core", ""); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out := p.logs("core", dockerclient.ContainerLogsOptions{}); out != "core\r\n" {
		t.Errorf("output %q", out)
	}
}

// logs returns the standard output in the log.
func (p *playing) logs(id string, options dockerclient.ContainerLogsOptions) string {
	p.host.t.Helper()
	options.ShowStdout = true
	logs, err := p.ContainerLogs(p.host.t.Context(), id, options)
	if err != nil {
		p.host.t.Fatal(err)
	}
	defer logs.Close()
	out, _ := demux(p.host.t, logs)
	return out
}

func TestLogsAreChosenByTailTimeAndStream(t *testing.T) {
	p := play(t)
	p.run("talk", nil, "cmd", "/c", "echo one& echo two& echo three")
	p.wait("talk", "")
	for _, c := range []struct {
		name    string
		options dockerclient.ContainerLogsOptions
		want    string
	}{
		{"all", dockerclient.ContainerLogsOptions{Tail: "all"}, "one\r\ntwo\r\nthree\r\n"},
		{"the last one", dockerclient.ContainerLogsOptions{Tail: "1"}, "three\r\n"},
		{"none of what is there", dockerclient.ContainerLogsOptions{Tail: "0"}, ""},
		{"follow ends with the container", dockerclient.ContainerLogsOptions{Follow: true, Tail: "2"}, "two\r\nthree\r\n"},
		{"since later", dockerclient.ContainerLogsOptions{Since: time.Now().Add(time.Hour).Format(time.RFC3339)}, ""},
		{"until earlier", dockerclient.ContainerLogsOptions{Until: time.Now().Add(-time.Hour).Format(time.RFC3339)}, ""},
	} {
		if got := p.logs("talk", c.options); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
	stamp, text, _ := strings.Cut(p.logs("talk", dockerclient.ContainerLogsOptions{Timestamps: true, Tail: "1"}), " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || text != "three\r\n" {
		t.Errorf("with its time: %q %q", stamp, text)
	}
	if _, err := p.ContainerLogs(t.Context(), "talk", dockerclient.ContainerLogsOptions{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("no stream: %v", err)
	}
}

func TestLogsFollowWhatIsWritten(t *testing.T) {
	lines := make(chan string)
	p := play(t, hcstest.WithProgram("say", func(p *hcstest.Process) uint32 {
		for line := range lines {
			_, _ = io.WriteString(p.Stdout, line)
		}
		return 0
	}))
	p.run("say", nil, "say")
	logs, err := p.ContainerLogs(t.Context(), "say", dockerclient.ContainerLogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	for _, line := range []string{"one\n", "two\n"} {
		lines <- line
		frame := make([]byte, 8+len(line))
		if _, err := io.ReadFull(logs, frame); err != nil || string(frame[8:]) != line {
			t.Fatalf("frame %q, error %v", frame, err)
		}
	}
	close(lines)
	if rest, err := io.ReadAll(logs); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, error %v", rest, err)
	}
}

func TestInputGoesToTheContainerAndEnds(t *testing.T) {
	p := play(t, hcstest.WithProgram("echo", echo))
	interactive := func(o *dockerclient.ContainerCreateOptions) {
		o.Config.OpenStdin, o.Config.StdinOnce, o.Config.AttachStdin = true, true, true
	}
	id := p.create("in", interactive, "echo")
	for _, text := range []string{"first", "second"} { // a container that is started again has an input again
		attached, err := p.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
		if err != nil {
			t.Fatal(err)
		}
		p.begin(id)
		if _, err := io.WriteString(attached.Conn, text); err != nil {
			t.Fatal(err)
		}
		if err := attached.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if out, _ := demux(t, attached.Reader); out != "got "+text {
			t.Errorf("output %q", out)
		}
		attached.Close()
		p.wait(id, container.WaitConditionNotRunning)
	}
}

func TestTerminalIsRawAndHasASize(t *testing.T) {
	sizes := make(chan [2]uint16, 10)
	p := play(t, hcstest.WithProgram("size", func(p *hcstest.Process) uint32 {
		_, _ = io.WriteString(p.Stdout, "raw")
		<-p.Resized()
		width, height := p.ConsoleSize()
		sizes <- [2]uint16{width, height}
		return 0
	}))
	withTerminal := func(o *dockerclient.ContainerCreateOptions) { o.Config.Tty, o.Config.OpenStdin = true, true }
	id := p.create("term", withTerminal, "size")
	attached, err := p.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	p.begin(id)
	if _, err := p.ContainerResize(t.Context(), id, dockerclient.ContainerResizeOptions{Height: 33, Width: 99}); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(attached.Reader); string(out) != "raw" || err != nil {
		t.Errorf("output %q, error %v", out, err)
	}
	if size := <-sizes; size != [2]uint16{99, 33} {
		t.Errorf("size %v", size)
	}
}

func TestKeysDetachFromATerminal(t *testing.T) {
	p := play(t, hcstest.WithProgram("server", nil))
	withTerminal := func(o *dockerclient.ContainerCreateOptions) { o.Config.Tty, o.Config.OpenStdin = true, true }
	id := p.run("term", withTerminal, "server")
	attached, err := p.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if _, err := attached.Conn.Write([]byte{'P' - '@', 'Q' - '@'}); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(attached.Reader); len(out) > 0 || err != nil {
		t.Errorf("output %q, error %v", out, err)
	}
	if !p.inspect(id).State.Running {
		t.Error("the container has ended")
	}
}

func TestSeveralClientsSeeTheOutputAndOneMayGo(t *testing.T) {
	lines := make(chan string)
	p := play(t, hcstest.WithProgram("say", func(p *hcstest.Process) uint32 {
		for line := range lines {
			_, _ = io.WriteString(p.Stdout, line)
		}
		return 0
	}))
	id := p.create("say", nil, "say")
	var clients []dockerclient.ContainerAttachResult
	for range 3 {
		attached, err := p.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Stream: true, Stdout: true})
		if err != nil {
			t.Fatal(err)
		}
		defer attached.Close()
		clients = append(clients, attached)
	}
	p.begin(id)
	clients[0].Close()
	for range 100 {
		lines <- "line\n"
	}
	close(lines)
	for _, c := range clients[1:] {
		if out, _ := demux(t, c.Reader); out != strings.Repeat("line\n", 100) {
			t.Errorf("output %q", out)
		}
	}
}

func TestExecHasStreamsAndAnExitCode(t *testing.T) {
	p := play(t, hcstest.WithProgram("server", nil), hcstest.WithProgram("greet", greeter), hcstest.WithProgram("echo", echo))
	ctx := t.Context()
	id := p.run("web", nil, "server")
	exec := func(input string, cmd ...string) (stdout, stderr string, code int) {
		t.Helper()
		created, err := p.ExecCreate(ctx, id, dockerclient.ExecCreateOptions{Cmd: cmd, AttachStdin: input != "", AttachStdout: true, AttachStderr: true})
		if err != nil {
			t.Fatal(err)
		}
		attached, err := p.ExecAttach(ctx, created.ID, dockerclient.ExecAttachOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer attached.Close()
		_, _ = io.WriteString(attached.Conn, input)
		_ = attached.CloseWrite()
		stdout, stderr = demux(t, attached.Reader)
		result, err := p.ExecInspect(ctx, created.ID, dockerclient.ExecInspectOptions{})
		if err != nil || result.Running || result.ContainerID != id {
			t.Errorf("inspect: %+v, error %v", result, err)
		}
		if _, err := p.ExecStart(ctx, created.ID, dockerclient.ExecStartOptions{}); !errdefs.IsConflict(err) {
			t.Errorf("second start: %v", err)
		}
		return stdout, stderr, result.ExitCode
	}
	if out, errs, code := exec("", "greet"); out != "hello\n" || errs != "oops\n" || code != 7 {
		t.Errorf("greet: %q %q %d", out, errs, code)
	}
	if out, _, code := exec("input", "echo"); out != "got input" || code != 0 {
		t.Errorf("echo: %q %d", out, code)
	}
	if _, errs, code := exec("", "missing"); !strings.Contains(errs, fileNotFound) || code != 127 {
		t.Errorf("missing: %q %d", errs, code)
	}
}

func TestExecOfADetachedClientRunsOnAndCanBeResized(t *testing.T) {
	p := play(t, hcstest.WithProgram("server", nil))
	ctx := t.Context()
	id := p.run("web", nil, "server")
	created, err := p.ExecCreate(ctx, id, dockerclient.ExecCreateOptions{Cmd: []string{"server"}, TTY: true, ConsoleSize: dockerclient.ConsoleSize{Height: 10, Width: 20}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ExecResize(ctx, created.ID, dockerclient.ExecResizeOptions{Height: 1, Width: 1}); !errdefs.IsConflict(err) {
		t.Errorf("resize before the start: %v", err)
	}
	if _, err := p.ExecStart(ctx, created.ID, dockerclient.ExecStartOptions{Detach: true, TTY: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ExecResize(ctx, created.ID, dockerclient.ExecResizeOptions{Height: 30, Width: 80}); err != nil {
		t.Error(err)
	}
	result, err := p.ExecInspect(ctx, created.ID, dockerclient.ExecInspectOptions{})
	if err != nil || !result.Running || result.PID == 0 {
		t.Errorf("inspect: %+v, error %v", result, err)
	}
	if ids := p.inspect(id).ExecIDs; !slices.Equal(ids, []string{created.ID}) {
		t.Errorf("execs %q", ids)
	}
	p.host.service.ExitProcess(id, uint32(result.PID), 9)
	eventually(t, "the exec has ended", func() bool {
		result, err := p.ExecInspect(ctx, created.ID, dockerclient.ExecInspectOptions{})
		return err == nil && !result.Running && result.ExitCode == 9
	})
}

func TestStartFailsWithDockersExitCodes(t *testing.T) {
	p := play(t)
	p.host.service.Fail(hcstest.OpCreateProcess, "", nil, libcontainerd.CodeAccessDenied)
	for _, c := range []struct {
		program string
		code    int
		words   string
	}{{"missing", 127, fileNotFound}, {"cmd", 126, permissionDenied}} {
		id := p.create("", nil, c.program)
		_, err := p.ContainerStart(t.Context(), id, dockerclient.ContainerStartOptions{})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", c.program, err)
		}
		if s := p.inspect(id).State; s.ExitCode != c.code || s.Status != container.StateCreated || s.Error == "" {
			t.Errorf("%s: %+v", c.program, s)
		}
	}
}

func TestContainerOfRunRmIsGoneAfterItsExit(t *testing.T) {
	p := play(t)
	autoRemove := func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.AutoRemove = true }
	for name, want := range map[string]int64{"cmd /c exit 5": 5, "missing": 127} {
		id := p.create("", autoRemove, strings.Fields(name)...)
		waiting := p.ContainerWait(t.Context(), id, dockerclient.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
		_, err := p.ContainerStart(t.Context(), id, dockerclient.ContainerStartOptions{})
		if (err != nil) != (want == 127) {
			t.Error(err)
		}
		if code := exitCode(t, waiting); code != want {
			t.Errorf("%s: exit code %d", name, code)
		}
		if p.daemon.byID(id) != nil {
			t.Errorf("%s is still known", name)
		}
	}
}

func TestStopIsGracefulAndKillIsNot(t *testing.T) {
	p := play(t)
	ctx := t.Context()
	id := p.run("web", nil, "ping", "-t", "localhost")
	if _, err := p.ContainerStop(ctx, id, dockerclient.ContainerStopOptions{}); err != nil {
		t.Fatal(err)
	}
	if code := p.inspect(id).State.ExitCode; code != 0xC000013A {
		t.Errorf("exit code of the stop %#x", code)
	}
	if _, err := p.ContainerStop(ctx, id, dockerclient.ContainerStopOptions{}); err != nil { // 304 is no error
		t.Error(err)
	}
	if _, err := p.ContainerKill(ctx, id, dockerclient.ContainerKillOptions{}); !errdefs.IsConflict(err) {
		t.Errorf("kill of what does not run: %v", err)
	}
	if _, err := p.ContainerRestart(ctx, id, dockerclient.ContainerRestartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ContainerKill(ctx, id, dockerclient.ContainerKillOptions{Signal: "USR1"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("unknown signal: %v", err)
	}
	if _, err := p.ContainerKill(ctx, id, dockerclient.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(id, ""); code == 0 || code == 0xC000013A {
		t.Errorf("exit code of the kill %#x", code)
	}
	p.begin(id)
	if _, err := p.ContainerKill(ctx, id, dockerclient.ContainerKillOptions{Signal: "SIGTERM"}); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(id, ""); code != 0xC000013A {
		t.Errorf("exit code of SIGTERM %#x", code)
	}
}

func TestStopKillsAfterItsTimeout(t *testing.T) {
	p := play(t)
	p.host.service.Hang(hcstest.OpShutdown, "")
	id := p.run("web", nil, "ping", "-t", "localhost")
	if _, err := p.ContainerStop(t.Context(), id, dockerclient.ContainerStopOptions{Timeout: new(1)}); err != nil {
		t.Fatal(err)
	}
	if p.inspect(id).State.Running {
		t.Error("it runs on")
	}
}

func TestPauseIsForHyperVOnly(t *testing.T) {
	p := play(t)
	ctx := t.Context()
	hyperV := func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.Isolation = container.IsolationHyperV }
	id := p.run("hyperv", hyperV, "ping", "-t", "localhost")
	if _, err := p.ContainerPause(ctx, id, dockerclient.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := p.inspect(id).State; !s.Paused || s.Status != container.StatePaused {
		t.Errorf("paused: %+v", s)
	}
	if _, err := p.ContainerUnpause(ctx, id, dockerclient.ContainerUnpauseOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := p.inspect(id).State; s.Paused || !s.Running {
		t.Errorf("unpaused: %+v", s)
	}
	id = p.run("process", nil, "ping", "-t", "localhost")
	if _, err := p.ContainerPause(ctx, id, dockerclient.ContainerPauseOptions{}); !errdefs.IsNotImplemented(err) {
		t.Errorf("process isolation: %v", err)
	}
}

func TestRestartPolicyRestartsUpToItsLimit(t *testing.T) {
	p := play(t)
	policy := func(o *dockerclient.ContainerCreateOptions) {
		o.HostConfig.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyOnFailure, MaximumRetryCount: 3}
	}
	id := p.run("flaky", policy, "cmd", "/c", "echo run& exit 3")
	if code := p.wait(id, ""); code != 3 {
		t.Errorf("exit code %d", code)
	}
	if n := p.inspect(id).RestartCount; n != 3 {
		t.Errorf("restarts %d", n)
	}
	if out := p.logs(id, dockerclient.ContainerLogsOptions{}); out != strings.Repeat("run\r\n", 4) {
		t.Errorf("output %q", out)
	}
}

func TestNamesAreUniqueAndCanBeChanged(t *testing.T) {
	p := play(t)
	ctx := t.Context()
	first, second := p.create("first", nil, "cmd"), p.create("second", nil, "cmd")
	config := dockerclient.ContainerCreateOptions{Name: "first", Config: &container.Config{Image: "nanoserver"}}
	if _, err := p.ContainerCreate(ctx, config); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), first) {
		t.Errorf("create with a name that is taken: %v", err)
	}
	if _, err := p.ContainerRename(ctx, "second", dockerclient.ContainerRenameOptions{NewName: "first"}); !errdefs.IsConflict(err) {
		t.Errorf("rename to a name that is taken: %v", err)
	}
	if _, err := p.ContainerRename(ctx, "second", dockerclient.ContainerRenameOptions{NewName: "third"}); err != nil {
		t.Error(err)
	}
	if got := p.inspect("third"); got.ID != second || got.Name != "/third" {
		t.Errorf("renamed: %s %s", got.ID, got.Name)
	}
	p.create("second", nil, "cmd") // the name is free again
	if _, err := p.ContainerRename(ctx, "third", dockerclient.ContainerRenameOptions{NewName: "!"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("bad name: %v", err)
	}
	for _, id := range []string{"f", ""} {
		if _, err := p.daemon.find(id); err == nil && len(id) == 0 {
			t.Errorf("%q was found", id)
		}
	}
}

func TestBeginningOfTheIDMustBeUnique(t *testing.T) {
	p := play(t)
	var ids []string
	for range 17 { // two of them begin with the same digit
		ids = append(ids, p.create("", nil, "cmd"))
	}
	ambiguous := 0
	for _, id := range ids {
		switch c, err := p.daemon.find(id[:1]); {
		case err == nil && c.id != id:
			t.Errorf("%s found %s", id[:1], c.id)
		case errdefs.IsInvalidArgument(err):
			ambiguous++
		}
	}
	if ambiguous < 2 {
		t.Errorf("%d ids were ambiguous", ambiguous)
	}
}

func TestCreateRefusesWhatItCouldOnlyIgnore(t *testing.T) {
	p := play(t)
	for name, c := range map[string]struct {
		change func(*dockerclient.ContainerCreateOptions)
		kind   func(error) bool
	}{
		"ports": {func(o *dockerclient.ContainerCreateOptions) {
			o.HostConfig.PortBindings = network.PortMap{network.MustParsePort("80/tcp"): nil}
		}, errdefs.IsNotImplemented},
		"network":        {func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.NetworkMode = "nat" }, errdefs.IsNotImplemented},
		"privileged":     {func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.Privileged = true }, errdefs.IsNotImplemented},
		"named volume":   {func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.Binds = []string{`data:C:\data`} }, errdefs.IsNotImplemented},
		"bad volume":     {func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.Binds = []string{`C:\data`} }, errdefs.IsInvalidArgument},
		"log driver":     {func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.LogConfig.Type = "syslog" }, errdefs.IsInvalidArgument},
		"isolation":      {func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.Isolation = "kvm" }, errdefs.IsInvalidArgument},
		"restart policy": {func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.RestartPolicy.Name = "sometimes" }, errdefs.IsInvalidArgument},
		"image":          {func(o *dockerclient.ContainerCreateOptions) { o.Config.Image = "UPPER" }, errdefs.IsInvalidArgument},
		"name":           {func(o *dockerclient.ContainerCreateOptions) { o.Name = "a b" }, errdefs.IsInvalidArgument},
	} {
		options := dockerclient.ContainerCreateOptions{Config: &container.Config{Image: "nanoserver"}, HostConfig: &container.HostConfig{}}
		c.change(&options)
		if _, err := p.ContainerCreate(t.Context(), options); !c.kind(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all := p.daemon.all(); len(all) > 0 {
		t.Errorf("%d containers were created", len(all))
	}
}

func TestListIsFiltered(t *testing.T) {
	p := play(t)
	label := func(o *dockerclient.ContainerCreateOptions) { o.Config.Labels = map[string]string{"app": "web"} }
	p.run("one", label, "ping", "-t", "localhost")
	p.run("two", nil, "cmd", "/c", "exit 4")
	p.wait("two", "")
	p.create("three", nil, "cmd")
	filter := func(name string, values ...string) dockerclient.Filters {
		return dockerclient.Filters{}.Add(name, values...)
	}
	for _, c := range []struct {
		name    string
		options dockerclient.ContainerListOptions
		want    string
	}{
		{"those that run", dockerclient.ContainerListOptions{}, "/one"},
		{"all, the newest first", dockerclient.ContainerListOptions{All: true}, "/three /two /one"},
		{"limit", dockerclient.ContainerListOptions{Limit: 1}, "/three"},
		{"name", dockerclient.ContainerListOptions{All: true, Filters: filter("name", "t")}, "/three /two"},
		{"status", dockerclient.ContainerListOptions{Filters: filter("status", "exited", "created")}, "/three /two"},
		{"exit code", dockerclient.ContainerListOptions{Filters: filter("exited", "4")}, "/two"},
		{"label", dockerclient.ContainerListOptions{All: true, Filters: filter("label", "app=web")}, "/one"},
		{"another label", dockerclient.ContainerListOptions{All: true, Filters: filter("label", "app=db")}, ""},
		{"image", dockerclient.ContainerListOptions{All: true, Filters: filter("ancestor", "nanoserver:latest")}, "/three /two /one"},
		{"before", dockerclient.ContainerListOptions{All: true, Filters: filter("before", "two")}, "/one"},
		{"since", dockerclient.ContainerListOptions{All: true, Filters: filter("since", "two")}, "/three"},
	} {
		list, err := p.ContainerList(t.Context(), c.options)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var names []string
		for _, item := range list.Items {
			names = append(names, item.Names...)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
	if _, err := p.ContainerList(t.Context(), dockerclient.ContainerListOptions{Filters: filter("volume", "x")}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a filter that is not served: %v", err)
	}
}

// actions returns the actions of the events that are there for the filters.
func (p *playing) actions(filters dockerclient.Filters) []string {
	p.host.t.Helper()
	var actions []string
	result := p.Events(p.host.t.Context(), dockerclient.EventsListOptions{
		Since: "1970-01-01T00:00:01Z", Until: time.Now().Add(100 * time.Millisecond).Format(time.RFC3339Nano), Filters: filters,
	})
	for {
		select {
		case m := <-result.Messages:
			actions = append(actions, string(m.Action))
		case err := <-result.Err:
			if !errors.Is(err, io.EOF) {
				p.host.t.Error(err)
			}
			return actions
		}
	}
}

func TestEventsComeInOrder(t *testing.T) {
	p := play(t)
	p.run("web", nil, "cmd", "/c", "exit 3")
	p.wait("web", "")
	p.run("other", nil, "ping", "-t", "localhost")
	for _, step := range []func() error{
		func() error {
			_, err := p.ContainerStop(t.Context(), "other", dockerclient.ContainerStopOptions{})
			return err
		},
		func() error {
			_, err := p.ContainerRemove(t.Context(), "other", dockerclient.ContainerRemoveOptions{})
			return err
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	filter := func(name string, values ...string) dockerclient.Filters {
		return dockerclient.Filters{}.Add(name, values...)
	}
	for _, c := range []struct {
		filters dockerclient.Filters
		want    string
	}{
		{nil, "create start die create start die stop destroy"},
		{filter("container", "web"), "create start die"},
		{filter("event", "die", "stop"), "die die stop"},
		{filter("image", "nanoserver").Add("event", "create"), "create create"},
		{filter("type", "network"), ""},
	} {
		if got := strings.Join(p.actions(c.filters), " "); got != c.want {
			t.Errorf("%v: %q, not %q", c.filters, got, c.want)
		}
	}
}

func TestEventsAreStreamed(t *testing.T) {
	p := play(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := p.Events(ctx, dockerclient.EventsListOptions{})
	id := p.run("web", nil, "cmd", "/c", "exit 3")
	for _, want := range []eventsapi.Action{eventsapi.ActionCreate, eventsapi.ActionStart, eventsapi.ActionDie} {
		select {
		case m := <-result.Messages:
			if m.Action != want || m.Actor.ID != id || m.Actor.Attributes["name"] != "web" {
				t.Errorf("%+v, not %s", m, want)
			}
			if want == eventsapi.ActionDie && m.Actor.Attributes["exitCode"] != "3" {
				t.Errorf("exit code %q", m.Actor.Attributes["exitCode"])
			}
		case <-time.After(time.Minute):
			t.Fatalf("no event %s", want)
		}
	}
}

func TestTopAndStatsDescribeWhatRuns(t *testing.T) {
	p := play(t)
	ctx := t.Context()
	id := p.run("web", nil, "ping", "-t", "localhost")
	top, err := p.ContainerTop(ctx, id, dockerclient.ContainerTopOptions{})
	if err != nil || len(top.Processes) == 0 || top.Processes[0][0] != "ping.exe" {
		t.Errorf("top: %+v, error %v", top, err)
	}
	for _, options := range []dockerclient.ContainerStatsOptions{{}, {IncludePreviousSample: true}, {Stream: true}} {
		stats, err := p.ContainerStats(ctx, id, options)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(stats.Body)
		for n := 1; n <= 2; n++ {
			var s container.StatsResponse
			err := decoder.Decode(&s)
			if !options.Stream && n == 2 {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%+v: a second one: %v", options, err)
				}
				break
			}
			hasPrevious := options.IncludePreviousSample || n == 2
			if err != nil || s.MemoryStats.PrivateWorkingSet == 0 || s.Read.IsZero() || s.PreRead.IsZero() == hasPrevious {
				t.Errorf("%+v: %+v, error %v", options, s, err)
			}
		}
		stats.Body.Close()
	}
	created := p.create("created", nil, "cmd")
	if _, err := p.ContainerTop(ctx, created, dockerclient.ContainerTopOptions{}); !errdefs.IsConflict(err) {
		t.Errorf("top of what does not run: %v", err)
	}
	stats, err := p.ContainerStats(ctx, created, dockerclient.ContainerStatsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stats.Body.Close()
}

func TestRemoveNeedsForceWhileItRuns(t *testing.T) {
	p := play(t)
	id := p.run("web", nil, "ping", "-t", "localhost")
	if _, err := p.ContainerRemove(t.Context(), id, dockerclient.ContainerRemoveOptions{}); !errdefs.IsConflict(err) {
		t.Errorf("without force: %v", err)
	}
	waiting := p.ContainerWait(t.Context(), id, dockerclient.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	if _, err := p.ContainerRemove(t.Context(), id, dockerclient.ContainerRemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
	exitCode(t, waiting)
}

func TestRemoveByForceEndsAStartThatHangs(t *testing.T) {
	p := play(t)
	hang := p.host.service.Hang(hcstest.OpStart, "")
	id := p.create("web", nil, "ping", "-t", "localhost")
	started := make(chan error, 1)
	go func() {
		_, err := p.ContainerStart(context.Background(), id, dockerclient.ContainerStartOptions{})
		started <- err
	}()
	<-hang.Met()
	if _, err := p.ContainerRemove(t.Context(), id, dockerclient.ContainerRemoveOptions{}); !errdefs.IsConflict(err) {
		t.Errorf("without force: %v", err)
	}
	if _, err := p.ContainerRemove(t.Context(), id, dockerclient.ContainerRemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if err := <-started; err == nil {
		t.Error("the start has succeeded")
	}
	hang.Release()
}

func TestImagesAreListedAndInspected(t *testing.T) {
	p := play(t)
	p.create("web", nil, "cmd")
	images, err := p.ImageList(t.Context(), dockerclient.ImageListOptions{})
	if err != nil || len(images.Items) != 2 || images.Items[0].RepoTags[0] != "nanoserver:latest" || images.Items[1].RepoTags[0] != "servercore:2022" {
		t.Errorf("images %+v, error %v", images, err)
	}
	for _, name := range []string{"servercore:2022", images.Items[1].ID, images.Items[1].ID[7:20]} {
		i, err := p.ImageInspect(t.Context(), name)
		if err != nil || i.Os != "windows" || i.ID != images.Items[1].ID || !slices.Equal(i.Config.Cmd, []string{"echo core"}) {
			t.Errorf("%s: %+v, error %v", name, i, err)
		}
	}
	p.daemon.images.simulated = ""
	if _, err := p.ImageInspect(t.Context(), "mcr.microsoft.com/windows/nanoserver"); !errdefs.IsNotFound(err) {
		t.Errorf("unknown image: %v", err)
	}
}

func TestWhatIsNotServedSaysSo(t *testing.T) {
	p := play(t)
	id := p.create("web", nil, "cmd")
	for _, request := range []string{
		"GET /networks", "GET /volumes", "POST /build", "POST /containers/" + id + "/update", "GET /containers/" + id + "/export",
		"GET /containers/" + id + "/changes", "POST /commit", "GET /swarm", "GET /plugins", "DELETE /images/nanoserver",
		"GET /images/nanoserver/history", "POST /images/create?fromImage=nanoserver", "GET /system/df", "PUT /containers/" + id + "/archive",
	} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, p.server.URL+"/v1.50"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Message string }
		err = json.NewDecoder(answer.Body).Decode(&body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotImplemented || !strings.Contains(body.Message, "not served") || err != nil {
			t.Errorf("%s: %s %q, error %v", request, answer.Status, body.Message, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestFiftyContainersStartAtOnce(t *testing.T) {
	p := play(t)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			id := p.create("", nil, "cmd", "/c", "echo hello& exit 9")
			attached, err := p.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Stream: true, Stdout: true})
			if err != nil {
				t.Error(err)
				return
			}
			defer attached.Close()
			waiting := p.ContainerWait(t.Context(), id, dockerclient.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
			p.begin(id)
			if out, _ := demux(t, attached.Reader); out != "hello\r\n" {
				t.Errorf("output %q", out)
			}
			if code := exitCode(t, waiting); code != 9 {
				t.Errorf("exit code %d", code)
			}
		})
	}
	all.Wait()
}

func TestRestartOfAContainerOfRunRmKeepsIt(t *testing.T) {
	p := play(t)
	autoRemove := func(o *dockerclient.ContainerCreateOptions) { o.HostConfig.AutoRemove = true }
	id := p.run("web", autoRemove, "ping", "-t", "localhost")
	if _, err := p.ContainerRestart(t.Context(), id, dockerclient.ContainerRestartOptions{}); err != nil {
		t.Fatal(err)
	}
	waiting := p.ContainerWait(t.Context(), id, dockerclient.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	if !p.inspect(id).State.Running {
		t.Error("it does not run")
	}
	if _, err := p.ContainerStop(t.Context(), id, dockerclient.ContainerStopOptions{}); err != nil {
		t.Fatal(err)
	}
	exitCode(t, waiting)
}

func TestFailureOfAStartIsForgottenWithTheNextOne(t *testing.T) {
	p := play(t)
	id := p.create("web", nil, "cmd", "/c", "exit 4")
	p.host.service.Fail(hcstest.OpCreate, "", libcontainerd.CodeAccessDenied)
	if _, err := p.ContainerStart(t.Context(), id, dockerclient.ContainerStartOptions{}); err == nil {
		t.Error("the start has not failed")
	}
	if s := p.inspect(id).State; s.ExitCode == 0 || s.Error == "" {
		t.Errorf("failed: %+v", s)
	}
	p.begin(id)
	p.wait(id, "")
	if s := p.inspect(id).State; s.ExitCode != 4 || s.Error != "" {
		t.Errorf("exited: %+v", s)
	}
}

func TestSecondStartChangesNothing(t *testing.T) {
	p := play(t)
	id := p.create("web", nil, "ping", "-t", "localhost")
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { p.begin(id) })
	}
	all.Wait()
	if calls := p.host.service.Calls(hcstest.OpCreate); len(calls) != 1 {
		t.Errorf("it was created %d times", len(calls))
	}
}

func TestAttachMayBeginWithTheLog(t *testing.T) {
	p := play(t, hcstest.WithProgram("greet", greeter))
	id := p.run("web", nil, "greet")
	p.wait(id, "")
	attached, err := p.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Logs: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if out, errs := demux(t, attached.Reader); out != "hello\n" || errs != "oops\n" {
		t.Errorf("output %q, %q", out, errs)
	}
}

func TestPruneRemovesWhatDoesNotRun(t *testing.T) {
	p := play(t)
	running := p.run("running", nil, "ping", "-t", "localhost")
	p.create("created", nil, "cmd")
	p.run("exited", nil, "cmd", "/c", "exit 0")
	p.wait("exited", "")
	report, err := p.ContainerPrune(t.Context(), dockerclient.ContainerPruneOptions{})
	if err != nil || len(report.Report.ContainersDeleted) != 2 {
		t.Errorf("%+v, error %v", report, err)
	}
	if all := p.daemon.all(); len(all) != 1 || all[0].id != running {
		t.Errorf("%d are left", len(all))
	}
}

func TestRemovedContainerDoesNotComeBackByALateChange(t *testing.T) {
	p := play(t)
	c := p.daemon.byID(p.create("web", nil, "cmd"))
	if err := p.daemon.remove(c, false); err != nil {
		t.Fatal(err)
	}
	if _, err := p.daemon.rename(c, "late"); !errdefs.IsConflict(err) {
		t.Errorf("rename: %v", err)
	}
	if records, err := p.daemon.store.load(); len(records) > 0 || err != nil {
		t.Errorf("records %v, error %v", records, err)
	}
	p.create("late", nil, "cmd") // the name is free
}
