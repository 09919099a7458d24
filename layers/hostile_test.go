package layers_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

func link(name, target string, kind byte) file {
	return file{name: name, header: tar.Header{Typeflag: kind, Linkname: target}}
}

// Each of these layers has the digest that its image says. Each would write
// outside its folder, or more than it should.
func hostileLayers(t testing.TB) map[string][]file {
	t.Helper()
	return map[string][]file{
		"parent":              {{name: "Files/../../evil"}},
		"parent at once":      {{name: "../evil"}},
		"absolute":            {{name: "/Files/evil"}},
		"backslashes":         {{name: `Files/..\..\evil`}},
		"drive":               {{name: "C:/evil"}},
		"drive below":         {{name: "Files/C:/evil"}},
		"share":               {{name: `\\server\share\evil`}},
		"blank after points":  {{name: "Files/.. /evil"}},
		"three points":        {{name: "Files/.../evil"}},
		"point":               {{name: "Files/./evil"}},
		"empty element":       {{name: "Files//evil"}},
		"beside the roots":    {{name: "sandbox.vhdx"}},
		"nothing":             {{name: ""}},
		"control character":   {{name: "Files/e\tvil"}},
		"stream of nothing":   {{name: "Files/a"}, {name: "Files/b:evil"}},
		"stream of a folder":  {{name: "Files/b:evil/x"}},
		"whiteout of parent":  {{name: "Files/.wh..."}},
		"whiteout of itself":  {{name: "Files/.wh.."}},
		"whiteout of nothing": {{name: "Files/.wh."}},
		"whiteout of a root":  {{name: ".wh.Files"}},
		"hard link out":       {link("Files/evil", "../../evil", tar.TypeLink)},
		"hard link to point":  {link("Files/evil", "Files/.", tar.TypeLink)},
		"hard link absolute":  {link("Files/evil", "/etc/passwd", tar.TypeLink)},
		"hard link to a link": {link("Files/a", `C:\`, tar.TypeSymlink), link("Files/b", "files/A", tar.TypeLink)},
		"through a link":      {link("Files/a", `C:\`, tar.TypeSymlink), {name: "Files/a/evil"}},
		"through, other case": {link("Files/dir/a", `C:\`, tar.TypeSymlink), {name: "FILES/Dir/A/b/evil"}},
		"hard link through":   {link("Files/a", `C:\`, tar.TypeSymlink), link("Files/b", "Files/a/evil", tar.TypeLink)},
		"a link replaced":     {link("Files/a", `C:\`, tar.TypeSymlink), folder("Files/a"), {name: "Files/a/evil"}},
		"device":              {{name: "Files/evil", header: tar.Header{Typeflag: tar.TypeChar}}},
		"pipe":                {{name: "Files/evil", header: tar.Header{Typeflag: tar.TypeFifo}}},
	}
}

func TestImportRefusesHostileLayers(t *testing.T) {
	for name, files := range hostileLayers(t) {
		t.Run(name, func(t *testing.T) {
			i := nano(t)
			i.layers[1] = tarOf(t, files...)
			refused(t, saved(t, i), errdefs.ErrInvalidArgument)
		})
	}
}

// refused fails the test unless the second layer of an image is refused before the
// driver sees it, and nothing is written outside of the store.
func refused(t *testing.T, data []byte, kind error, options ...layers.ImportOption) {
	t.Helper()
	outside := t.TempDir()
	store := filepath.Join(outside, "in", "store")
	driver := hcstest.NewLayers(t)
	_, err := layers.Import(t.Context(), bytes.NewReader(data), store, append(options, layers.WithDriver(driver))...)
	wantError(t, err, kind)
	if n := len(driver.Calls(hcstest.OpImport)); n > 1 {
		t.Errorf("%d layers were imported", n)
	}
	err = filepath.WalkDir(outside, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), "evil") {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestImportTakesWhatLayersOfWindowsHave(t *testing.T) {
	i := nano(t)
	i.layers[1] = tarOf(t,
		folder("Files/"), folder("Hives"), folder("UtilityVM"), folder("UtilityVM/Files"),
		file{name: "Files/a"}, file{name: "Files/a:Zone.Identifier", content: "[ZoneTransfer]"}, file{name: "Files/a:more"},
		link("Files/Documents and Settings", `C:\Users`, tar.TypeSymlink),
		link("Files/up", "..", tar.TypeSymlink),
		link("Files/b", "Files/a", tar.TypeLink),
		file{name: "Files/.wh.gone"}, file{name: "Files/...name"}, file{name: "Files/ä ö.txt"}, file{name: "files/lower"},
		file{name: "Files/" + strings.Repeat("long/", 100) + "x"},
	)
	if _, err := layers.Import(t.Context(), bytes.NewReader(saved(t, i)), t.TempDir(), layers.WithDriver(hcstest.NewLayers(t))); err != nil {
		t.Error(err)
	}
}

func TestImportRefusesBombs(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	bomb := nano(t)
	bomb.layers[1] = tarOf(t, file{name: "Files/zeros", content: string(zeros(8 << 20))})
	sparse := nano(t)
	sparse.layers[1] = sparseTar(t, 1<<40)
	for name, data := range map[string][]byte{
		"a compressed layer":     layout(t, bomb),
		"a compressed image":     gzipped(t, saved(t, bomb)),
		"layers without content": layout(t, sparse),
	} {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			t.Setenv("TMP", tmp)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			refused(t, data, errdefs.ErrResourceExhausted, layers.WithMaxSize(2<<20))
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
				t.Errorf("%d bytes were allocated", used)
			}
			noCopies(t, tmp)
		})
	}
}

// sparseTar is a tar with a file whose content is a hole.
func sparseTar(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "Files/sparse", Typeflag: tar.TypeReg, Size: 512, Mode: 0o644, Format: tar.FormatPAX})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return pax(t, b.Bytes(), size)
}

// pax puts the records of GNU's sparse format 1.0 before the first file of a tar,
// whose content becomes the map of a single hole.
func pax(t *testing.T, data []byte, size int64) []byte {
	t.Helper()
	line := func(key, value string) string {
		length := len(key) + len(value) + 3
		for n := length + 1; ; n++ {
			if s := strconv.Itoa(n) + " " + key + "=" + value + "\n"; len(s) == n {
				return s
			}
		}
	}
	records := line("GNU.sparse.major", "1") + line("GNU.sparse.minor", "0") +
		line("GNU.sparse.name", "Files/sparse") + line("GNU.sparse.realsize", strconv.FormatInt(size, 10))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "PaxHeaders/x", Size: int64(len(records)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, records); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	head := b.Bytes()
	head[156] = tar.TypeXHeader
	sum(head[:512])
	content := data[512:1024]
	copy(content, "1\n"+strconv.FormatInt(size, 10)+"\n0\n")
	return append(head, data...)
}

// sum makes the checksum of a tar's header right.
func sum(header []byte) {
	copy(header[148:156], "        ")
	total := 0
	for _, b := range header {
		total += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", total))
}

func TestImportRefusesWhatIsCutShort(t *testing.T) {
	for form, data := range map[string][]byte{
		"docker": saved(t, nano(t)), "oci": layout(t, nano(t)), "gzip": gzipped(t, saved(t, nano(t))),
	} {
		for i := 1; i < 40; i++ {
			cut := data[:len(data)*i/40]
			store := t.TempDir()
			_, err := layers.Import(t.Context(), pipe{bytes.NewReader(cut)}, store, layers.WithDriver(hcstest.NewLayers(t)))
			if err == nil {
				// A tar ends with two empty blocks, but is complete without them.
				if form == "gzip" || len(data)-len(cut) > 1536 {
					t.Errorf("%s: %d of %d bytes are an image", form, len(cut), len(data))
				}
				continue
			}
			if images, err := layers.Images(store); err != nil || len(images) > 0 {
				t.Errorf("images: %v, %v", images, err)
			}
		}
	}
	short := nano(t)
	short.layers[1] = short.layers[1][:700]
	refused(t, saved(t, short), io.ErrUnexpectedEOF)
}

func TestImportRefusesWhatIsNoImage(t *testing.T) {
	loop := []file{
		link("manifest.json", "a", tar.TypeSymlink), link("a", "manifest.json", tar.TypeSymlink),
	}
	self := `{"manifests":[{"digest":"sha256:` + hashOf(nil) + `"}]}`
	many := file{name: "index.json", content: `{"manifests":[` + strings.TrimSuffix(strings.Repeat(`{"digest":"sha256:`+hashOf([]byte("{}"))+`"},`, 2000), ",") + `]}`}
	for name, c := range map[string]struct {
		data []byte
		kind error
	}{
		"nothing":                {nil, errdefs.ErrInvalidArgument},
		"an empty tar":           {tarOf(t), errdefs.ErrInvalidArgument},
		"a layer":                {nano(t).layers[0], errdefs.ErrInvalidArgument},
		"text":                   {[]byte(strings.Repeat("no tar ", 1000)), tar.ErrHeader},
		"zstd":                   {[]byte("\x28\xb5\x2f\xfd and more"), errdefs.ErrNotImplemented},
		"gzip that is not":       {[]byte("\x1f\x8b and more than ten bytes"), gzip.ErrHeader},
		"a manifest of garbage":  {tarOf(t, file{name: "manifest.json", content: "{"}), errdefs.ErrInvalidArgument},
		"a manifest of nothing":  {tarOf(t, file{name: "manifest.json", content: "[]"}), errdefs.ErrFailedPrecondition},
		"no configuration":       {tarOf(t, file{name: "manifest.json", content: `[{"Config":"x"}]`}), errdefs.ErrNotFound},
		"links in a circle":      {tarOf(t, loop...), errdefs.ErrInvalidArgument},
		"an index of garbage":    {tarOf(t, file{name: "index.json", content: "x"}), errdefs.ErrInvalidArgument},
		"an index of nothing":    {tarOf(t, file{name: "index.json", content: self}), errdefs.ErrNotFound},
		"a digest that is none":  {tarOf(t, file{name: "index.json", content: `{"manifests":[{"digest":"sha256:../../x"}]}`}), errdefs.ErrInvalidArgument},
		"too many manifests":     {tarOf(t, many, file{name: "blobs/sha256/" + hashOf([]byte("{}")), content: "{}"}), errdefs.ErrInvalidArgument},
		"a name for terminals":   {saved(t, nano(t, "a\x1b[2J:1")), errdefs.ErrInvalidArgument},
		"a name of nothing":      {saved(t, nano(t, "")), errdefs.ErrInvalidArgument},
		"a manifest that is big": {tarOf(t, file{name: "manifest.json", content: strings.Repeat(" ", 9<<20)}), errdefs.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{bytes.NewReader(c.data), pipe{bytes.NewReader(c.data)}} {
				store := filepath.Join(t.TempDir(), "store")
				_, err := layers.Import(t.Context(), r, store, layers.WithDriver(hcstest.NewLayers(t)))
				wantError(t, err, c.kind)
				absent(t, store)
			}
		})
	}
}

func TestImportOfAReaderThatFails(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(bytes.NewReader(saved(t, nano(t))[:1000]), failing{broken})
	_, err := layers.Import(t.Context(), r, t.TempDir(), layers.WithDriver(hcstest.NewLayers(t)))
	wantError(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Whatever is imported, nothing outside the store changes. An import that fails
// leaves no image.
func FuzzImport(f *testing.F) {
	f.Add(saved(f, nano(f, "a:1")))
	f.Add(layout(f, nano(f, "a:1")))
	f.Add(gzipped(f, saved(f, nano(f))))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		outside := t.TempDir()
		store := filepath.Join(outside, "store")
		driver := hcstest.NewLayerStore()
		image, err := layers.Import(t.Context(), bytes.NewReader(data), store,
			layers.WithDriver(driver), layers.WithMaxSize(1<<20))
		if err == nil {
			if err := layers.Remove(t.Context(), store, image.ID, layers.WithDriver(driver)); err != nil {
				t.Error(err)
			}
		} else if images, err := layers.Images(store); err != nil || len(images) > 0 {
			t.Errorf("images: %v, %v", images, err)
		}
		entries, err := os.ReadDir(outside)
		if err != nil || len(entries) > 1 {
			t.Errorf("outside of the store: %v, %v", entries, err)
		}
	})
}
