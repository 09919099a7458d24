package layers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

const nanoName = "mcr.microsoft.com/windows/nanoserver:ltsc2022"

// pipe is a reader that can only be read from its beginning to its end.
type pipe struct{ io.Reader }

// onDisk is a file with the data.
func onDisk(t *testing.T, data []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestImportReadsEveryForm(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("TMP", tmp)
	data := map[string][]byte{"docker": saved(t, nano(t, nanoName)), "oci": layout(t, nano(t, nanoName))}
	compressed := nano(t, nanoName)
	ids := []string{"sha256:" + hashOf(compressed.layers[0]), "sha256:" + hashOf(compressed.layers[1])}
	compressed.diffIDs = ids
	compressed.layers[1] = gzipped(t, compressed.layers[1])
	data["docker with a compressed layer"] = saved(t, compressed)
	for name, text := range data {
		for how, r := range map[string]io.Reader{
			"file": onDisk(t, text), "memory": bytes.NewReader(text), "pipe": pipe{bytes.NewReader(text)},
			"gzip file": onDisk(t, gzipped(t, text)), "gzip pipe": pipe{bytes.NewReader(gzipped(t, text))},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				driver, store := hcstest.NewLayers(t), filepath.Join(t.TempDir(), "store")
				got, err := layers.Import(t.Context(), r, store, layers.WithDriver(driver))
				if err != nil {
					t.Fatal(err)
				}
				checkNano(t, got, store)
				noCopies(t, tmp)
			})
		}
	}
}

// noCopies fails the test if a temporary copy of an image is left.
func noCopies(t *testing.T, tmp string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(tmp, "layers-import-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func checkNano(t *testing.T, got layers.Image, store string) {
	t.Helper()
	want := layers.Image{
		Names: []string{nanoName}, OSVersion: "10.0.20348.2113", Architecture: "amd64",
		Config: layers.Config{
			Entrypoint: []string{"app.exe"}, Cmd: []string{"serve"}, Env: []string{"A=1"},
			WorkingDir: `C:\app`, User: "ContainerUser",
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(layers.Image{}, "ID", "Imported", "Layers", "Chain")); diff != "" {
		t.Error(diff)
	}
	if got.ID != hashOf([]byte(nano(t).configText(t))) || got.Imported.IsZero() || len(got.Layers) != 2 {
		t.Errorf("%+v", got)
	}
	// The chain ID of OCI: of the base its diff ID, then of both texts.
	tars := nano(t).layers
	base := hashOf(tars[0])
	top := hashOf([]byte("sha256:" + base + " sha256:" + hashOf(tars[1])))
	if diff := cmp.Diff([]string{top, base}, got.Chain); diff != "" {
		t.Error(diff)
	}
	for file, size := range map[string]int64{
		filepath.Join(got.Layers[1], "Files", "License.txt"): 4,
		filepath.Join(got.Layers[0], "Files", "app.exe"):     10000,
	} {
		if info, err := os.Stat(file); err != nil || info.Size() != size {
			t.Errorf("%s: %v", file, err)
		}
	}
	found, err := layers.Find(store, "nanoserver:ltsc2022")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, found); diff != "" {
		t.Error(diff)
	}
}

func TestImportMountsWithoutFurtherAdo(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	image, err := layers.Import(t.Context(), bytes.NewReader(saved(t, nano(t))), store, layers.WithDriver(driver))
	if err != nil {
		t.Fatal(err)
	}
	scratch, err := layers.Scratch(store, "web")
	if err != nil {
		t.Fatal(err)
	}
	m, err := layers.Mount(t.Context(), image.Layers, scratch, layers.WithDriver(driver))
	if err != nil {
		t.Fatal(err)
	}
	err = layers.Remove(t.Context(), store, image.ID, layers.WithDriver(driver))
	wantError(t, err, errdefs.ErrFailedPrecondition, "mounted", "web")
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := layers.Remove(t.Context(), store, image.ID[:12], layers.WithDriver(driver)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"images", "layers", "scratches"} {
		empty(t, filepath.Join(store, folder))
	}
}

func TestImportReadsALayerOnce(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	for range 2 {
		if _, err := layers.Import(t.Context(), bytes.NewReader(saved(t, nano(t, "a:1"))), store, layers.WithDriver(driver)); err != nil {
			t.Fatal(err)
		}
	}
	other := nano(t, "b:1")
	other.layers[1] = tarOf(t, folder("Files"), file{name: "Files/other.exe", content: "MZ"})
	image, err := layers.Import(t.Context(), bytes.NewReader(layout(t, other)), store, layers.WithDriver(driver))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(driver.Calls(hcstest.OpImport)); n != 3 {
		t.Errorf("%d layers were imported, want 3: two of the first image, and one on the same base", n)
	}
	if err := layers.Remove(t.Context(), store, "a:1", layers.WithDriver(driver)); err != nil {
		t.Fatal(err)
	}
	for _, layer := range image.Layers {
		if _, err := os.Stat(layer); err != nil {
			t.Errorf("removed with another image: %v", err)
		}
	}
}

func TestImportReportsProgress(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	big := nano(t)
	big.layers[1] = tarOf(t, file{name: "Files/big", content: strings.Repeat("0123456789", 1<<20)})
	data := saved(t, big)
	type event struct {
		Layer int
		Step  layers.Step
	}
	var events []event
	between := 0
	record := layers.WithProgress(func(p layers.Progress) {
		if p.Layers != 2 || p.Bytes > p.Total || len(p.ID) != 64 {
			t.Errorf("%+v", p)
		}
		if e := (event{p.Layer, p.Step}); len(events) == 0 || events[len(events)-1] != e {
			events = append(events, e)
		} else if between++; p.Bytes == 0 {
			t.Errorf("no progress: %+v", p)
		}
		if p.Step == layers.StepDone && p.Bytes != p.Total {
			t.Errorf("%+v", p)
		}
	})
	for range 2 {
		if _, err := layers.Import(t.Context(), bytes.NewReader(data), store, layers.WithDriver(driver), record); err != nil {
			t.Fatal(err)
		}
	}
	want := []event{
		{1, layers.StepChecking}, {1, layers.StepImporting}, {1, layers.StepDone},
		{2, layers.StepChecking}, {2, layers.StepImporting}, {2, layers.StepDone},
		{1, layers.StepCached}, {2, layers.StepCached},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Error(diff)
	}
	if between != 4 { // at 4 and 8 MiB of 10, twice
		t.Errorf("%d reports within a step", between)
	}
}

// Whether an image can run is decided before the store exists.
func TestImportRefusesWhatTheHostCannotRun(t *testing.T) {
	windows := func(version string) image {
		i := nano(t, nanoName)
		i.version = version
		return i
	}
	changed := func(change func(*image)) image {
		i := nano(t, nanoName)
		change(&i)
		return i
	}
	for name, c := range map[string]struct {
		image   image
		host    string
		options []layers.ImportOption
		kind    error
		says    []string
	}{
		"newer":        {windows("10.0.26100.1742"), "10.0.20348.2340", nil, errdefs.ErrFailedPrecondition, []string{"26100", "build 20348 (ltsc2022) with process isolation", nanoName}},
		"much older":   {windows("10.0.17763.1"), "10.0.20348.2340", nil, errdefs.ErrFailedPrecondition, []string{"10.0.17763.1", "which would run this one"}},
		"older":        {windows("10.0.14393.1"), "10.0.17763.1", nil, errdefs.ErrFailedPrecondition, []string{"build 17763 (ltsc2019)", "Hyper-V isolation, which would run this one"}},
		"two back":     {windows("10.0.20348.1"), "10.0.27000.1", nil, errdefs.ErrFailedPrecondition, []string{"builds 26100 to 27000 (ltsc2025)"}},
		"newer, hv":    {windows("10.0.26100.1742"), "10.0.20348.2340", []layers.ImportOption{layers.WithIsolation(libcontainerd.IsolationHyperV)}, errdefs.ErrFailedPrecondition, []string{"26100"}},
		"another os":   {changed(func(i *image) { i.os = "linux" }), "10.0.20348.1", nil, errdefs.ErrFailedPrecondition, []string{"linux/amd64"}},
		"another arch": {changed(func(i *image) { i.arch = "arm64" }), "10.0.20348.1", nil, errdefs.ErrFailedPrecondition, []string{"arm64", "amd64"}},
		"no version":   {windows(""), "10.0.20348.1", nil, errdefs.ErrInvalidArgument, []string{"os.version"}},
		"no number":    {windows("10.0.x"), "10.0.20348.1", nil, errdefs.ErrInvalidArgument, []string{"os.version", `"x"`}},
		"no layers":    {changed(func(i *image) { i.layers = nil }), "10.0.20348.1", nil, errdefs.ErrInvalidArgument, []string{"diff_ids"}},
		"a layer less": {changed(func(i *image) { i.diffIDs = []string{"sha256:" + hashOf(nil)} }), "10.0.20348.1", nil, errdefs.ErrInvalidArgument, []string{"1 elements, and the manifest 2 layers"}},
		"no digest":    {changed(func(i *image) { i.diffIDs = []string{"md5:1", "md5:2"} }), "10.0.20348.1", nil, errdefs.ErrInvalidArgument, []string{"diff_ids[0]"}},
		"bad option":   {windows("10.0.20348.1"), "10.0.20348.1", []layers.ImportOption{layers.WithIsolation("none")}, errdefs.ErrInvalidArgument, []string{"isolation"}},
		"bad size":     {windows("10.0.20348.1"), "10.0.20348.1", []layers.ImportOption{layers.WithMaxSize(0)}, errdefs.ErrInvalidArgument, []string{"maximum size"}},
		"other name":   {windows("10.0.20348.1"), "10.0.20348.1", []layers.ImportOption{layers.WithImage("x")}, errdefs.ErrNotFound, []string{nanoName}},
	} {
		for form, data := range map[string][]byte{"docker": saved(t, c.image), "oci": layout(t, c.image)} {
			t.Run(name+" "+form, func(t *testing.T) {
				if name == "another os" && form == "oci" {
					c.says = nil // its configuration is not even read
				}
				driver := hcstest.NewLayers(t, hcstest.WithWindowsVersion(c.host))
				store := filepath.Join(t.TempDir(), "store")
				_, err := layers.Import(t.Context(), bytes.NewReader(data), store, append(c.options, layers.WithDriver(driver))...)
				wantError(t, err, c.kind, c.says...)
				absent(t, store)
			})
		}
	}
}

func TestImportTakesWhatTheHostRuns(t *testing.T) {
	for name, c := range map[string]struct {
		image, host string
		isolation   libcontainerd.Isolation
	}{
		"the same":               {"10.0.17763.5458", "10.0.17763.5458", libcontainerd.IsolationProcess},
		"an earlier revision":    {"10.0.17763.1", "10.0.17763.5458", libcontainerd.IsolationProcess},
		"a later revision":       {"10.0.17763.9999", "10.0.17763.5458", libcontainerd.IsolationProcess},
		"without a revision":     {"10.0.17763", "10.0.17763", libcontainerd.IsolationProcess},
		"the release before":     {"10.0.20348.1", "10.0.26100.1", libcontainerd.IsolationProcess},
		"a client in between":    {"10.0.20348.1", "10.0.22631.1", libcontainerd.IsolationProcess},
		"a later host":           {"10.0.26100.1", "10.0.27000.1", libcontainerd.IsolationProcess},
		"any earlier, isolated":  {"10.0.14393.1", "10.0.26100.1", libcontainerd.IsolationHyperV},
		"two releases, isolated": {"10.0.20348.1", "10.0.27000.1", libcontainerd.IsolationHyperV},
	} {
		t.Run(name, func(t *testing.T) {
			driver := hcstest.NewLayers(t, hcstest.WithWindowsVersion(c.host))
			i := nano(t)
			i.version = c.image
			_, err := layers.Import(t.Context(), bytes.NewReader(saved(t, i)), t.TempDir(), layers.WithDriver(driver), layers.WithIsolation(c.isolation))
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestImportChoosesOfSeveralImages(t *testing.T) {
	a, b := nano(t, "a:1"), nano(t, "b:1")
	b.config = map[string]any{"User": "b"}
	for form, data := range map[string][]byte{"docker": saved(t, a, b), "oci": layout(t, a, b)} {
		driver := hcstest.NewLayers(t)
		_, err := layers.Import(t.Context(), bytes.NewReader(data), t.TempDir(), layers.WithDriver(driver))
		wantError(t, err, errdefs.ErrInvalidArgument, "a:1", "b:1", "WithImage")
		image, err := layers.Import(t.Context(), bytes.NewReader(data), t.TempDir(), layers.WithDriver(driver), layers.WithImage("b:1"))
		if err != nil || image.Config.User != "b" {
			t.Errorf("%s: %+v, %v", form, image, err)
		}
	}
}

func TestImportChoosesTheNewestThatRuns(t *testing.T) {
	var all []image
	for _, version := range []string{"10.0.17763.1", "10.0.20348.1", "10.0.20348.2113", "10.0.26100.1"} {
		i := nano(t, "nanoserver:multi")
		i.version = version
		all = append(all, i)
	}
	linux := nano(t, "nanoserver:multi")
	linux.os = "linux"
	for form, data := range map[string][]byte{"docker": saved(t, append(all, linux)...), "oci": layout(t, append(all, linux)...)} {
		image, err := layers.Import(t.Context(), bytes.NewReader(data), t.TempDir(), layers.WithDriver(hcstest.NewLayers(t)))
		if err != nil || image.OSVersion != "10.0.20348.2113" {
			t.Errorf("%s: %v, %v", form, image.OSVersion, err)
		}
	}
}

// An attempt that fails, or whose process dies, leaves nothing that counts.
func TestImportGoesOnAfterAFailure(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	data := saved(t, nano(t))
	died := errors.New("died")
	for _, fault := range []hcstest.Fault{{Err: died}, {Err: died, Done: true}} {
		// The second layer fails, and what was written of it cannot be removed.
		driver.Inject(hcstest.Rule{Op: hcstest.OpImport, Skip: 1 - len(driver.Calls(hcstest.OpImport))/2, Times: 1, Fault: fault})
		driver.Inject(hcstest.Rule{Op: hcstest.OpDestroy, Fault: hcstest.Fault{Err: died}})
		_, err := layers.Import(t.Context(), bytes.NewReader(data), store, layers.WithDriver(driver))
		wantError(t, err, died, "layer 2 of 2")
		driver.Heal()
		if images, err := layers.Images(store); err != nil || len(images) > 0 {
			t.Errorf("images: %v, %v", images, err)
		}
	}
	if _, err := os.Stat(filepath.Join(store, "layers")); err != nil {
		t.Fatal(err)
	}
	if _, err := layers.Import(t.Context(), bytes.NewReader(data), store, layers.WithDriver(driver)); err != nil {
		t.Fatal(err)
	}
	if n := len(driver.Calls(hcstest.OpImport)); n != 4 {
		t.Errorf("%d imports of layers, want 4: the first, and three times the second", n)
	}
}

func TestImportAgainWhatSomebodyRemoved(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	data := saved(t, nano(t))
	for range 2 {
		image, err := layers.Import(t.Context(), bytes.NewReader(data), store, layers.WithDriver(driver))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(image.Layers[0]); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(driver.Calls(hcstest.OpImport)); n != 3 {
		t.Errorf("%d imports of layers", n)
	}
}

func TestImportEndsWithItsContext(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	data := saved(t, nano(t))
	_, err := layers.Import(ctx, pipe{bytes.NewReader(data)}, store, layers.WithDriver(driver), layers.WithProgress(func(p layers.Progress) {
		if p.Layer == 2 && p.Step == layers.StepImporting {
			cancel()
		}
	}))
	wantError(t, err, context.Canceled, "layer 2 of 2")
	_, err = layers.Import(ctx, pipe{bytes.NewReader(data)}, store, layers.WithDriver(driver))
	wantError(t, err, context.Canceled)
	image, err := layers.Import(t.Context(), pipe{bytes.NewReader(data)}, store, layers.WithDriver(driver))
	if err != nil || len(image.Layers) != 2 {
		t.Error(err)
	}
}

func TestImportWaitsForTheStore(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	in := driver.Hang(hcstest.OpImport, "")
	data := saved(t, nano(t))
	first := make(chan error, 1)
	go func() {
		_, err := layers.Import(t.Context(), bytes.NewReader(data), store, layers.WithDriver(driver))
		first <- err
	}()
	<-in.Met()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := layers.Import(ctx, bytes.NewReader(data), store, layers.WithDriver(driver))
	wantError(t, err, context.DeadlineExceeded, "another process changes the store")
	err = layers.Remove(ctx, store, "x", layers.WithDriver(driver))
	wantError(t, err, context.DeadlineExceeded)
	in.Release()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if n := len(driver.Calls(hcstest.OpImport)); n != 2 {
		t.Errorf("%d imports of layers", n)
	}
}

func TestImportVerifiesDigests(t *testing.T) {
	wrong := "sha256:" + hashOf([]byte("something else"))
	good := nano(t)
	swapped := nano(t)
	swapped.diffIDs = []string{"sha256:" + hashOf(good.layers[0]), wrong}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"diff ID of docker": {saved(t, swapped), "diff ID"},
		"diff ID of OCI":    {layout(t, swapped), "diff ID"},
		"blob":              {rename(t, layout(t, good), hashOf(gzipped(t, good.layers[1])), hashOf([]byte("x"))), "digest"},
		"configuration":     {rename(t, saved(t, good), hashOf([]byte(good.configText(t))), hashOf([]byte("x"))), "digest"},
	} {
		t.Run(name, func(t *testing.T) {
			driver, store := hcstest.NewLayers(t), t.TempDir()
			_, err := layers.Import(t.Context(), bytes.NewReader(c.data), store, layers.WithDriver(driver))
			wantError(t, err, errdefs.ErrDataLoss, c.says)
			if images, err := layers.Images(store); err != nil || len(images) > 0 {
				t.Errorf("images: %v, %v", images, err)
			}
			for _, call := range driver.Calls(hcstest.OpImport) {
				if strings.HasSuffix(call.ID, hashOf(good.layers[1])) {
					t.Error("the layer was imported")
				}
			}
		})
	}
}

// rename replaces a digest by another one everywhere in a tar. It does not
// correct the other digests: the manifest of a layout is renamed, too.
func rename(t *testing.T, data []byte, from, to string) []byte {
	t.Helper()
	old := untar(t, data)
	again := func(text string) string { return strings.ReplaceAll(text, from, to) }
	for _, f := range old { // the manifest in which the digest stands changes its own
		if changed := again(f.content); changed != f.content && strings.HasPrefix(f.name, "blobs/") {
			before, after := hashOf([]byte(f.content)), hashOf([]byte(changed))
			inner := again
			again = func(text string) string { return strings.ReplaceAll(inner(text), before, after) }
		}
	}
	var files []file
	for _, f := range old {
		files = append(files, file{name: again(f.name), content: again(f.content)})
	}
	return tarOf(t, files...)
}

func untar(t *testing.T, data []byte) []file {
	t.Helper()
	var files []file
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name: h.Name, content: string(content)})
	}
}

// A file may change while it is read. What Windows wrote of it does not count.
func TestImportOfAFileThatChanges(t *testing.T) {
	data := saved(t, nano(t))
	driver, store := hcstest.NewLayers(t), t.TempDir()
	_, err := layers.Import(t.Context(), bytes.NewReader(data), store, layers.WithDriver(driver), layers.WithProgress(func(p layers.Progress) {
		if p.Layer == 2 && p.Step == layers.StepImporting {
			data[bytes.Index(data, []byte("MZMZ"))] = 'X'
		}
	}))
	wantError(t, err, errdefs.ErrDataLoss, "layer 2 of 2", "diff ID")
	if images, err := layers.Images(store); err != nil || len(images) > 0 {
		t.Errorf("images: %v, %v", images, err)
	}
	left, err := filepath.Glob(filepath.Join(store, "layers", "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v, want the base and its mark", left, err)
	}
}

func TestImportUnitesTheNamesOfAnImage(t *testing.T) {
	for form, data := range map[string][]byte{
		"docker": saved(t, nano(t, "a:1"), nano(t, "b:1")), "oci": layout(t, nano(t, "b:1"), nano(t, "a:1")),
	} {
		image, err := layers.Import(t.Context(), bytes.NewReader(data), t.TempDir(), layers.WithDriver(hcstest.NewLayers(t)))
		if err != nil || !cmp.Equal(image.Names, []string{"a:1", "b:1"}) {
			t.Errorf("%s: %v, %v", form, image.Names, err)
		}
	}
}

func TestImportSaysOfEachVersionWhyItDoesNotRun(t *testing.T) {
	late, early := nano(t), nano(t)
	late.version, early.version = "10.0.26100.1", "10.0.17763.1"
	_, err := layers.Import(t.Context(), bytes.NewReader(layout(t, late, early)), t.TempDir(), layers.WithDriver(hcstest.NewLayers(t)))
	wantError(t, err, errdefs.ErrFailedPrecondition, "10.0.26100.1", "10.0.17763.1", "which would run this one")
}

func TestImportRefusesALayerInZstd(t *testing.T) {
	i := nano(t)
	i.diffIDs = []string{"sha256:" + hashOf(i.layers[0]), "sha256:" + hashOf(i.layers[1])}
	i.layers[1] = []byte("\x28\xb5\x2f\xfd and more")
	_, err := layers.Import(t.Context(), bytes.NewReader(saved(t, i)), t.TempDir(), layers.WithDriver(hcstest.NewLayers(t)))
	wantError(t, err, errdefs.ErrNotImplemented, "zstd", "layer 2 of 2")
}

func TestImportOfLayersThatAreNotInTheTar(t *testing.T) {
	good := nano(t)
	for _, data := range [][]byte{saved(t, good), layout(t, good)} {
		var files []file
		for _, f := range untar(t, data) {
			if !strings.HasSuffix(f.name, "layer.tar") && f.name != "blobs/sha256/"+hashOf(gzipped(t, good.layers[0])) {
				files = append(files, f)
			}
		}
		_, err := layers.Import(t.Context(), bytes.NewReader(tarOf(t, files...)), t.TempDir(), layers.WithDriver(hcstest.NewLayers(t)))
		wantError(t, err, errdefs.ErrNotFound, "layer 1 of 2", "not in the tar")
	}
}

// Docker wrote a layer that two images share once, and a link for the second image.
func TestImportFollowsLinksInTheTar(t *testing.T) {
	good := nano(t)
	files := untar(t, saved(t, good))
	for _, link := range []file{
		{header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "../moved/layer.tar"}},
		{header: tar.Header{Typeflag: tar.TypeLink, Linkname: "moved/layer.tar"}},
	} {
		var changed []file
		for _, f := range files {
			if f.content == string(good.layers[0]) {
				link.name = f.name
				f.name = "moved/layer.tar"
				changed = append(changed, link)
			}
			changed = append(changed, f)
		}
		if _, err := layers.Import(t.Context(), bytes.NewReader(tarOf(t, changed...)), t.TempDir(), layers.WithDriver(hcstest.NewLayers(t))); err != nil {
			t.Error(err)
		}
	}
}

func TestNamesBelongToTheImageImportedLast(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	put := func(user string, names ...string) layers.Image {
		t.Helper()
		i := nano(t, names...)
		i.config = map[string]any{"User": user}
		image, err := layers.Import(t.Context(), bytes.NewReader(saved(t, i)), store, layers.WithDriver(driver))
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	find := func(name string) string {
		t.Helper()
		image, err := layers.Find(store, name)
		if err != nil {
			t.Fatal(err)
		}
		return image.Config.User
	}
	first := put("first", "example.com/app:1", "example.com/app:latest")
	put("second", "example.com/app:latest")
	put("second", "example.com/more:latest")
	for name, user := range map[string]string{
		"example.com/app:1": "first", "app:1": "first", first.ID: "first", "sha256:" + first.ID: "first", first.ID[:4]: "first",
		"example.com/app": "second", "app": "second", "more": "second",
	} {
		if got := find(name); got != user {
			t.Errorf("%s is %s", name, got)
		}
	}
	put("third", "example.org/app:1")
	_, err := layers.Find(store, "app:1")
	wantError(t, err, errdefs.ErrInvalidArgument, "example.com/app:1", "example.org/app:1")
	for _, name := range []string{"", "pp:1", "zzzz", "/"} {
		_, err := layers.Find(store, name)
		wantError(t, err, errdefs.ErrNotFound, "example.com/app:1")
	}
	images, err := layers.Images(store)
	if err != nil || len(images) != 3 || images[0].Names[0] != "example.com/app:1" {
		t.Errorf("%+v, %v", images, err)
	}
	if images, err := layers.Images(filepath.Join(store, "absent")); err != nil || images != nil {
		t.Errorf("%v, %v", images, err)
	}
}

// A hostile entry in the store does not lead out of it.
func TestImagesRefusesWhatImportDidNotWrite(t *testing.T) {
	for _, text := range []string{"{", `{"id":"x"}`, `{"id":"` + hashOf(nil) + `","chain":["../../etc"]}`} {
		store := t.TempDir()
		if err := os.MkdirAll(filepath.Join(store, "images"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(store, "images", "x.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := layers.Images(store)
		wantError(t, err, errdefs.ErrInvalidArgument, "x.json")
	}
}

func TestScratchRefusesWhatCannotBeAFolder(t *testing.T) {
	for _, id := range []string{"", ".", "..", `a\b`, "a/b", "C:", " "} {
		_, err := layers.Scratch(t.TempDir(), id)
		wantError(t, err, errdefs.ErrInvalidArgument, "container id")
	}
}

// A reader sees only whole images in the store, at any moment.
func TestImagesWhileTheStoreChanges(t *testing.T) {
	driver, store := hcstest.NewLayers(t), t.TempDir()
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if _, err := layers.Images(store); err != nil {
					t.Error(err)
				}
			}
		}
	})
	data := saved(t, nano(t, "a:1"))
	for range 10 {
		for range 2 {
			if _, err := layers.Import(t.Context(), bytes.NewReader(data), store, layers.WithDriver(driver)); err != nil {
				t.Error(err)
			}
		}
		if err := layers.Remove(t.Context(), store, "a:1", layers.WithDriver(driver)); err != nil {
			t.Error(err)
		}
	}
	close(done)
	work.Wait()
}
