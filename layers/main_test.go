package layers_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Layers of hcstest are a driver.
var _ layers.Driver = (*hcstest.LayerStore)(nil)

// stack makes the folders of layers, topmost first.
func stack(t *testing.T, names ...string) layers.Layers {
	t.Helper()
	root := t.TempDir()
	var list layers.Layers
	for _, name := range names {
		folder := filepath.Join(root, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		list = append(list, folder)
	}
	return list
}

// wantError fails the test unless err is of the kind, and its text has the parts.
func wantError(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", kind)
	}
	if !errors.Is(err, kind) {
		t.Errorf("%v: want %v", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has several lines", err)
	}
}

// absent fails the test if a file or folder is there.
func absent(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}

// empty fails the test if a folder has content.
func empty(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("%s has %s", folder, entry.Name())
	}
}

// file is an entry of a tar.
type file struct {
	name, content string
	header        tar.Header // overrides the default
}

// tarOf writes a tar.
func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := f.header
		h.Name, h.Size, h.Mode = f.name, int64(len(f.content)), 0o644
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func folder(name string) file {
	return file{name: name, header: tar.Header{Typeflag: tar.TypeDir}}
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func jsonOf(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// image is an image for a test.
type image struct {
	names   []string
	os      string // windows, if empty
	arch    string // amd64, if empty
	version string
	layers  [][]byte // tars, base first
	config  map[string]any
	diffIDs []string // of the layers, if nil
}

func (i image) configText(t testing.TB) string {
	t.Helper()
	ids := i.diffIDs
	if ids == nil {
		for _, layer := range i.layers {
			ids = append(ids, "sha256:"+hashOf(layer))
		}
	}
	config := map[string]any{
		"os": or(i.os, "windows"), "architecture": or(i.arch, "amd64"),
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
		"config": i.config,
	}
	if i.version != "" {
		config["os.version"] = i.version
	}
	return jsonOf(t, config)
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// nano is an image with two layers that the host of hcstest runs.
func nano(t testing.TB, names ...string) image {
	t.Helper()
	base := tarOf(t, folder("Files"), file{name: "Files/License.txt", content: "base"}, folder("Hives"), file{name: "Hives/System_Delta", content: "hive"})
	top := tarOf(t, folder("Files"), file{name: "Files/app.exe", content: strings.Repeat("MZ", 5000)})
	return image{
		names: names, version: "10.0.20348.2113", layers: [][]byte{base, top},
		config: map[string]any{
			"Entrypoint": []string{"app.exe"}, "Cmd": []string{"serve"}, "Env": []string{"A=1"},
			"WorkingDir": `C:\app`, "User": "ContainerUser",
		},
	}
}

// saved is what "docker save" wrote before it wrote OCI layouts.
func saved(t testing.TB, images ...image) []byte {
	t.Helper()
	var files []file
	var manifest []map[string]any
	for _, i := range images {
		config := i.configText(t)
		name := hashOf([]byte(config)) + ".json"
		files = append(files, file{name: name, content: config})
		var list []string
		for _, layer := range i.layers {
			path := hashOf(append([]byte("v1 id of "), layer...)) + "/layer.tar"
			files = append(files, file{name: path, content: string(layer)})
			list = append(list, path)
		}
		manifest = append(manifest, map[string]any{"Config": name, "RepoTags": i.names, "Layers": list})
	}
	files = append(files, file{name: "manifest.json", content: jsonOf(t, manifest)})
	return tarOf(t, files...)
}

// layout is an OCI layout with compressed layers; its images are in one index.
func layout(t testing.TB, images ...image) []byte {
	t.Helper()
	files := []file{{name: "oci-layout", content: `{"imageLayoutVersion":"1.0.0"}`}}
	blob := func(data []byte) map[string]any {
		files = append(files, file{name: "blobs/sha256/" + hashOf(data), content: string(data)})
		return map[string]any{"digest": "sha256:" + hashOf(data), "size": len(data)}
	}
	var manifests []map[string]any
	for _, i := range images {
		manifest := map[string]any{"schemaVersion": 2, "config": blob([]byte(i.configText(t)))}
		var list []any
		for _, layer := range i.layers {
			list = append(list, blob(gzipped(t, layer)))
		}
		manifest["layers"] = list
		d := blob([]byte(jsonOf(t, manifest)))
		d["platform"] = map[string]any{"os": or(i.os, "windows")}
		if len(i.names) > 0 {
			d["annotations"] = map[string]any{"io.containerd.image.name": i.names[0]}
		}
		manifests = append(manifests, d)
	}
	files = append(files, file{name: "index.json", content: jsonOf(t, map[string]any{"manifests": manifests})})
	return tarOf(t, files...)
}
