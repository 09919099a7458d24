package endtoend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// owner marks the compute systems of these tests, because others use a real host,
// too.
const owner = "libcontainerd-endtoend"

// host is the HCS that a test runs on: the stand-in, or that of this Windows host.
type host struct {
	log       callLog       // of the stand-in
	layers    layers.Layers // nil: the stand-in, which needs none
	scratches string        // the folder of the host's scratches
}

// anyHCS is for a test that the stand-in and a real HCS must pass.
func anyHCS(t *testing.T) *host {
	t.Helper()
	if os.Getenv("LIBCONTAINERD_STANDIN") != "" {
		_, log := standIn(t)
		return &host{log: log}
	}
	if os.Getenv("LIBCONTAINERD_HCS") == "" {
		t.Skip("LIBCONTAINERD_HCS=1 runs it on the HCS of this host: see CONTRIBUTING.md")
	}
	return realHCS(t)
}

func realHCS(t *testing.T) *host {
	t.Helper()
	folder := os.Getenv("LIBCONTAINERD_HCS_LAYERS")
	if folder == "" {
		t.Fatal("LIBCONTAINERD_HCS_LAYERS must name the folder of an image in Docker's store: see CONTRIBUTING.md")
	}
	stack, err := layers.Docker(folder)
	if err != nil {
		t.Fatal(err)
	}
	return &host{layers: stack, scratches: t.TempDir()}
}

func (h *host) isReal() bool { return h.layers != nil }

// spec describes a container that runs a command. Its mount is released when the
// test ends.
func (h *host) spec(t *testing.T, id string, args ...string) libcontainerd.Spec {
	t.Helper()
	spec, unmount := h.mount(t, id, args...)
	t.Cleanup(unmount)
	return spec
}

// mount is like spec, for a test that unmounts by itself, after the exit.
func (h *host) mount(t *testing.T, id string, args ...string) (spec libcontainerd.Spec, unmount func()) {
	t.Helper()
	spec = testSpec(args...)
	if !h.isReal() {
		return spec, func() {}
	}
	scratch := filepath.Join(h.scratches, fmt.Sprintf("endtoend-%d-%s", os.Getpid(), id)) // unique on the host
	mounted, err := layers.Mount(t.Context(), h.layers, scratch, layers.WithContainer(id))
	if err != nil {
		t.Fatal(err)
	}
	mounted.Apply(&spec)
	spec.Mounts = []libcontainerd.Mount{{Source: filepath.Dir(executable(t)), Destination: programFolder, Readonly: true}}
	return spec, func() {
		endLeftOver(t, id)
		if err := mounted.Unmount(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// endLeftOver ends the compute system that a failed test has left, because the
// layers of a running container must not be unmounted.
func endLeftOver(t *testing.T, id string) {
	t.Helper()
	service, err := libcontainerd.HostService()
	if err != nil {
		t.Error(err)
		return
	}
	system, err := service.OpenComputeSystem(id)
	if errdefs.IsNotFound(err) {
		return
	}
	if err != nil {
		t.Errorf("open what is left of %s: %v", id, err)
		return
	}
	t.Errorf("container %s is left over", id)
	if err := system.Terminate(); err != nil {
		t.Error(err)
	}
	_ = system.Wait()
	if err := system.Close(); err != nil {
		t.Error(err)
	}
}

// programFolder is where a container of a real host finds the test binary.
const programFolder = `C:\endtoend`

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// inside is the command line with which the test binary does job in a container.
func (h *host) inside(t *testing.T, job string) string {
	t.Helper()
	if !h.isReal() {
		return insideLine(job)
	}
	return fmt.Sprintf(`%s inside %s`, filepath.Join(programFolder, filepath.Base(executable(t))), job)
}

// endings matches the codes of processes that were ended from outside. The codes
// of a real host are not known for certain: the probes record them.
var endings = regexp.MustCompile(fmt.Sprintf(` (%d|%d)\b`, killedCode, shutdownCode))

// wantTrace compares the history of a container.
func (h *host) wantTrace(t *testing.T, e *engine, id, want string) {
	t.Helper()
	pattern := regexp.QuoteMeta(want)
	if h.isReal() {
		pattern = endings.ReplaceAllLiteralString(pattern, ` \d+`)
	}
	if got := e.trace(id); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
		t.Errorf("events of %s: %q, want %q", id, got, want)
	}
}

// On a real host a scratch is created, mounted, and gone after the container.
func TestScratchIsGoneAfterTheContainer(t *testing.T) {
	h := anyHCS(t)
	if !h.isReal() {
		t.Skip("the stand-in needs no layers: package layers tests them under Wine")
	}
	e := newEngine(t)
	spec, unmount := h.mount(t, "endtoend-web", "cmd", "/c", "exit 0")
	e.create(t, "endtoend-web", spec)
	e.await(t, "endtoend-web", libcontainerd.StateExit)
	unmount()
	entries, err := os.ReadDir(h.scratches)
	if err != nil || len(entries) != 0 {
		t.Errorf("left in the folder of scratches: %v, %v", entries, err)
	}
}
