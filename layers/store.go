package layers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// store is the folder of a store. Its content is described in doc.go.
type store struct{ root string }

func openStore(folder string) (store, error) {
	if folder == "" {
		return store{}, invalid("store: is empty")
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return store{}, invalid("store: %w", err)
	}
	return store{folder}, nil
}

func (s store) imageFile(id string) string { return filepath.Join(s.root, "images", id+".json") }
func (s store) folder(id string) string    { return filepath.Join(s.root, "layers", id) }
func (s store) layerFile(id string) string { return s.folder(id) + ".json" }
func (s store) scratches() string          { return filepath.Join(s.root, "scratches") }

// folders are the folders of layers.
func (s store) folders(chain []string) []string {
	folders := make([]string, len(chain))
	for i, id := range chain {
		folders[i] = s.folder(id)
	}
	return folders
}

// lock makes the store if there is none. It keeps other processes from changing
// the store until unlock is called or this process ends.
func (s store) lock(ctx context.Context) (unlock func(), err error) {
	for _, name := range []string{"images", "layers", "scratches"} {
		if err := os.MkdirAll(filepath.Join(s.root, name), 0o755); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(filepath.Join(s.root, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := tryLock(f)
		if locked {
			return func() { f.Close() }, nil
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another process changes the store %s: %w", s.root, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// layerRecord marks a layer as complete, and describes it.
type layerRecord struct {
	DiffID string `json:"diffID"`
	Size   int64  `json:"size"` // of its tar, decompressed
}

// complete reports whether a layer is in the store.
func (s store) complete(id string) (bool, error) {
	marked, err := exists(s.layerFile(id))
	if err != nil || !marked {
		return false, err
	}
	there, err := exists(s.folder(id))
	if err != nil || there {
		return there, err
	}
	return false, os.Remove(s.layerFile(id)) // the folder was removed
}

func (s store) markComplete(id string, r layerRecord) error { return writeJSON(s.layerFile(id), r) }

// add makes an image known, and removes its names from other images.
func (s store) add(image Image) (Image, error) {
	images, err := s.images()
	if err != nil {
		return Image{}, err
	}
	for _, other := range images {
		kept := slices.DeleteFunc(slices.Clone(other.Names), func(name string) bool { return slices.Contains(image.Names, name) })
		if other.ID == image.ID {
			image.Names = sorted(append(image.Names, other.Names...))
			continue
		}
		if len(kept) == len(other.Names) {
			continue
		}
		other.Names = kept
		if err := writeJSON(s.imageFile(other.ID), other); err != nil {
			return Image{}, err
		}
	}
	image.Imported = time.Now().UTC()
	image.Layers = s.folders(image.Chain)
	return image, writeJSON(s.imageFile(image.ID), image)
}

// writeJSON replaces a file as a whole.
func writeJSON(file string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	unfinished := file + ".new"
	if err := os.WriteFile(unfinished, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return insist(func() error { return os.Rename(unfinished, file) })
}

// Images lists the images in a store, sorted by their names. A store that does
// not exist has none. Images may be called while the store is changed.
func Images(folder string) ([]Image, error) {
	s, err := openStore(folder)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	images, err := s.images()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	return images, nil
}

func (s store) images() ([]Image, error) {
	files, err := filepath.Glob(s.imageFile("*"))
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, file := range files {
		image, err := s.readImage(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		images = append(images, image)
	}
	slices.SortFunc(images, func(a, b Image) int {
		return cmp.Or(slices.Compare(a.Names, b.Names), cmp.Compare(a.ID, b.ID))
	})
	return images, nil
}

func (s store) readImage(file string) (Image, error) {
	f, err := openSoon(file, os.O_RDONLY)
	if err != nil {
		return Image{}, err
	}
	defer f.Close()
	text, err := readSmall(f)
	if err != nil {
		return Image{}, err
	}
	var image Image
	if err := json.Unmarshal(text, &image); err != nil {
		return Image{}, invalid("want what Import wrote: %w", err)
	}
	for _, id := range append([]string{image.ID}, image.Chain...) {
		if !isDigest(id) {
			return Image{}, invalid("want what Import wrote: id %q", id)
		}
	}
	image.Layers = s.folders(image.Chain)
	return image, nil
}

// Find returns the image that name means. A name is a full name, one without the
// tag "latest", the part of a name after a slash, as in "nanoserver:ltsc2022", an
// ID, or at least the first four digits of an ID. Find fails with
// errdefs.ErrNotFound if there is no such image, and with
// errdefs.ErrInvalidArgument if there are several.
func Find(folder, name string) (Image, error) {
	images, err := Images(folder)
	if err != nil {
		return Image{}, err
	}
	var all []string
	for _, matches := range []func(Image) bool{
		func(i Image) bool { return slices.Contains(i.Names, name) || slices.Contains(i.Names, name+":latest") },
		func(i Image) bool {
			return slices.ContainsFunc(i.Names, func(full string) bool { return endsIn(full, name) })
		},
		func(i Image) bool { return beginsID(i.ID, name) },
	} {
		found := slices.DeleteFunc(slices.Clone(images), func(i Image) bool { return !matches(i) })
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return Image{}, invalid("image %q: may be %s or %s", name, found[0].label(), found[1].label())
		}
	}
	for _, i := range images {
		all = append(all, i.label())
	}
	return Image{}, fmt.Errorf("image %q is not in the store %s, which has %q: %w", name, folder, all, errdefs.ErrNotFound)
}

func endsIn(full, name string) bool {
	return name != "" && (strings.HasSuffix(full, "/"+name) || strings.HasSuffix(full, "/"+name+":latest"))
}

func beginsID(id, name string) bool {
	const shortest = 4
	name = strings.TrimPrefix(name, "sha256:")
	return len(name) >= shortest && strings.HasPrefix(id, name)
}

// label names an image for a reader.
func (i Image) label() string {
	if len(i.Names) > 0 {
		return i.Names[0]
	}
	return i.ID[:12]
}

// Remove removes the image that Find finds by this name. It destroys the layers
// that no other image has, and the remains of imports that failed. It fails with
// errdefs.ErrFailedPrecondition if a scratch in the folder that Scratch uses is
// mounted on one of these layers. Remove does not see scratches elsewhere:
// unmount them first, because Windows is damaged when a mounted layer is removed.
//
// Remove may be called concurrently, but not while the image is being mounted.
// WithDriver is the only option that has an effect.
func Remove(ctx context.Context, folder, name string, options ...ImportOption) error {
	i, err := newImporter(folder, options)
	if err != nil {
		return fmt.Errorf("remove image: %w", err)
	}
	unlock, err := i.store.lock(ctx)
	if err != nil {
		return fmt.Errorf("remove image %q: %w", name, err)
	}
	defer unlock()
	image, err := Find(folder, name)
	if err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if err := i.remove(ctx, image); err != nil {
		return fmt.Errorf("remove image %q: %w", name, err)
	}
	return nil
}

func (i *importer) remove(ctx context.Context, image Image) error {
	images, err := i.store.images()
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, other := range images {
		for _, id := range other.Chain {
			needed[id] = needed[id] || other.ID != image.ID
		}
	}
	unneeded, err := i.store.unneeded(image.Chain, needed)
	if err != nil {
		return err
	}
	if err := i.store.unmounted(unneeded); err != nil {
		return err
	}
	if err := insist(func() error { return os.Remove(i.store.imageFile(image.ID)) }); err != nil {
		return err
	}
	for _, id := range unneeded {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := i.removeLayer(id); err != nil {
			return err
		}
	}
	return nil
}

// unneeded lists the layers in the store that are not needed. The layers of an
// image come first, topmost first, as Windows wants it.
func (s store) unneeded(chain []string, needed map[string]bool) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.root, "layers"))
	if err != nil {
		return nil, err
	}
	list := slices.Clone(chain)
	for _, entry := range entries {
		id := strings.TrimSuffix(entry.Name(), ".json")
		if isDigest(id) && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return slices.DeleteFunc(list, func(id string) bool { return needed[id] }), nil
}

// unmounted returns an error if a scratch in the store is mounted on a layer.
func (s store) unmounted(chain []string) error {
	mounts, err := List(s.scratches())
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		for _, id := range chain {
			if slices.Contains(mount.Layers, s.folder(id)) {
				return fmt.Errorf("its layer %s is mounted by %s: %w", id[:12], mount.Scratch, errdefs.ErrFailedPrecondition)
			}
		}
	}
	return nil
}

// removeLayer destroys a layer. It removes the mark first, so that the rest
// counts as incomplete.
func (i *importer) removeLayer(id string) error {
	if err := insist(func() error { return os.Remove(i.store.layerFile(id)) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return i.destroy(i.store.folder(id))
}

// Scratch returns the folder for the scratch of a container in a store, for Mount.
// Remove looks at the scratches there before it destroys a layer.
func Scratch(folder, containerID string) (string, error) {
	s, err := openStore(folder)
	if err != nil {
		return "", err
	}
	if strings.TrimRight(containerID, ". ") == "" || strings.ContainsAny(containerID, `/\:*?"<>|`) {
		return "", invalid("container id %q: cannot be the name of a folder", containerID)
	}
	return filepath.Join(s.scratches(), containerID), nil
}
