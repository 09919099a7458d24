package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// maxLinks limits the names of a layer's links that are kept, in bytes.
const maxLinks = 16 << 20

// whiteout is the prefix of the name of a file that a layer hides.
const whiteout = ".wh."

// roots are the folders that a layer of Windows consists of.
var roots = []string{"files", "hives", "utilityvm"}

// checkLayer reads a layer's tar to its end and returns an error if anything in it
// could make Windows write outside of the layer's folder, or more than limit bytes.
func checkLayer(ctx context.Context, r io.Reader, limit int64) error {
	w := layerWalk{left: limit, links: map[string]bool{}}
	files := tar.NewReader(r)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := w.entry(header); err != nil {
			return fmt.Errorf("file %q: %w", header.Name, err)
		}
	}
}

// layerWalk is what the check remembers of earlier files.
type layerWalk struct {
	left      int64           // bytes that files may still have
	last      string          // the file before, to which a stream can belong
	links     map[string]bool // reparse points and symbolic links, folded
	linkBytes int
}

func (w *layerWalk) entry(header *tar.Header) error {
	name, err := w.place(header)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		// The size after decompression of a sparse file, too.
		if w.left -= header.Size; w.left < 0 {
			return errTooLarge
		}
	case tar.TypeDir:
	case tar.TypeLink:
		target := header.Linkname
		if err := w.safe(target); err != nil {
			return fmt.Errorf("it is a link to %q: %w", header.Linkname, err)
		}
		if w.links[fold(target)] {
			return hostile("it is a link to the link %q", header.Linkname)
		}
	case tar.TypeSymlink:
		// Its target is a path in the container, and may be anything: Windows
		// does not write through it.
		if w.linkBytes += len(name); w.linkBytes > maxLinks {
			return hostile("the layer has too many links")
		}
		w.links[fold(name)] = true
	default:
		return hostile("its type is %q, which no layer of Windows has", header.Typeflag)
	}
	w.last = name
	return nil
}

// place returns the cleaned name of a file, of the file that a stream belongs to, or
// of the file that a whiteout hides.
func (w *layerWalk) place(header *tar.Header) (string, error) {
	name := strings.TrimSuffix(header.Name, "/")
	dir, base := path.Split(name)
	if owner, _, ok := strings.Cut(base, ":"); ok && header.Typeflag == tar.TypeReg {
		if dir+owner != w.last {
			return "", hostile("it is a stream of a file that does not stand before it")
		}
		name = dir + owner
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		if dir == "" {
			return "", hostile("it would hide a whole folder of the layers below")
		}
		name = dir + hidden
	}
	return name, w.safe(name)
}

// safe returns an error for a name that is not below one of the roots, or that goes
// through a link.
func (w *layerWalk) safe(name string) error {
	elements := strings.Split(name, "/")
	if !slices.Contains(roots, strings.ToLower(elements[0])) {
		return hostile("it is in none of the folders Files, Hives and UtilityVM")
	}
	for _, element := range elements {
		// Windows drops points and blanks at the end of a name.
		if strings.TrimRight(element, ". ") == "" {
			return hostile("its path has the element %q", element)
		}
		if i := strings.IndexFunc(element, forbidden); i >= 0 {
			return hostile("its path has the character %q", element[i])
		}
	}
	if len(w.links) == 0 {
		return nil
	}
	folded := fold(name)
	for i, r := range folded {
		if r == '/' && w.links[folded[:i]] {
			return hostile("its path goes through the link %q", folded[:i])
		}
	}
	return nil
}

// fold returns a form of a name that is the same for all names that Windows takes
// for one.
func fold(name string) string { return strings.ToUpper(name) }

// forbidden reports whether a character has a special meaning for Windows.
func forbidden(r rune) bool { return r < ' ' || r == '\\' || r == ':' }

func hostile(format string, args ...any) error {
	return fmt.Errorf("%w: the layer is not imported: %w", fmt.Errorf(format, args...), errdefs.ErrInvalidArgument)
}
