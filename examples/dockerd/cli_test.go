package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Docker's own command line drives the daemon, if it is installed: docker, or what
// DOCKER_CLIS names, a list of paths.

// cli is a docker command that talks to a daemon.
type cli struct {
	t       *testing.T
	program string
	address string
}

// eachCLI runs a test with every docker command that is there.
func eachCLI(t *testing.T, address func(t *testing.T) string, test func(c cli)) {
	t.Helper()
	found := 0
	for _, name := range filepath.SplitList(cmp.Or(os.Getenv("DOCKER_CLIS"), "docker")) {
		program, err := exec.LookPath(name)
		if err != nil {
			if os.Getenv("DOCKER_CLIS") != "" {
				t.Error(err)
			}
			continue
		}
		found++
		t.Run(strings.ReplaceAll(program, "/", "_"), func(t *testing.T) { test(cli{t, program, address(t)}) })
	}
	if found == 0 {
		t.Skip("docker is not installed: make test-docker installs it")
	}
}

// played is the address of a daemon in this process.
func played(options ...hcstest.Option) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		return "tcp://" + play(t, options...).server.Listener.Addr().String()
	}
}

func (c cli) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+c.address, "DOCKER_CONFIG="+c.t.TempDir(), "DOCKER_TLS_VERIFY=", "DOCKER_CONTEXT=")
	return cmd
}

// result is what a command gave.
type result struct {
	out, err string
	code     int
}

// try runs a command to its end.
func (c cli) try(stdin string, args ...string) result {
	c.t.Helper()
	cmd := c.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		c.t.Fatal(err)
	}
	return result{strings.ReplaceAll(out.String(), "\r\n", "\n"), errs.String(), cmd.ProcessState.ExitCode()}
}

// do runs a command that succeeds, and returns its output without the last line's end.
func (c cli) do(args ...string) string {
	c.t.Helper()
	r := c.try("", args...)
	if r.code != 0 {
		c.t.Errorf("docker %s: exit code %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return strings.TrimSuffix(r.out, "\n")
}

func TestDockerRunHasOutputAndExitCode(t *testing.T) {
	eachCLI(t, played(), func(c cli) {
		for _, test := range []struct {
			line, stdin string
			out, err    string // err is a part of what is there
			code        int
		}{
			{"run nanoserver cmd /c echo hello", "", "hello\n", "", 0},
			{"run --rm nanoserver cmd /c exit 7", "", "", "", 7},
			{"run -i nanoserver more", "typed\n", "typed\n", "", 0},
			{"run -e NAME=value nanoserver cmd /c echo %NAME%", "", "value\n", "", 0},
			{"run --name twice nanoserver cmd /c exit 0", "", "", "", 0},
			{"run --name twice nanoserver cmd", "", "", "already in use", 125},
			{"run nanoserver missing", "", "", fileNotFound, 127},
			{"run --rm nanoserver missing", "", "", fileNotFound, 127},
			{"run -p 80:80 nanoserver cmd", "", "", "not served", 125},
			{"run --restart on-failure:3 nanoserver cmd /c echo run& exit 3", "", "run\nrun\nrun\nrun\n", "", 3},
		} {
			r := c.try(test.stdin, strings.Fields(test.line)...)
			if r.out != test.out || r.code != test.code || !strings.Contains(r.err, test.err) {
				t.Errorf("docker %s: %+v", test.line, r)
			}
		}
	})
}

func TestDockerRunOfWhatMustNotBeRunIs126(t *testing.T) {
	var p *playing
	address := func(t *testing.T) string {
		t.Helper()
		p = play(t)
		return "tcp://" + p.server.Listener.Addr().String()
	}
	eachCLI(t, address, func(c cli) {
		p.host.service.Fail(hcstest.OpCreateProcess, "", libcontainerd.CodeAccessDenied)
		if r := c.try("", "run", "nanoserver", "cmd"); r.code != 126 || !strings.Contains(r.err, permissionDenied) {
			c.t.Errorf("%+v", r)
		}
	})
}

func TestDockerDrivesTheLifeOfAContainer(t *testing.T) {
	eachCLI(t, played(), func(c cli) {
		id := c.do("run", "-d", "--name", "web", "nanoserver", "ping", "-t", "localhost")
		if got := c.do("ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}"); got != id+" web nanoserver" {
			c.t.Errorf("ps: %q", got)
		}
		if r := c.try("", "exec", "web", "cmd", "/c", "echo in& exit 4"); r.out != "in\n" || r.code != 4 {
			c.t.Errorf("exec: %+v", r)
		}
		if r := c.try("typed\n", "exec", "-i", "web", "more"); r.out != "typed\n" || r.code != 0 {
			c.t.Errorf("exec -i: %+v", r)
		}
		if r := c.try("", "exec", "web", "missing"); r.code != 127 {
			c.t.Errorf("exec of what is missing: %+v", r)
		}
		for _, test := range []struct{ line, want string }{
			{"top web", "ping.exe"}, {"stats --no-stream web", "PRIV WORKING SET"}, {"inspect web", id}, {"images", "nanoserver"},
			{"version", "windows/"}, {"info", "Running: 1"}, {"logs --tail 1 web", "Reply from"},
		} {
			if got := c.do(strings.Fields(test.line)...); !strings.Contains(got, test.want) {
				c.t.Errorf("%s: %s", test.line, got)
			}
		}
		c.do("rename", "web", "web2")
		c.do("restart", "-t", "1", "web2")
		c.do("stop", "web2")
		if got := c.do("wait", "web2"); got != "3221225786" {
			c.t.Errorf("wait: %q", got)
		}
		c.do("start", "web2")
		c.do("kill", "web2")
		c.do("rm", "web2")
		c.do("run", "-d", "--name", "paused", "--isolation", "hyperv", "nanoserver", "ping", "-t", "localhost")
		c.do("pause", "paused")
		if got := c.do("ps", "--format", "{{.Status}}"); !strings.Contains(got, "(Paused)") {
			c.t.Errorf("paused: %q", got)
		}
		c.do("unpause", "paused")
		c.do("rm", "-f", "paused")
		if got := c.do("ps", "-aq"); got != "" {
			c.t.Errorf("left: %q", got)
		}
		if r := c.try("", "pull", "nanoserver"); r.code == 0 || !strings.Contains(r.err, "not served") {
			c.t.Errorf("pull: %+v", r)
		}
	})
}

func TestDockerFollowsLogsAndEvents(t *testing.T) {
	eachCLI(t, played(), func(c cli) {
		events := c.follow("events", "--since", "1h", "--format", "{{.Action}}") // it may come late
		c.do("run", "-d", "--name", "web", "nanoserver", "ping", "-t", "localhost")
		logs := c.follow("logs", "-f", "web")
		logs.expect("Reply from")
		c.do("exec", "web", "cmd", "/c", "exit 0")
		c.do("stop", "web")
		if err := logs.cmd.Wait(); err != nil { // they end with the container
			c.t.Error(err)
		}
		for _, action := range []string{"create", "start", "exec_create: cmd /c exit 0", "exec_start: cmd /c exit 0", "exec_die", "die", "stop"} {
			events.expect(action)
		}
	})
}

// following is a command that goes on.
type following struct {
	cli  cli
	cmd  *exec.Cmd
	more chan struct{}

	mu   sync.Mutex // guards following
	text string     // that was not expected yet
}

// follow starts a command that is ended with the test.
func (c cli) follow(args ...string) *following {
	c.t.Helper()
	f := &following{cli: c, cmd: c.command(args...), more: make(chan struct{}, 1)}
	f.cmd.Stdout, f.cmd.Stderr = f, f
	if err := f.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = f.cmd.Process.Kill() // it may have ended
		_ = f.cmd.Wait()
	})
	return f
}

func (f *following) Write(p []byte) (int, error) {
	f.mu.Lock()
	f.text += string(p)
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

// expect waits for text, after what was expected before.
func (f *following) expect(text string) {
	f.cli.t.Helper()
	deadline := time.After(time.Minute)
	for {
		f.mu.Lock()
		_, after, found := strings.Cut(f.text, text)
		if found {
			f.text = after
		}
		all := f.text
		f.mu.Unlock()
		if found {
			return
		}
		select {
		case <-f.more:
		case <-deadline:
			f.cli.t.Fatalf("%q is not in %q", text, all)
		}
	}
}

func TestDockerStartsFiftyContainersAtOnce(t *testing.T) {
	eachCLI(t, played(), func(c cli) {
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				want := fmt.Sprintf("number %d\n", n)
				if r := c.try("", "run", "--rm", "nanoserver", "cmd", "/c", "echo number "+fmt.Sprint(n)+"& exit 3"); r.out != want || r.code != 3 {
					c.t.Errorf("%d: %+v", n, r)
				}
			})
		}
		all.Wait()
		if got := c.do("ps", "-aq"); got != "" {
			c.t.Errorf("left: %q", got)
		}
	})
}

// A daemon that is a process of its own is killed, and started again on its state. The
// containers of a simulated HCS end with their process, so that the next daemon finds
// them gone; TestNextDaemonGoesOnWithWhatRuns shows the rest.
func TestDockerGoesOnAfterTheDaemonWasKilled(t *testing.T) {
	var d *process
	address := func(t *testing.T) string {
		t.Helper()
		d = &process{t: t, dir: t.TempDir(), socket: filepath.Join(shortDir(t), "dockerd.sock")}
		d.start()
		return "unix://" + d.socket
	}
	eachCLI(t, address, func(c cli) {
		web := c.do("run", "-d", "--name", "web", "nanoserver", "ping", "-t", "localhost")
		always := c.do("run", "-d", "--name", "always", "--restart", "always", "nanoserver", "ping", "-t", "localhost")
		c.do("create", "--name", "created", "nanoserver", "cmd", "/c", "exit 6")
		c.do("run", "--name", "exited", "nanoserver", "cmd", "/c", "echo before")
		for range 50 { // it is killed at any moment of these
			c.follow("run", "-d", "nanoserver", "ping", "-t", "localhost")
		}
		time.Sleep(50 * time.Millisecond)
		d.kill()
		d.start()
		for _, test := range []struct{ format, name, want string }{
			{"{{.Id}} {{.State.Status}} {{.State.ExitCode}}", "web", web + " exited 2147483648"},
			{"{{.State.Status}}", "created", "created"},
			{"{{.State.Status}} {{.State.ExitCode}}", "exited", "exited 0"},
		} {
			if got := c.do("inspect", "-f", test.format, test.name); got != test.want {
				c.t.Errorf("%s: %q, not %q", test.name, got, test.want)
			}
		}
		eventually(c.t, "the container whose policy is always runs", func() bool {
			return c.do("inspect", "-f", "{{.Id}} {{.State.Status}}", "always") == always+" running"
		})
		if got := c.do("logs", "exited"); got != "before" {
			c.t.Errorf("log: %q", got)
		}
		if r := c.try("", "start", "-a", "created"); r.code != 6 {
			c.t.Errorf("start: %+v", r)
		}
		c.do("start", "web")
		if ids := strings.Fields(c.do("ps", "-aq")); len(ids) > 0 {
			c.do(append([]string{"rm", "-f"}, ids...)...)
		}
		if got := c.do("ps", "-aq"); got != "" {
			c.t.Errorf("left: %q", got)
		}
		d.kill()
	})
}

// shortDir is a folder whose name is short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dk") //nolint:usetesting // the name of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// process is a daemon that runs as a process.
type process struct {
	t           *testing.T
	dir, socket string
	cmd         *exec.Cmd
}

// start starts it, and waits until it listens.
func (d *process) start() {
	d.t.Helper()
	d.cmd = exec.Command(os.Args[0])
	d.cmd.Env = append(os.Environ(), asDaemon+"="+strings.Join([]string{"--simulate", "--state", d.dir, "--host", "unix://" + d.socket}, "\n"))
	output, err := d.cmd.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = d.cmd.Process.Kill() }) // for a test that fails
	listening := make(chan bool, 1)
	go func() {
		scanner := bufio.NewScanner(output)
		for scanner.Scan() {
			d.t.Log(scanner.Text())
			if strings.Contains(scanner.Text(), "msg=listening") {
				listening <- true
				break
			}
		}
		close(listening)
		_, _ = io.Copy(io.Discard, output)
	}()
	select {
	case ok := <-listening:
		if !ok {
			d.t.Fatal("the daemon does not start")
		}
	case <-time.After(time.Minute):
		d.t.Fatal("the daemon does not listen")
	}
}

// kill ends it as kill -9 does.
func (d *process) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Error(err)
	}
	_ = d.cmd.Wait() // says that it was killed
}
