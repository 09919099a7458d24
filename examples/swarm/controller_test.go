package swarm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gogotypes "github.com/gogo/protobuf/types"
	"github.com/moby/swarmkit/v2/agent/exec"
	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/examples/swarm"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// bench is a host with executors on it, one after the other.
type bench struct {
	t      *testing.T
	hcs    *hcstest.Service
	layers *hcstest.LayerStore
	host   *swarm.Host
	dir    string
	*swarm.Executor
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, hcs: newHCS(t), layers: hcstest.NewLayers(t), dir: t.TempDir()}
	var err error
	if b.host, err = swarm.NewSimulatedHost(b.hcs, b.layers, filepath.Join(b.dir, "host")); err != nil {
		t.Fatal(err)
	}
	b.begin()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.RemoveAll(ctx); err != nil {
			t.Error(err)
		}
		b.end()
	})
	return b
}

func (b *bench) begin() {
	b.t.Helper()
	e, err := swarm.NewExecutor(b.host, filepath.Join(b.dir, "executor"), map[string]string{"rack": "7"},
		engine.WithClientOptions(libcontainerd.WithCallTimeout(200*time.Millisecond)))
	if err != nil {
		b.t.Fatal(err)
	}
	b.Executor = e
}

func (b *bench) end() {
	b.t.Helper()
	if err := b.Close(context.Background()); err != nil {
		b.t.Error(err)
	}
}

// newTask is a task of a container that runs command.
func newTask(id string, command ...string) *api.Task {
	return &api.Task{
		ID: id, ServiceID: "service", NodeID: "node", Slot: 7,
		ServiceAnnotations: api.Annotations{Name: "web"},
		DesiredState:       api.TaskStateRunning,
		Spec: api.TaskSpec{Runtime: &api.TaskSpec_Container{Container: &api.ContainerSpec{
			Image: "nanoserver", Command: command, StopGracePeriod: gogotypes.DurationProto(time.Second),
		}}},
	}
}

func (b *bench) controller(t *api.Task) exec.Controller {
	b.t.Helper()
	c, err := b.Controller(t)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// must carries out calls of a controller.
func (b *bench) must(calls ...func(context.Context) error) {
	b.t.Helper()
	for i, call := range calls {
		if err := call(b.t.Context()); err != nil {
			b.t.Fatalf("call %d: %v", i+1, err)
		}
	}
}

func (b *bench) systems() int {
	b.t.Helper()
	systems, err := b.hcs.ComputeSystems("")
	if err != nil {
		b.t.Fatal(err)
	}
	return len(systems)
}

// nothingLeft waits until no layers are mounted either.
func (b *bench) nothingLeft() {
	b.t.Helper()
	for deadline := time.Now().Add(patience); b.systems()+len(b.layers.Mounted()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%d systems and %d mounts are left", b.systems(), len(b.layers.Mounted()))
		}
	}
}

func TestControllerCanBeCalledAgain(t *testing.T) {
	b := newBench(t)
	c := b.controller(newTask("one", "app"))
	b.must(c.Prepare, c.Prepare, c.Start, c.Start)
	if n := b.systems(); n != 1 {
		t.Errorf("%d containers run", n)
	}
	status, err := c.(exec.ContainerStatuser).ContainerStatus(t.Context())
	if err != nil || status.ContainerID != "one" || status.PID == 0 {
		t.Errorf("status %v, %v", status, err)
	}
	b.must(c.Shutdown, c.Shutdown, c.Terminate)
	b.nothingLeft()
	b.must(c.Remove, c.Remove)
	for name, call := range map[string]func(context.Context) error{"Prepare": c.Prepare, "Start": c.Start} {
		if err := call(t.Context()); !errors.Is(err, exec.ErrControllerClosed) && name == "Prepare" {
			t.Errorf("%s after Remove: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "executor", "logs", "one")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is left: %v", err)
	}
}

func TestTaskCanBeEndedAtAnyMoment(t *testing.T) {
	for name, calls := range map[string]func(exec.Controller) []func(context.Context) error{
		"before it is prepared": func(exec.Controller) []func(context.Context) error { return nil },
		"when it is prepared":   func(c exec.Controller) []func(context.Context) error { return []func(context.Context) error{c.Prepare} },
		"when it runs": func(c exec.Controller) []func(context.Context) error {
			return []func(context.Context) error{c.Prepare, c.Start}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.controller(newTask("one", "app"))
			b.must(calls(c)...)
			b.must(c.Shutdown, c.Remove)
			b.nothingLeft()
		})
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	b := newBench(t)
	hang := b.hcs.Inject(hcstest.Rule{Op: hcstest.OpCreate, Fault: hcstest.Fault{Hang: true, Done: true}})
	c := b.controller(newTask("one", "app"))
	b.must(c.Prepare)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-hang.Met()
		cancel()
	}()
	if err := c.Start(ctx); err != context.Canceled { //nolint:errorlint // swarmkit compares
		t.Errorf("Start: %v", err)
	}
	if err := c.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := c.Remove(ctx); err != context.Canceled { //nolint:errorlint // swarmkit compares
		t.Errorf("Remove: %v", err)
	}
	hang.Release()
	b.must(c.Remove)
	b.nothingLeft()
}

func TestStartThatHCSDoesNotAnswerFailsTheTask(t *testing.T) {
	b := newBench(t)
	hang := b.hcs.Hang(hcstest.OpCreate, "")
	c := b.controller(newTask("one", "app"))
	b.must(c.Prepare)
	err := c.Start(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || exec.IsTemporary(err) {
		t.Errorf("Start: %v, temporary %v", err, exec.IsTemporary(err))
	}
	task := newTask("one", "app")
	task.Status.State = api.TaskStateStarting
	status, err := exec.Do(t.Context(), task, c)
	if err != nil || status.State != api.TaskStateFailed {
		t.Errorf("the task is %v, %v", status.State, err)
	}
	hang.Release()
	b.must(c.Remove)
	b.nothingLeft()
}

func TestWaitTellsTheExitCode(t *testing.T) {
	for name, test := range map[string]struct {
		command []string
		code    int
	}{
		"0":                   {[]string{"cmd", "/c", "exit 0"}, 0},
		"3":                   {[]string{"fails"}, 3},
		"a status of Windows": {[]string{"crashes"}, -1073741510},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.controller(newTask("one", test.command...))
			b.must(c.Prepare, c.Start)
			err := c.Wait(t.Context())
			code := 0
			if coder, ok := err.(exec.ExitCoder); ok { //nolint:errorlint // as swarmkit does it
				code = coder.ExitCode()
			}
			if code != test.code || (err == nil) != (code == 0) {
				t.Errorf("%v, exit code %d, want %d", err, code, test.code)
			}
		})
	}
}

func TestNextExecutorTakesUpTasksAndEndsOthers(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{"kept", "stray"} {
		c := b.controller(newTask(id, "app"))
		b.must(c.Prepare, c.Start)
	}
	prepared := b.controller(newTask("prepared", "app"))
	b.must(prepared.Prepare)
	b.end()
	if n := b.systems(); n != 2 {
		t.Fatalf("%d containers outlive the executor", n)
	}

	b.begin()
	kept, prepared := b.controller(newTask("kept", "app")), b.controller(newTask("prepared", "app"))
	if err := kept.Start(t.Context()); err != exec.ErrTaskStarted { //nolint:errorlint // swarmkit compares
		t.Errorf("Start: %v", err)
	}
	b.must(func(ctx context.Context) error { return b.Configure(ctx, &api.Node{}) }, prepared.Start)
	for deadline := time.Now().Add(patience); b.isThere("stray"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the stray is left")
		}
	}
	if !b.isThere("kept") || !b.isThere("prepared") {
		t.Error("a task is lost")
	}
	waited := make(chan error, 1)
	go func() { waited <- kept.Wait(t.Context()) }()
	b.must(kept.Shutdown)
	if err := <-waited; err != nil && !isExit(err) {
		t.Errorf("Wait: %v", err)
	}
	b.must(kept.Remove, prepared.Remove)
	b.nothingLeft()
}

func isExit(err error) bool {
	var coder exec.ExitCoder
	return errors.As(err, &coder)
}

// isThere reports whether a container is on HCS or has layers mounted.
func (b *bench) isThere(id string) bool {
	b.t.Helper()
	systems, err := b.hcs.ComputeSystems("")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range systems {
		if s.ID == id {
			return true
		}
	}
	for _, folder := range b.layers.Mounted() {
		if filepath.Base(folder) == id {
			return true
		}
	}
	return false
}

func TestLostTaskFails(t *testing.T) {
	b := newBench(t)
	if err := b.controller(newTask("one", "app")).Wait(t.Context()); err == nil || exec.IsTemporary(err) {
		t.Errorf("Wait: %v", err)
	}
}

func TestRemovalGoesOnUntilHCSEndsTheContainer(t *testing.T) {
	b := newBench(t)
	c := b.controller(newTask("one", "app"))
	b.must(c.Prepare, c.Start)
	for _, op := range []hcstest.Op{hcstest.OpShutdown, hcstest.OpTerminate, hcstest.OpKill} {
		b.hcs.Inject(hcstest.Rule{Op: op, ID: "one", Times: 2, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied}})
	}
	b.must(c.Remove)
	b.nothingLeft()
}

func TestUpdateCannotChangeTheContainer(t *testing.T) {
	b := newBench(t)
	c := b.controller(newTask("one", "app"))
	b.must(c.Prepare, c.Start)
	stopped := newTask("one", "app")
	stopped.DesiredState = api.TaskStateShutdown
	if err := c.Update(t.Context(), stopped); err != nil {
		t.Errorf("another desired state: %v", err)
	}
	if err := c.Update(t.Context(), newTask("one", "other")); !errors.Is(err, exec.ErrTaskUpdateRejected) {
		t.Errorf("another command: %v", err)
	}
}

func TestOtherRuntimesAreRefused(t *testing.T) {
	b := newBench(t)
	task := newTask("one")
	task.Spec.Runtime = &api.TaskSpec_Generic{Generic: &api.GenericRuntimeSpec{Kind: "vm"}}
	if _, err := b.Controller(task); !errors.Is(err, exec.ErrRuntimeUnsupported) {
		t.Errorf("%v", err)
	}
}

func TestDescribeIsForPlacement(t *testing.T) {
	b := newBench(t)
	d, err := b.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"windows.build": "20348", "isolation.process": "true", "isolation.hyperv": "true", "rack": "7"}
	if fmt.Sprint(d.Engine.Labels) != fmt.Sprint(want) {
		t.Errorf("labels %v", d.Engine.Labels)
	}
	if d.Resources.NanoCPUs != 4e9 || d.Resources.MemoryBytes <= 0 || d.Platform.OS != "windows" || d.Hostname == "" {
		t.Errorf("%v", d)
	}
	d.Hostname = "changed"
	if again, _ := b.Describe(t.Context()); again.Hostname == "changed" {
		t.Error("the description is shared")
	}
}

// published gathers what is published.
type published struct {
	lines chan string
}

func (p published) Publish(_ context.Context, m api.LogMessage) error {
	p.lines <- fmt.Sprintf("%s/%s %v %s", m.Context.ServiceID, m.Context.TaskID, m.Stream, m.Data)
	return nil
}

func TestLogsArePublished(t *testing.T) {
	const one, two = "service/one LOG_STREAM_STDOUT one\r\n", "service/one LOG_STREAM_STDOUT two\r\n"
	for name, test := range map[string]struct {
		program string
		options api.LogSubscriptionOptions
		want    string
	}{
		"all":           {"speaks", api.LogSubscriptionOptions{}, one + two},
		"followed":      {"speaks", api.LogSubscriptionOptions{Follow: true}, one + two},
		"the last line": {"speaks", api.LogSubscriptionOptions{Tail: -2}, two},
		"none of them":  {"speaks", api.LogSubscriptionOptions{Tail: -1}, ""},
		"since later":   {"speaks", api.LogSubscriptionOptions{Since: &gogotypes.Timestamp{Seconds: time.Now().Unix() + 3600}}, ""},
		"one stream": {
			"complains", api.LogSubscriptionOptions{Streams: []api.LogStream{api.LogStreamStderr}},
			"service/one LOG_STREAM_STDERR two\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c := b.controller(newTask("one", test.program))
			p := published{make(chan string, 10)}
			followed := make(chan error, 1)
			logs := func() error { return c.(exec.ControllerLogs).Logs(t.Context(), p, test.options) }
			if test.options.Follow { // from before the start
				go func() { followed <- logs() }()
			}
			b.must(c.Prepare, c.Start, c.Wait)
			if !test.options.Follow {
				followed <- logs()
			}
			if err := <-followed; err != nil {
				t.Fatal(err)
			}
			close(p.lines)
			var got strings.Builder
			for line := range p.lines {
				got.WriteString(line)
			}
			if got.String() != test.want {
				t.Errorf("got %q, want %q", got.String(), test.want)
			}
		})
	}
}

func TestLogsFromTheStartCannotBeLeftOut(t *testing.T) {
	b := newBench(t)
	c := b.controller(newTask("one", "app"))
	err := c.(exec.ControllerLogs).Logs(t.Context(), published{}, api.LogSubscriptionOptions{Tail: 5})
	if err == nil || !strings.Contains(err.Error(), "tail") {
		t.Errorf("%v", err)
	}
}
