package main

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// onTerminal runs a command on a terminal, where each answer is typed when its
// question was seen, and returns its exit code.
func (c cli) onTerminal(args []string, dialogue ...[2]string) int {
	c.t.Helper()
	cmd := c.command(args...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 20, Cols: 70})
	if err != nil {
		c.t.Fatal(err)
	}
	defer terminal.Close()
	seen := &following{cli: c, more: make(chan struct{}, 1)}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(seen, terminal)
	}()
	for _, step := range dialogue {
		seen.expect(step[0])
		if _, err := io.WriteString(terminal, step[1]); err != nil {
			c.t.Error(err)
		}
	}
	<-copied
	_ = cmd.Wait() // the exit code is asked for below
	return cmd.ProcessState.ExitCode()
}

// size prints the size of the console whenever that changes to rows by columns of the
// test's terminal, and ends when something is typed.
func size(p *hcstest.Process) uint32 {
	typed := make(chan struct{})
	go func() {
		defer close(typed)
		_, _ = p.Stdin.Read(make([]byte, 1))
	}()
	for {
		if width, height := p.ConsoleSize(); width == 70 && height == 20 {
			_, _ = io.WriteString(p.Stdout, "size 70x20")
			<-typed
			return 4
		}
		select {
		case <-p.Resized():
		case <-p.Killed():
			return 1
		}
	}
}

func TestDockerHasATerminal(t *testing.T) {
	eachCLI(t, played(hcstest.WithProgram("size", size)), func(c cli) {
		if code := c.onTerminal([]string{"run", "-it", "--rm", "nanoserver", "size"}, [2]string{"size 70x20", "x"}); code != 4 {
			c.t.Errorf("run -it: exit code %d", code)
		}
		c.do("run", "-d", "--name", "web", "nanoserver", "ping", "-t", "localhost")
		code := c.onTerminal([]string{"exec", "-it", "web", "cmd"}, [2]string{`C:\>`, "echo typed\r"}, [2]string{"\ntyped", "exit 3\r"})
		if code != 3 {
			c.t.Errorf("exec -it: exit code %d", code)
		}
		if code := c.onTerminal([]string{"exec", "-it", "web", "size"}, [2]string{"size 70x20", "x"}); code != 4 {
			c.t.Errorf("exec -it of size: exit code %d", code)
		}
	})
}

// Over TCP the command line does not see the keys to detach: what it copies to the
// connection loses the kind of the error.
func TestDockerDetachesFromATerminal(t *testing.T) {
	address := func(t *testing.T) string {
		t.Helper()
		p := play(t)
		path := filepath.Join(shortDir(t), "sock")
		p.serveOn("unix://" + path)
		return "unix://" + path
	}
	eachCLI(t, address, func(c cli) {
		code := c.onTerminal([]string{"run", "-it", "--name", "term", "nanoserver", "cmd"}, [2]string{`C:\>`, "\x10\x11"})
		if code != 0 {
			c.t.Errorf("exit code %d", code)
		}
		if got := c.do("inspect", "-f", "{{.State.Status}}", "term"); got != "running" {
			c.t.Errorf("it is %s", got)
		}
		if code := c.onTerminal([]string{"attach", "term"}, [2]string{"", "\r"}, [2]string{`C:\>`, "exit 5\r"}); code != 5 {
			c.t.Errorf("exit code of attach %d", code)
		}
	})
}
