package engine_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEngine makes an engine that is closed when the test ends.
func newEngine(t testing.TB, svc libcontainerd.ComputeService, options ...engine.Option) *engine.Engine {
	t.Helper()
	logger := logrus.New()
	logger.SetOutput(t.Output())
	eng, err := engine.New(append([]engine.Option{
		engine.WithComputeService(svc), engine.WithLogger(logrus.NewEntry(logger)),
	}, options...)...)
	must(t, err)
	t.Cleanup(func() {
		if err := eng.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return eng
}

// spec is a container with process isolation that runs args.
func spec(args ...string) libcontainerd.Spec {
	return libcontainerd.Spec{
		Process: libcontainerd.Process{Args: args, Cwd: `C:\`},
		Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{LayerFolder: `C:\layers\scratch`, LayerPaths: []string{`C:\layers\base`}},
	}
}

// hyperv is spec with Hyper-V isolation.
func hyperv(args ...string) libcontainerd.Spec {
	s := spec(args...)
	s.Root.Path = ""
	s.Windows.HvRuntime = &libcontainerd.HvRuntime{ImagePath: `C:\layers\base\UtilityVM`}
	return s
}

// idle runs until it is ended.
var idle = []string{"ping", "-t", "localhost"}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustRun(t testing.TB, eng *engine.Engine, id string, spec libcontainerd.Spec, options ...engine.RunOption) *engine.Container {
	t.Helper()
	c, err := eng.Run(context.Background(), id, spec, options...)
	must(t, err)
	return c
}

func mustWait(t testing.TB, w interface {
	Wait(context.Context) (engine.Exit, error)
}) engine.Exit {
	t.Helper()
	exit, err := w.Wait(context.Background())
	must(t, err)
	return exit
}

// mustKill ends a container that runs, so that nothing is left of it.
func mustKill(t testing.TB, c *engine.Container) {
	t.Helper()
	must(t, c.Kill(context.Background()))
	mustWait(t, c)
}

func TestRunIsLikeARunOfOsExec(t *testing.T) {
	for _, test := range []struct {
		name           string
		args           []string
		terminal       bool
		stdin          io.Reader
		code           uint32
		stdout, stderr string
	}{
		{name: "exit code", args: []string{"cmd", "/c", "exit 3"}, code: 3},
		{name: "output", args: []string{"cmd", "/c", "echo hello"}, stdout: "hello\r\n"},
		{name: "errors apart", args: []string{"cmd", "/c", "echo oops 1>&2"}, stderr: "oops \r\n"},
		{name: "input", args: []string{"sort"}, stdin: strings.NewReader("b\r\na\r\n"), stdout: "a\r\nb\r\n"},
		{name: "no input", args: []string{"sort"}, stdout: "\r\n"},
		{name: "terminal", args: []string{"cmd", "/c", "echo oops 1>&2"}, terminal: true, stdout: "oops \r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			eng := newEngine(t, hcstest.New(t))
			var stdout, stderr bytes.Buffer
			s := spec(test.args...)
			s.Process.Terminal = test.terminal
			c := mustRun(t, eng, "web1", s, engine.WithStdio(test.stdin, &stdout, &stderr))
			for range 2 {
				if exit := mustWait(t, c); exit.Code != test.code || exit.Err != nil || exit.At.IsZero() {
					t.Errorf("exit %+v, want code %d", exit, test.code)
				}
			}
			if stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("output %q and %q, want %q and %q", &stdout, &stderr, test.stdout, test.stderr)
			}
			status := c.Status()
			if status.Phase != engine.PhaseExited || status.ExitCode != test.code || status.Pid != 0 || status.StartedAt.IsZero() {
				t.Errorf("status %+v", status)
			}
		})
	}
}
