package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moby/swarmkit/v2/api"
	"github.com/sirupsen/logrus"
)

// site is where a swarm of two nodes runs.
type site struct {
	t   *testing.T
	dir string
}

func newSite(t *testing.T) *site {
	dir, err := os.MkdirTemp("", "swarm") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &site{t, dir}
}

// try runs a command, on the socket of the manager.
func (s *site) try(ctx context.Context, args ...string) (stdout string, err error) {
	var out, errs bytes.Buffer
	root := newRoot(&out, &errs, func(logrus.Level) {})
	root.SetArgs(append([]string{"--control", filepath.Join(s.dir, "control.sock")}, args...))
	err = root.ExecuteContext(ctx)
	return out.String(), err
}

func (s *site) swarmnode(args ...string) string {
	s.t.Helper()
	out, err := s.try(s.t.Context(), args...)
	if err != nil {
		s.t.Fatalf("swarmnode %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// eventually repeats a command until its output has a text.
func (s *site) eventually(want string, args ...string) string {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, err := s.try(s.t.Context(), args...)
		if err == nil && strings.Contains(out, want) {
			return strings.TrimSpace(out)
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("swarmnode %s: %q, %v, without %q", strings.Join(args, " "), out, err, want)
		}
	}
}

// node runs a node until the test ends.
func (s *site) node(name string, args ...string) {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := s.try(ctx, append([]string{"run", "--simulate", "--state-dir", filepath.Join(s.dir, name), "--hostname", name}, args...)...)
		ended <- err
	}()
	s.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			s.t.Errorf("node %s: %v", name, err)
		}
	})
}

func TestTwoNodesByHand(t *testing.T) {
	s := newSite(t)
	s.node("alpha", "--listen", "127.0.0.1:0", "--drain")
	token := s.eventually("SWMTKN-", "token", "worker")
	if manager := s.eventually("SWMTKN-", "token", "manager"); manager == token {
		t.Error("the tokens of worker and manager are the same")
	}
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(s.eventually("leader 127.0.0.1:", "node", "ls"))
	s.node("beta", "--join", addr, "--token", token, "--label", "rack=7")
	s.eventually("beta", "node", "ls")

	s.swarmnode("service", "create", "--name", "web", "--image", "nanoserver", "--replicas", "3",
		"--constraint", "engine.labels.rack==7", "--env", "SLOT={{.Task.Slot}}", "--limit-memory", "64m", "--restart-delay", "100ms",
		"--", "cmd", "/c", "echo slot %SLOT%& ping -t localhost")
	s.eventually("3/3", "service", "ls")
	if out := s.swarmnode("task", "ls", "web"); strings.Count(out, "beta") != 3 {
		t.Errorf("task ls: %s", out)
	}
	s.eventually("| slot 2", "service", "logs", "web")
	s.swarmnode("service", "scale", "web", "5")
	s.eventually("5/5", "service", "ls")
	s.swarmnode("service", "update", "web", "--update-parallelism", "0", "--update-monitor", "1ms", "--", "cmd", "/c", "ping -t 127.0.0.1")
	s.eventually("completed", "service", "ls")
	s.eventually("5/5", "service", "ls")

	s.swarmnode("node", "drain", "beta")
	s.eventually("0/5", "service", "ls")
	s.swarmnode("node", "activate", "beta")
	s.eventually("5/5", "service", "ls")
	s.swarmnode("service", "rm", "web")
	for name, args := range map[string][]string{
		"no such service": {"service", "logs", "web"},
		"no such node":    {"node", "drain", "gamma"},
		"no number":       {"service", "scale", "web", "many"},
	} {
		if out, err := s.try(t.Context(), args...); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestNoManagerIsSaidPlainly(t *testing.T) {
	if _, err := newSite(t).try(t.Context(), "node", "ls"); err == nil || !strings.HasPrefix(err.Error(), "no manager answers at ") {
		t.Errorf("%v", err)
	}
}

func TestMountFlag(t *testing.T) {
	for text, want := range map[string]api.Mount{
		`type=bind,source=C:\a,target=C:\b`:              {Type: api.MountTypeBind, Source: `C:\a`, Target: `C:\b`},
		`source=C:\a,target=C:\b,readonly`:               {Type: api.MountTypeBind, Source: `C:\a`, Target: `C:\b`, ReadOnly: true},
		`type=npipe,source=\\.\pipe\a,target=\\.\pipe\b`: {Type: api.MountTypeNamedPipe, Source: `\\.\pipe\a`, Target: `\\.\pipe\b`},
		`"source=C:\a, b",target=C:\b`:                   {Type: api.MountTypeBind, Source: `C:\a, b`, Target: `C:\b`},
	} {
		if got, err := parseMount(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "type=disk", "readonly=yes", "x=y", `"`} {
		if got, err := parseMount(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func FuzzMountFlag(f *testing.F) {
	f.Add(`type=bind,source=C:\a,target=C:\b,readonly`)
	f.Add(`"source=C:\a, b"`)
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseMount(text); err == nil && m.ReadOnly && !strings.Contains(text, "readonly") {
			t.Errorf("%q is read-only", text)
		}
	})
}
