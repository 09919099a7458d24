package layers

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
)

const (
	// maxEntries and maxNames, in bytes, bound what is kept of a tar's contents.
	maxEntries = 1 << 16
	maxNames   = 16 << 20
	// maxHops bounds how many links lead to a file in a tar.
	maxHops = 8
)

// archive is the tar of an image, whose files can be read in any order.
type archive struct {
	tar     io.ReaderAt
	files   map[string]section
	links   map[string]string // name of a link to what it points to
	cleanup func()
}

// section is where the content of a file is.
type section struct{ offset, size int64 }

// openArchive reads the table of contents of a tar. If the tar is compressed, or
// can only be read from beginning to end, it is first copied to a temporary file,
// of at most limit bytes.
func openArchive(ctx context.Context, image io.Reader, limit int64) (*archive, error) {
	seekable, size := atAnyPlace(image)
	if seekable != nil && compression(head(seekable)) != "" {
		image, seekable = io.NewSectionReader(seekable, 0, size), nil
	}
	a := &archive{cleanup: func() {}}
	if seekable == nil {
		file, n, err := spool(ctx, image, limit)
		if err != nil {
			return nil, fmt.Errorf("copy the image to a temporary file: %w", err)
		}
		seekable, size = file, n
		a.cleanup = func() {
			file.Close()
			os.Remove(file.Name())
		}
	}
	a.tar = seekable
	if err := a.index(ctx, size); err != nil {
		a.cleanup()
		return nil, fmt.Errorf("read the image's tar: %w", err)
	}
	return a, nil
}

// atAnyPlace returns the rest of a file, and its size; nil for a pipe.
func atAnyPlace(r io.Reader) (io.ReaderAt, int64) {
	file, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return nil, 0
	}
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0
	}
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0
	}
	return io.NewSectionReader(file, start, end-start), end - start
}

// spool copies an image, decompressed, to a temporary file.
func spool(ctx context.Context, image io.Reader, limit int64) (_ *os.File, size int64, err error) {
	buffered := bufio.NewReader(image)
	start, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	var r io.Reader = buffered
	switch compression(start) {
	case "gzip":
		if r, err = gzip.NewReader(buffered); err != nil {
			return nil, 0, err
		}
	case "zstd":
		return nil, 0, fmt.Errorf("it is compressed with zstd, which is not supported: %w", errdefs.ErrNotImplemented)
	}
	file, err := os.CreateTemp("", "layers-import-*.tar")
	if err != nil {
		return nil, 0, err
	}
	size, err = io.Copy(file, &guard{ctx: ctx, r: r, left: limit})
	if err != nil {
		file.Close()
		os.Remove(file.Name())
		return nil, 0, err
	}
	return file, size, nil
}

// compression names the format of compressed data by its first bytes; empty if it
// is not compressed.
func compression(start []byte) string {
	switch {
	case strings.HasPrefix(string(start), "\x1f\x8b"):
		return "gzip"
	case strings.HasPrefix(string(start), "\x28\xb5\x2f\xfd"):
		return "zstd"
	}
	return ""
}

func head(r io.ReaderAt) []byte {
	start := make([]byte, 4)
	n, _ := r.ReadAt(start, 0) // an unreadable file fails later, when it is read
	return start[:n]
}

// index finds the files of the tar.
func (a *archive) index(ctx context.Context, size int64) error {
	file := io.NewSectionReader(a.tar, 0, size)
	r := tar.NewReader(file) // seeks over contents
	a.files, a.links = map[string]section{}, map[string]string{}
	names := 0
	for entries := 0; ; entries++ {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if names += len(header.Name) + len(header.Linkname); entries >= maxEntries || names > maxNames {
			return invalid("it has more than %d files, or names longer than %d bytes together", maxEntries, maxNames)
		}
		name := path.Clean(header.Name)
		delete(a.files, name) // of two files with one name the last one counts
		delete(a.links, name)
		switch header.Typeflag {
		case tar.TypeReg:
			offset, err := file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			if header.Size > size-offset {
				return fmt.Errorf("%q: %w", name, io.ErrUnexpectedEOF)
			}
			a.files[name] = section{offset, header.Size}
		case tar.TypeSymlink:
			a.links[name] = path.Join(path.Dir(name), header.Linkname)
		case tar.TypeLink:
			a.links[name] = path.Clean(header.Linkname)
		}
	}
}

// find returns a file of the tar, and false if there is none of that name.
func (a *archive) find(name string) (section, bool) {
	name = path.Clean(name)
	for range maxHops {
		if s, ok := a.files[name]; ok {
			return s, true
		}
		target, ok := a.links[name]
		if !ok {
			break
		}
		name = target
	}
	return section{}, false
}

func (a *archive) open(s section) *io.SectionReader {
	return io.NewSectionReader(a.tar, s.offset, s.size)
}

// json reads a small file.
func (a *archive) json(name string) ([]byte, error) {
	s, ok := a.find(name)
	if !ok {
		return nil, fmt.Errorf("%q is not in the tar: %w", name, errdefs.ErrNotFound)
	}
	text, err := readSmall(a.open(s))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return text, nil
}

// guard reads until its context ends or more than left bytes have come.
type guard struct {
	ctx  context.Context //nolint:containedctx // a reader has no other way to learn of it
	r    io.Reader
	left int64
}

func (g *guard) Read(p []byte) (int, error) {
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := g.r.Read(p)
	if g.left -= int64(n); g.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

var errTooLarge = fmt.Errorf("the image is larger than allowed, see WithMaxSize: %w", errdefs.ErrResourceExhausted)
