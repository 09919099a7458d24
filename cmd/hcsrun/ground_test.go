package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// site is a host with images, layers and networks.
type site struct {
	command
	service  *hcstest.Service
	layers   *hcstest.LayerStore
	networks *simulatedNetworks
	image    string // folder of an image in Docker's store
	store    string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		service: hcstest.New(t), layers: hcstest.NewLayers(t), networks: &simulatedNetworks{},
		image: filepath.Join(t.TempDir(), "top"), store: lastingDir(t),
	}
	base := filepath.Join(filepath.Dir(s.image), "base")
	for _, folder := range []string{s.image, base} {
		if err := os.MkdirAll(filepath.Join(folder, "Files"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeJSON(t, filepath.Join(s.image, "layerchain.json"), []string{base})
	s.command = command{hostHCS: s.service, driver: s.layers, networks: s.networks}
	return s
}

// lastingDir is a folder that the test does not remove. This process may keep a
// mount in it, and Windows then does not let its record be deleted.
func lastingDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hcsrun") //nolint:usetesting // that would fail on such a record
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func writeJSON(t *testing.T, file string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) hcsrun(t *testing.T, args ...string) result {
	t.Helper()
	return s.run(t, append([]string{"--store", s.store}, args...)...)
}

// runImage runs a container that needs both a mount and an endpoint.
func (s *site) runImage(t *testing.T, command ...string) result {
	t.Helper()
	return s.hcsrun(t, append([]string{"run", "--name", "web", "--network", "nat", "--image", s.image}, command...)...)
}

// left is what is still mounted or connected.
func (s *site) left(t *testing.T) []string {
	t.Helper()
	left := s.layers.Mounted()
	left = append(left, slices.Collect(maps.Keys(s.networks.endpoints))...)
	mounts, err := layers.List(filepath.Join(s.store, "scratches"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		left = append(left, m.Scratch+" is recorded")
	}
	return left
}

// leave leaves a mount and an endpoint, as a killed hcsrun does.
func (s *site) leave(t *testing.T, id string) {
	t.Helper()
	scratch, err := layers.Scratch(s.store, id)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := layers.Docker(s.image)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return s.layers.CreateScratch(scratch, stack) },
		func() error { return s.layers.Activate(scratch) },
		func() error { return s.layers.Prepare(scratch, stack) },
		func() error { _, err := s.networks.Connect("nat", endpointName(id)); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	writeJSON(t, scratch+".mount.json", map[string]any{"layers": stack, "container": id, "since": time.Now()})
}

func TestRunOfAnImageStandsOnLayersAndAnEndpoint(t *testing.T) {
	s := newSite(t)
	got := s.runImage(t, "cmd", "/c", "echo hello&exit 3")
	if got != (result{code: 3, stdout: "hello\r\n"}) {
		t.Errorf("%v", got)
	}
	document := s.service.Calls(hcstest.OpCreate)[0].Document
	for _, want := range []string{filepath.Join(s.store, "scratches", "web"), s.image, "EndpointList", `\\?\Volume{`} {
		if !strings.Contains(strings.ReplaceAll(document, `\\`, `\`), want) {
			t.Errorf("the document lacks %s: %s", want, document)
		}
	}
	if left := s.left(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestNothingStaysWhenAStepFails(t *testing.T) {
	type fault = func(*site)
	tests := map[string]struct {
		fault fault
		want  string
	}{
		"HCS cannot create": {func(s *site) { s.service.Fail(hcstest.OpCreate, "", libcontainerd.CodeAccessDenied) }, "ACCESS_DENIED"},
		"HCS cannot start":  {func(s *site) { s.service.Fail(hcstest.OpStart, "", libcontainerd.CodeUnexpectedExit) }, "UNEXPECTED_EXIT"},
		"no such program": {func(s *site) {
			s.service.Fail(hcstest.OpCreateProcess, "", libcontainerd.CodeFileNotFound)
		}, "FILE_NOT_FOUND"},
	}
	for _, op := range []hcstest.Op{hcstest.OpCreateScratch, hcstest.OpActivate, hcstest.OpPrepare, hcstest.OpMountPath} {
		tests[fmt.Sprint(op, " fails")] = struct {
			fault fault
			want  string
		}{func(s *site) { s.layers.Fail(op, "", libcontainerd.CodeAccessDenied) }, "ACCESS_DENIED"}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			test.fault(s)
			got := s.runImage(t, "cmd", "/c", "echo hello")
			if got.code < exitFailure || !strings.Contains(got.stderr, test.want) || got.stdout != "" {
				t.Errorf("%v", got)
			}
			if left := s.left(t); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
	t.Run("no such network", func(t *testing.T) {
		s := newSite(t)
		got := s.hcsrun(t, "run", "--network", "lan", "--image", s.image, "cmd")
		if got.code != exitFailure || !strings.Contains(got.stderr, `network "lan"`) || len(s.left(t)) > 0 {
			t.Errorf("%v, left %q", got, s.left(t))
		}
	})
	t.Run("no such image", func(t *testing.T) {
		s := newSite(t)
		got := s.hcsrun(t, "run", "--image", "none", "cmd")
		if got.code != exitFailure || !strings.Contains(got.stderr, `image "none"`) || len(s.left(t)) > 0 {
			t.Errorf("%v, left %q", got, s.left(t))
		}
	})
}

func TestNothingStaysAfterCtrlC(t *testing.T) {
	for name, test := range map[string]struct {
		interrupts []time.Duration
		hang       func(*site) *hcstest.Injection
		code       uint32
	}{
		"while layers are mounted": {
			[]time.Duration{100 * time.Millisecond},
			func(s *site) *hcstest.Injection { return s.layers.Hang(hcstest.OpPrepare, "") }, exitFailure,
		},
		"while the container starts": {
			[]time.Duration{100 * time.Millisecond},
			func(s *site) *hcstest.Injection { return s.service.Hang(hcstest.OpStart, "") }, 0xc000013a,
		},
		"while the container runs": {[]time.Duration{300 * time.Millisecond}, nil, 0xc000013a},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if test.hang != nil {
				time.AfterFunc(200*time.Millisecond, test.hang(s).Release)
			}
			s.interrupts = test.interrupts
			if got := s.runImage(t, "ping", "-t", "localhost"); got.code != test.code {
				t.Errorf("%v", got)
			}
			if left := s.left(t); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func TestWhatCannotBeTakenBackIsNamed(t *testing.T) {
	s := newSite(t)
	s.layers.Inject(hcstest.Rule{Op: hcstest.OpUnprepare, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied}})
	got := s.runImage(t, "cmd", "/c", "echo hello")
	if got.code != exitFailure || got.stdout != "hello\r\n" || !strings.Contains(got.stderr, `the mount of container "web" is left`) || !strings.Contains(got.stderr, "hcsrun layer unmount") {
		t.Errorf("%v", got)
	}
	if len(s.networks.endpoints) > 0 {
		t.Error("the endpoint was not even tried")
	}
	if got := s.hcsrun(t, "layer", "ls"); !strings.Contains(got.stdout, "web") {
		t.Errorf("%v", got)
	}
	s.layers.Restart() // the next step would be the user's
}

// A container that may still run keeps its mount and its endpoint.
func TestWhatMayRunKeepsItsGround(t *testing.T) {
	s := newSite(t)
	s.service.Hang(hcstest.OpShutdown, "")
	s.service.Hang(hcstest.OpTerminate, "")
	s.interrupts = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}
	got := s.runImage(t, "ping", "-t", "localhost")
	if got.code != exitFailure || !strings.Contains(got.stderr, "the mount of container \"web\" stays") || len(s.left(t)) != 3 {
		t.Errorf("%v, left %q", got, s.left(t))
	}
	s.service.Heal()
	s.layers.Restart()
}

func TestKillAndReconcileReleaseWhatIsLeft(t *testing.T) {
	for name, args := range map[string][]string{
		"kill": {"kill", "web"}, "kill of what is gone": {"kill", "web"}, "reconcile": {"reconcile"}, "reconcile hcsrun": {"reconcile", "hcsrun"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.leave(t, "web")
			if name == "kill" {
				e := startEngine(t, s.service, "web")
				defer e.Close()
			}
			if got := s.hcsrun(t, args...); got.code != 0 {
				t.Errorf("%v", got)
			}
			if left := s.left(t); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func TestReconcileLeavesWhatOthersStandOn(t *testing.T) {
	s := newSite(t)
	s.leave(t, "web")
	e := startEngine(t, s.service, "web") // of owner docker
	if got := s.hcsrun(t, "reconcile"); got.code != 0 || len(s.left(t)) != 3 {
		t.Errorf("%v, left %q", got, s.left(t))
	}
	if got := s.hcsrun(t, "kill", "web"); got.code != 0 || len(s.left(t)) > 0 {
		t.Errorf("%v, left %q", got, s.left(t))
	}
	<-e.exits
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// A config.json as containerd writes it.
func TestRunOfASpecThatNobodyHasMounted(t *testing.T) {
	s := newSite(t)
	scratch := filepath.Join(t.TempDir(), "scratch")
	file := filepath.Join(t.TempDir(), "config.json")
	writeJSON(t, file, map[string]any{
		"ociVersion": "1.1.0",
		"process":    map[string]any{"user": map[string]any{"username": "ContainerUser"}, "args": []string{"cmd", "/c", "echo hi"}, "cwd": `C:\`},
		"root":       map[string]any{"path": ""},
		"windows": map[string]any{
			"layerFolders": []string{s.image, scratch},
			"network":      map[string]any{"networkNamespace": "b2c1ac70-c7b4-4a3a-8a1c-1f1c6a1a0001"},
			"resources":    map[string]any{"cpu": map[string]any{"shares": 0}},
		},
	})
	got := s.hcsrun(t, "run", file)
	if got.code != 0 || got.stdout != "hi\r\n" {
		t.Errorf("%v", got)
	}
	document := s.service.Calls(hcstest.OpCreate)[0].Document
	if !strings.Contains(document, `"EndpointList":["0a6ec2f6-3d3c-4c4f-9a0e-5d6f0e0c0002"]`) || !strings.Contains(document, `\\\\?\\Volume{`) {
		t.Errorf("%s", document)
	}
	if left := s.left(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if got := (command{}).run(t, "config", "--simulate", file); got.code != 0 || !strings.Contains(got.stdout, "EndpointList") {
		t.Errorf("%v", got)
	}
}

func TestLayerMountLastsUntilUnmount(t *testing.T) {
	s := newSite(t)
	scratch := filepath.Join(lastingDir(t), "scratch")
	got := s.hcsrun(t, "layer", "mount", s.image, scratch)
	if got.code != 0 || !strings.HasPrefix(got.stdout, `\\?\Volume{`) {
		t.Errorf("%v", got)
	}
	if got := s.hcsrun(t, "layer", "ls", filepath.Dir(scratch)); !strings.Contains(got.stdout, "scratch") {
		t.Errorf("%v", got)
	}
	s.layers.Restart() // this process still uses it; the tests on Windows try unmount
	if got := s.hcsrun(t, "layer", "unmount", "nothing"); got.code != exitFailure || !strings.Contains(got.stderr, "not found") {
		t.Errorf("%v", got)
	}
	s = newSite(t)
	s.leave(t, "web")
	if got := s.hcsrun(t, "layer", "unmount", "web"); got.code != 0 || len(s.layers.Mounted()) > 0 {
		t.Errorf("%v", got)
	}
}
