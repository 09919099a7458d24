package layers

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// DefaultMaxSize is how large an image may be, in bytes, unless WithMaxSize says
// otherwise: several times the largest image that Microsoft publishes.
const DefaultMaxSize = 64 << 30

// importer is one Import in progress.
type importer struct {
	driver    Driver
	isolation libcontainerd.Isolation
	name      string
	maxSize   int64
	progress  func(Progress)
	store     store
}

type importOption func(*importer) error

func (o importOption) applyToImport(i *importer) error { return o(i) }

// WithProgress makes Import call f at each Step of each layer, and after every
// few megabytes. Import waits for f.
func WithProgress(f func(Progress)) ImportOption {
	return importOption(func(i *importer) error {
		i.progress = f
		return nil
	})
}

// WithIsolation says how the image's containers will be isolated: an image for an
// earlier Windows than the host's runs with libcontainerd.IsolationHyperV only.
// Without this option it is libcontainerd.IsolationProcess.
func WithIsolation(isolation libcontainerd.Isolation) ImportOption {
	return importOption(func(i *importer) error {
		if isolation != libcontainerd.IsolationProcess && isolation != libcontainerd.IsolationHyperV {
			return invalid("isolation %q: want %q or %q", isolation, libcontainerd.IsolationProcess, libcontainerd.IsolationHyperV)
		}
		i.isolation = isolation
		return nil
	})
}

// WithImage chooses an image, by its name, from a tar that holds several.
func WithImage(name string) ImportOption {
	return importOption(func(i *importer) error {
		i.name = name
		return nil
	})
}

// WithMaxSize limits the files of all layers together, and the temporary copy of
// a tar, each in bytes.
func WithMaxSize(bytes int64) ImportOption {
	return importOption(func(i *importer) error {
		if bytes <= 0 {
			return invalid("maximum size %d: want 1 byte or more", bytes)
		}
		i.maxSize = bytes
		return nil
	})
}

// Import reads an image from a tar into a store, and returns the image. The tar
// is one of "docker save", or an OCI layout. The tar and its layers may be
// compressed with gzip.
//
// Import reads an uncompressed file in place. It first copies a pipe or a
// compressed file, decompressed, to a temporary file, which stays behind if the
// process dies.
//
// Import writes nothing into the store before it knows that the host can run the
// image: os and os.version must suit the build of the host and WithIsolation. If not,
// the error is errdefs.ErrFailedPrecondition and says what would run. If an image is
// for several versions of Windows, Import takes the newest that suits.
//
// Import checks each layer before Windows writes it: its digests, and that no
// name leads out of its folder. It does not read a layer again that the store
// has. After a failure or a crash, the next Import goes on with the first layer
// that is not complete.
//
// Other errors are errdefs.ErrInvalidArgument for a file without an image or with
// a hostile one, errdefs.ErrDataLoss for wrong digests,
// errdefs.ErrResourceExhausted for more than WithMaxSize,
// errdefs.ErrPermissionDenied if the process is not an administrator, and the
// errors of Windows. When ctx ends, Import stops, but waits for a call to Windows
// that has begun. Import may be called concurrently; two that use one store take
// turns.
func Import(ctx context.Context, image io.Reader, store string, options ...ImportOption) (Image, error) {
	i, err := newImporter(store, options)
	if err != nil {
		return Image{}, fmt.Errorf("import: %w", err)
	}
	imported, err := i.run(ctx, image)
	if err != nil {
		return Image{}, fmt.Errorf("import: %w", err)
	}
	return imported, nil
}

func newImporter(folder string, options []ImportOption) (*importer, error) {
	i := &importer{isolation: libcontainerd.IsolationProcess, maxSize: DefaultMaxSize, progress: func(Progress) {}}
	for _, option := range options {
		if err := option.applyToImport(i); err != nil {
			return nil, err
		}
	}
	var err error
	if i.store, err = openStore(folder); err != nil {
		return nil, err
	}
	i.driver, err = withDefault(i.driver)
	return i, err
}

func (i *importer) run(ctx context.Context, image io.Reader) (Image, error) {
	a, err := openArchive(ctx, image, i.maxSize)
	if err != nil {
		return Image{}, err
	}
	defer a.cleanup()
	c, err := i.choose(a)
	if err != nil {
		return Image{}, err
	}
	unlock, err := i.store.lock(ctx)
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	left := i.maxSize
	chain, err := i.layers(ctx, a, c, &left)
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", c.label(), err)
	}
	return i.store.add(c.image(chain))
}

func (i *importer) choose(a *archive) (*candidate, error) {
	text, architecture, err := i.driver.Host()
	if err != nil {
		return nil, err
	}
	host, err := parseVersion(text)
	if err != nil {
		return nil, err
	}
	all, err := a.candidates()
	if err != nil {
		return nil, err
	}
	return choose(all, i.name, host, architecture, i.isolation)
}

// layers imports the layers of an image, base first, and returns their chain IDs,
// topmost first.
func (i *importer) layers(ctx context.Context, a *archive, c *candidate, left *int64) ([]string, error) {
	var chain []string
	for n, b := range c.layers {
		l := layerImport{
			importer: i, archive: a, blob: b, left: left,
			id:       chainID(chain, b.diffID),
			parents:  i.store.folders(chain),
			progress: Progress{Layer: n + 1, Layers: len(c.layers)},
		}
		if err := l.run(ctx); err != nil {
			return nil, fmt.Errorf("layer %d of %d, %q: %w", n+1, len(c.layers), b.name, err)
		}
		chain = slices.Insert(chain, 0, l.id)
	}
	return chain, nil
}

// chainID returns the chain ID of a layer on its parents, which are given topmost
// first.
func chainID(below []string, diffID string) string {
	if len(below) == 0 {
		return diffID
	}
	return digestOf([]byte("sha256:" + below[0] + " sha256:" + diffID))
}

func (c *candidate) image(chain []string) Image {
	config := c.config.Config
	return Image{
		ID:           c.id,
		Names:        c.names,
		OSVersion:    c.config.OSVersion,
		Architecture: c.config.Architecture,
		Chain:        chain,
		Config: Config{
			Entrypoint: config.Entrypoint, Cmd: config.Cmd, Env: config.Env,
			WorkingDir: config.WorkingDir, User: config.User, ArgsEscaped: config.ArgsEscaped,
		},
	}
}

// layerImport is the import of one layer.
type layerImport struct {
	*importer
	archive  *archive
	blob     blob
	id       string   // chain ID
	parents  []string // folders, topmost first
	left     *int64   // bytes that the layers may still have
	progress Progress
}

func (l *layerImport) run(ctx context.Context) error {
	l.progress.ID = l.id
	complete, err := l.store.complete(l.id)
	if err != nil {
		return err
	}
	if complete {
		l.report(StepCached)
		return nil
	}
	content, ok := l.archive.find(l.blob.name)
	if !ok {
		return fmt.Errorf("it is not in the tar, as a layer that Microsoft distributes may not be: pull the image where it can be, and save it again: %w", errdefs.ErrNotFound)
	}
	l.progress.Total = content.size
	size, err := l.check(ctx, content)
	if err != nil {
		return err
	}
	*l.left -= size
	return l.write(ctx, content, size)
}

// check reads the layer and returns how long it is, decompressed.
func (l *layerImport) check(ctx context.Context, content section) (int64, error) {
	l.report(StepChecking)
	r, err := l.open(ctx, content)
	if err != nil {
		return 0, err
	}
	if err := checkLayer(ctx, r, *l.left); err != nil {
		return 0, err
	}
	return r.finish()
}

// write makes Windows write the layer. The layer does not count until it is
// marked as complete. The next attempt first destroys what an earlier one left.
func (l *layerImport) write(ctx context.Context, content section, size int64) error {
	folder := l.store.folder(l.id)
	if err := l.destroy(folder); err != nil {
		return fmt.Errorf("remove what is left of an import: %w", err)
	}
	l.report(StepImporting)
	r, err := l.open(ctx, content)
	if err != nil {
		return err
	}
	err = l.driver.Import(ctx, r, folder, l.parents)
	if err == nil {
		_, err = r.finish() // the file may have changed since check
	}
	if err == nil {
		err = l.store.markComplete(l.id, layerRecord{DiffID: l.blob.diffID, Size: size})
	}
	if err != nil {
		if left := l.destroy(folder); left != nil {
			return fmt.Errorf("%w; and what was written could not be removed: %w", err, left)
		}
		return err
	}
	l.progress.Bytes = l.progress.Total
	l.report(StepDone)
	return nil
}

func (i *importer) destroy(folder string) error {
	there, err := exists(folder)
	if err != nil || !there {
		return err
	}
	return i.driver.Destroy(folder)
}

func (l *layerImport) report(step Step) {
	l.progress.Step = step
	l.importer.progress(l.progress)
}

// progressEvery is the number of bytes between two reports.
const progressEvery = 4 << 20

// read reports the progress of reading the blob.
func (l *layerImport) read(total int64) {
	if total-l.progress.Bytes < progressEvery {
		return
	}
	l.progress.Bytes = total
	l.report(l.progress.Step)
}

// open returns the layer's tar, decompressed.
func (l *layerImport) open(ctx context.Context, content section) (*layerReader, error) {
	l.progress.Bytes = 0
	r := &layerReader{
		want: l.blob,
		blob: counter{r: l.archive.open(content), sum: sha256.New(), each: l.read},
	}
	start := head(l.archive.open(content))
	var plain io.Reader = &r.blob
	switch compression(start) {
	case "gzip":
		var err error
		if plain, err = gzip.NewReader(&r.blob); err != nil {
			return nil, err
		}
	case "zstd":
		return nil, fmt.Errorf("it is compressed with zstd, which is not supported: %w", errdefs.ErrNotImplemented)
	}
	r.diff = counter{r: &guard{ctx: ctx, r: plain, left: *l.left}, sum: sha256.New(), each: func(int64) {}}
	return r, nil
}

// layerReader reads the decompressed tar of a layer. At the end it knows both
// digests.
type layerReader struct {
	want blob
	blob counter // as it is in the image's tar
	diff counter // decompressed
}

func (r *layerReader) Read(p []byte) (int, error) { return r.diff.Read(p) }

// finish reads what follows the end of the tar, checks the digests, and returns the
// decompressed length.
func (r *layerReader) finish() (int64, error) {
	if _, err := io.Copy(io.Discard, &r.diff); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, &r.blob); err != nil {
		return 0, err
	}
	if err := r.blob.verify("digest", r.want.digest); err != nil {
		return 0, err
	}
	return r.diff.n, r.diff.verify("diff ID", r.want.diffID)
}

// counter counts what is read, and computes its digest.
type counter struct {
	r    io.Reader
	sum  hash.Hash
	n    int64
	each func(total int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	c.each(c.n)
	return n, err
}

func (c *counter) verify(what, want string) error {
	got := hex.EncodeToString(c.sum.Sum(nil))
	if want == "" || got == want {
		return nil
	}
	return fmt.Errorf("its %s is sha256:%s instead of sha256:%s: %w", what, got, want, errdefs.ErrDataLoss)
}
