package swarm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	gogotypes "github.com/gogo/protobuf/types"
	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
)

func TestTaskBecomesASpec(t *testing.T) {
	stack := layers.Layers{`C:\top`, `C:\base`}
	images := func(string) (layers.Layers, error) { return stack, nil }
	node := &api.NodeDescription{Hostname: "alpha", Platform: &api.Platform{}, Resources: &api.Resources{NanoCPUs: 4 * nanoCPUs}}
	spec := func(change func(*libcontainerd.Spec)) libcontainerd.Spec {
		s := libcontainerd.Spec{Process: libcontainerd.Process{Args: []string{"app"}, Cwd: `C:\`}}
		s.Windows.LayerPaths = stack
		change(&s)
		return s
	}
	for name, test := range map[string]struct {
		change func(*api.TaskSpec, *api.ContainerSpec)
		want   libcontainerd.Spec
	}{
		"the least": {func(*api.TaskSpec, *api.ContainerSpec) {}, spec(func(*libcontainerd.Spec) {})},
		"its process": {func(_ *api.TaskSpec, c *api.ContainerSpec) {
			c.Args, c.Dir, c.User, c.TTY = []string{`two words`}, `C:\app`, "ContainerUser", true
			c.Env, c.Hostname = []string{"SLOT={{.Task.Slot}}"}, "web-{{.Task.Slot}}"
		}, spec(func(s *libcontainerd.Spec) {
			s.Hostname = "web-7"
			s.Process = libcontainerd.Process{
				Args: []string{"app", `"two words"`}, Cwd: `C:\app`, Env: []string{"SLOT=7"},
				User: libcontainerd.User{User: "ContainerUser"}, Terminal: true,
			}
		})},
		"its mounts": {func(_ *api.TaskSpec, c *api.ContainerSpec) {
			c.Mounts = []api.Mount{
				{Type: api.MountTypeBind, Source: `D:\data`, Target: `C:\data`, ReadOnly: true},
				{Type: api.MountTypeNamedPipe, Source: `\\.\pipe\a`, Target: `\\.\pipe\b`},
			}
		}, spec(func(s *libcontainerd.Spec) {
			s.Mounts = []libcontainerd.Mount{{Source: `D:\data`, Destination: `C:\data`, Readonly: true}}
			s.Windows.Pipes = []libcontainerd.Pipe{{Source: `\\.\pipe\a`, Name: "b"}}
		})},
		"its limits": {func(s *api.TaskSpec, _ *api.ContainerSpec) {
			s.Resources = &api.ResourceRequirements{
				Limits:       &api.Resources{NanoCPUs: nanoCPUs / 2, MemoryBytes: 1 << 30},
				Reservations: &api.Resources{NanoCPUs: nanoCPUs},
			}
		}, spec(func(s *libcontainerd.Spec) {
			s.Windows.Resources = &libcontainerd.Resources{
				Memory: &libcontainerd.Memory{Limit: new(int64(1 << 30))},
				CPU:    &libcontainerd.CPU{Maximum: new(uint64(1250))},
			}
		})},
		"its utility VM": {func(s *api.TaskSpec, c *api.ContainerSpec) {
			c.Isolation = api.ContainerIsolationHyperV
			s.Resources = &api.ResourceRequirements{Limits: &api.Resources{NanoCPUs: nanoCPUs * 3 / 2}}
		}, spec(func(s *libcontainerd.Spec) {
			s.Windows.HvRuntime = &libcontainerd.HvRuntime{}
			s.Windows.Resources = &libcontainerd.Resources{CPU: &libcontainerd.CPU{Count: new(uint64(2)), Maximum: new(uint64(7500))}}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			c := &api.ContainerSpec{Image: "nanoserver", Command: []string{"app"}}
			task := &api.Task{ID: "one", Slot: 7, Spec: api.TaskSpec{Runtime: &api.TaskSpec_Container{Container: c}}}
			test.change(&task.Spec, c)
			got, err := newContainer(task, node, images)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.spec, test.want) {
				t.Errorf("got  %+v\nwant %+v", got.spec, test.want)
			}
		})
	}
}

func TestGraceIsTheTasks(t *testing.T) {
	for name, test := range map[string]struct {
		period *gogotypes.Duration
		want   time.Duration
	}{
		"given": {gogotypes.DurationProto(time.Minute), time.Minute},
		"0":     {gogotypes.DurationProto(0), 0},
		"none":  {nil, defaultGrace},
		"wrong": {&gogotypes.Duration{Seconds: -1}, defaultGrace},
	} {
		task := &api.Task{Spec: api.TaskSpec{Runtime: &api.TaskSpec_Container{Container: &api.ContainerSpec{StopGracePeriod: test.period}}}}
		if got := grace(task); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestImagesOfAFile(t *testing.T) {
	images, err := parseImages("images.json", []byte(`{"nanoserver": {"layers": ["C:\\top", "C:\\base"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if stack, err := images("nanoserver"); err != nil || !reflect.DeepEqual(stack, layers.Layers{`C:\top`, `C:\base`}) {
		t.Errorf("%v, %v", stack, err)
	}
	if _, err := images("other"); err == nil {
		t.Error("an image that is not there was found")
	}
	top, base := t.TempDir(), t.TempDir()
	chain, _ := json.Marshal([]string{base})
	if err := os.WriteFile(filepath.Join(top, "layerchain.json"), chain, 0o600); err != nil {
		t.Fatal(err)
	}
	file, _ := json.Marshal(map[string]any{"servercore": map[string]string{"folder": top}})
	if images, err = parseImages("images.json", file); err != nil {
		t.Fatal(err)
	}
	if stack, err := images("servercore"); err != nil || !reflect.DeepEqual(stack, layers.Layers{top, base}) {
		t.Errorf("%v, %v", stack, err)
	}
	for _, text := range []string{``, `[]`, `{"a": {}}`, `{"a": {"layers": []}}`, `{"a": "b"}`} {
		if _, err := parseImages("images.json", []byte(text)); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func FuzzImages(f *testing.F) {
	f.Add([]byte(`{"nanoserver": {"layers": ["C:\\top"]}}`), "nanoserver")
	f.Add([]byte(`{"a": {}}`), "a")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		images, err := parseImages("f", text)
		if err != nil {
			return
		}
		if stack, err := images(name); err == nil && len(stack) == 0 {
			t.Errorf("%q has no layers", name)
		}
	})
}
