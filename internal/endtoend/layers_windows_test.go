package endtoend

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
	"golang.org/x/sys/windows"
)

// dockerLayers makes two layers as Docker keeps them, and finds them.
func dockerLayers(t *testing.T) layers.Layers {
	t.Helper()
	store := t.TempDir()
	base, top := filepath.Join(store, "base"), filepath.Join(store, "top")
	for _, folder := range []string{base, top} {
		if err := os.MkdirAll(filepath.Join(folder, "Files"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	chain, err := json.Marshal([]string{base})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "layerchain.json"), chain, 0o666); err != nil {
		t.Fatal(err)
	}
	stack, err := layers.Docker(top)
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

func nothingIn(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("%s is left in %s", entry.Name(), folder)
	}
}

// layerCalls are the calls that change a layer.
func (l callLog) layerCalls(id string) []string {
	var names []string
	for _, line := range l.lines() {
		if line.id == id && !strings.HasPrefix(line.name, "GetLayerMountPath") && strings.Contains(line.name, "Layer") {
			names = append(names, line.name)
		}
	}
	return names
}

// A container runs on layers that were mounted for it. They are not unmounted
// before it has ended.
func TestContainerOnMountedLayers(t *testing.T) {
	_, log := standIn(t)
	e := newEngine(t, patient()...)
	stack, folder := dockerLayers(t), t.TempDir()
	m, err := layers.Mount(t.Context(), stack, filepath.Join(folder, "mounted"), layers.WithContainer("mounted"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(m.Root, `\\?\Volume{`) || !strings.HasSuffix(m.Root, "}") {
		t.Errorf("root %q", m.Root)
	}
	spec := testSpec(insideLine("copy"))
	m.Apply(&spec)
	e.create(t, "mounted", spec)
	if err := m.Unmount(t.Context()); !errors.Is(err, libcontainerd.CodeSharingViolation) {
		t.Errorf("unmounted while the container runs: %v", err)
	}
	if err := e.stdin("mounted").Close(); err != nil {
		t.Error(err)
	}
	if exit := e.await(t, "mounted", libcontainerd.StateExit); exit.ExitCode != 0 {
		t.Errorf("exit %+v", exit)
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothingIn(t, folder)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	document := log.find("HcsCreateComputeSystem", "mounted").text
	for _, want := range []string{m.Root[4:], "mounted", "top", "base"} {
		if !strings.Contains(document, want) {
			t.Errorf("the document lacks %s: %s", want, document)
		}
	}
	parents := log.find("PrepareLayer", "mounted").text
	if want := strings.Join(append([]string{m.Scratch}, stack...), ";"); parents != want {
		t.Errorf("prepared %q, want %q", parents, want)
	}
}

func TestLayersAreMountedAndUnmountedInOrder(t *testing.T) {
	_, log := standIn(t)
	folder := t.TempDir()
	order(t, "ActivateLayer=0x80070015*1;PrepareLayer=0x8007048F*2;GetLayerMountPath=0x80070015*1")
	m, err := layers.Mount(t.Context(), dockerLayers(t), filepath.Join(folder, "ordered"))
	if err != nil {
		t.Fatal(err)
	}
	order(t, "UnprepareLayer=0x80070020*1;DestroyLayer=0x80070005*2")
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"CreateSandboxLayer", "ActivateLayer", "ActivateLayer!",
		"ActivateLayer", "PrepareLayer", "PrepareLayer!", "DeactivateLayer",
		"ActivateLayer", "PrepareLayer", "PrepareLayer!", "DeactivateLayer",
		"ActivateLayer", "PrepareLayer",
		"UnprepareLayer", "UnprepareLayer!", "UnprepareLayer", "DeactivateLayer",
		"DestroyLayer", "DestroyLayer!", "DestroyLayer", "DestroyLayer!", "DestroyLayer",
	}
	if diff := cmp.Diff(want, log.layerCalls("ordered")); diff != "" {
		t.Error(diff)
	}
	nothingIn(t, folder)
}

func TestFaultsDuringMount(t *testing.T) {
	standIn(t)
	stack := dockerLayers(t)
	for _, c := range []struct {
		fault string
		want  error
	}{
		{"CreateSandboxLayer=0x80070005", errdefs.ErrPermissionDenied},
		{"CreateSandboxLayer=0x80070070", libcontainerd.Code(0x70)},
		{"ActivateLayer=0x80070020", libcontainerd.CodeSharingViolation},
		{"ActivateLayer=0x80070015", libcontainerd.CodeNotReady},
		{"PrepareLayer=0x8007048F", libcontainerd.Code(1167)},
		{"PrepareLayer=0xC0370112", libcontainerd.CodeInvalidLayer},
		{"PrepareLayer=0x80070015;DeactivateLayer=0x80070020*2", libcontainerd.CodeNotReady},
		{"GetLayerMountPath=0x80070003", libcontainerd.CodePathNotFound},
		{"NameToGuid=0x80070057", libcontainerd.CodeInvalidParameter},
	} {
		folder := t.TempDir()
		order(t, c.fault)
		_, err := layers.Mount(t.Context(), stack, filepath.Join(folder, "faulty"))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.fault, err)
		}
		nothingIn(t, folder)
	}
}

// Wine cannot attach the disk by which hcsshim grows the volume of a scratch.
func TestScratchSizeThatCannotBe(t *testing.T) {
	_, log := standIn(t)
	folder := t.TempDir()
	m, err := layers.Mount(t.Context(), dockerLayers(t), filepath.Join(folder, "large"), layers.WithScratchSize(30<<30))
	if err == nil {
		t.Error("it could")
		err = m.Unmount(t.Context())
	}
	if log.find("ExpandSandboxSize", "large") == nil {
		t.Errorf("it was not tried: %v", err)
	}
	nothingIn(t, folder)
}

func TestMountForHyperVIsNotActivated(t *testing.T) {
	_, log := standIn(t)
	folder := t.TempDir()
	m, err := layers.Mount(t.Context(), dockerLayers(t), filepath.Join(folder, "isolated"), layers.WithHyperV())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"CreateSandboxLayer", "DestroyLayer"}, log.layerCalls("isolated")); diff != "" {
		t.Error(diff)
	}
	nothingIn(t, folder)
}

// The mount of a process that died is found, and taken over or released.
func TestMountOutlivesItsProcess(t *testing.T) {
	const variable = "LIBCONTAINERD_MOUNT_AND_DIE"
	if scratch := os.Getenv(variable); scratch != "" {
		_, err := layers.Mount(t.Context(), filepath.SplitList(os.Getenv("LIBCONTAINERD_LAYERS")), scratch, layers.WithContainer("web"))
		if err != nil {
			t.Fatal(err)
		}
		windows.ExitProcess(0)
	}
	standIn(t)
	stack := dockerLayers(t)
	for name, end := range map[string]func(scratch string) error{
		"opened": func(scratch string) error {
			m, err := layers.Open(scratch)
			if err != nil {
				return err
			}
			if !slices.Equal(m.Layers, stack) || !strings.HasPrefix(m.Root, `\\?\Volume{`) {
				t.Errorf("%+v", m)
			}
			return m.Unmount(t.Context())
		},
		"released": func(scratch string) error { return layers.Release(t.Context(), scratch) },
	} {
		folder := t.TempDir()
		scratch := filepath.Join(folder, name)
		other := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		other.Env = append(os.Environ(), variable+"="+scratch, "LIBCONTAINERD_LAYERS="+strings.Join(stack, string(filepath.ListSeparator)))
		if output, err := other.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		list, err := layers.List(folder)
		if err != nil || len(list) != 1 || list[0].InUse || list[0].Container != "web" || list[0].Scratch != scratch {
			t.Fatalf("listed: %+v, %v", list, err)
		}
		if _, err := layers.Mount(t.Context(), stack, scratch); !errdefs.IsAlreadyExists(err) {
			t.Errorf("mounted twice: %v", err)
		}
		if err := end(scratch); err != nil {
			t.Error(err)
		}
		nothingIn(t, folder)
	}
}

// An image that this host does not run is refused before the store exists. One
// that it runs needs BackupWrite, which Wine does not have: that import fails,
// and leaves no image.
func TestImportOnTheHostsDriver(t *testing.T) {
	standIn(t)
	build := windows.RtlGetVersion().BuildNumber
	for _, c := range []struct {
		build uint32
		runs  bool
	}{{build, true}, {build + 1, false}} {
		store := filepath.Join(t.TempDir(), "store")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := layers.Import(ctx, bytes.NewReader(smallImage(t, c.build)), store)
		cancel()
		if err == nil || c.runs == errdefs.IsFailedPrecondition(err) {
			t.Errorf("build %d: %v", c.build, err)
		}
		t.Logf("build %d: %v", c.build, err)
		if !c.runs {
			nothingIn(t, filepath.Dir(store))
		}
		if images, err := layers.Images(store); err != nil || len(images) > 0 {
			t.Errorf("images: %v, %v", images, err)
		}
		if marks, err := filepath.Glob(filepath.Join(store, "layers", "*")); err != nil || len(marks) > 0 {
			t.Errorf("left: %v, %v", marks, err)
		}
	}
}

// smallImage is what "docker save" would write of an image with one layer.
func smallImage(t *testing.T, build uint32) []byte {
	t.Helper()
	var layer bytes.Buffer
	writeTar(t, &layer, tarFile{"Files/", nil}, tarFile{"Files/hello.txt", []byte("hello")})
	sum := sha256.Sum256(layer.Bytes())
	host := windows.RtlGetVersion()
	config, err := json.Marshal(map[string]any{
		"os": "windows", "architecture": "amd64", "os.version": fmt.Sprintf("%d.%d.%d", host.MajorVersion, host.MinorVersion, build),
		"rootfs": map[string]any{"diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var image bytes.Buffer
	writeTar(t, &image,
		tarFile{"config", config},
		tarFile{"layer.tar", layer.Bytes()},
		tarFile{"manifest.json", []byte(`[{"Config":"config","RepoTags":["small:1"],"Layers":["layer.tar"]}]`)},
	)
	return image.Bytes()
}

// tarFile is a file, or a folder if its name ends in a slash.
type tarFile struct {
	name    string
	content []byte
}

func writeTar(t *testing.T, to *bytes.Buffer, files ...tarFile) {
	t.Helper()
	w := tar.NewWriter(to)
	for _, f := range files {
		header := tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.content))}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
