package layers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
)

const (
	chainFile   = "layerchain.json" // the parents of a Docker layer
	scratchDisk = "sandbox.vhdx"    // what makes a layer a scratch

	// maxLayers is above what Windows can mount, and far above what images have.
	maxLayers = 256
	// maxJSON bounds every JSON file that is read, in bytes.
	maxJSON = 8 << 20
)

// Docker returns the layers of an image in the store of a Docker engine whose
// graph driver is windowsfilter. The folder is that of the image's topmost layer:
//
//	docker image inspect -f "{{.GraphDriver.Data.dir}}" IMAGE
//
// For the folder of a container, Docker returns the layers below its scratch.
//
// Docker changes nothing. A folder that does not exist is errdefs.ErrNotFound, a
// file that Docker's engine did not write errdefs.ErrInvalidArgument. The engine
// does not know of the mount, but must not remove the image while it is mounted:
// keep a tag, or a container of the image.
func Docker(folder string) (Layers, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, invalid("docker layer %q: %w", folder, err)
	}
	if err := isFolder(folder); err != nil {
		return nil, fmt.Errorf("docker layer: %w", err)
	}
	parents, err := readChain(filepath.Join(folder, chainFile))
	if err != nil {
		return nil, fmt.Errorf("docker layer: %w", err)
	}
	layers := Layers(parents)
	isScratch, err := exists(filepath.Join(folder, scratchDisk))
	if err != nil {
		return nil, fmt.Errorf("docker layer: %w", err)
	}
	if !isScratch {
		layers = append(Layers{folder}, parents...)
	}
	layers, err = layers.checked()
	if err != nil {
		return nil, fmt.Errorf("docker layer %s: %w", folder, err)
	}
	return layers, nil
}

// readChain reads the parents of a layer, topmost first; a base layer has no such
// file.
func readChain(file string) ([]string, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := readSmall(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	chain, err := parseChain(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return chain, nil
}

// parseChain parses a layerchain.json.
func parseChain(text []byte) ([]string, error) {
	var chain []string
	if err := json.Unmarshal(text, &chain); err != nil {
		return nil, invalid("want a JSON array of folders: %w", err)
	}
	return chain, nil
}

// readSmall reads a JSON text, which must not be longer than maxJSON.
func readSmall(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	if err == nil && len(text) > maxJSON {
		err = invalid("longer than %d bytes", maxJSON)
	}
	return text, err
}

// checked returns the layers with cleaned paths. It returns an error unless they
// can be mounted on each other: there must be at least one, each must be an
// existing folder, and their names must differ.
func (l Layers) checked() (Layers, error) {
	if len(l) == 0 {
		return nil, invalid("layers: is empty")
	}
	if len(l) > maxLayers {
		return nil, invalid("layers: %d are given, %d are possible", len(l), maxLayers)
	}
	clean := make(Layers, len(l))
	first := map[string]int{}
	for i, folder := range l {
		if !filepath.IsAbs(folder) {
			return nil, invalid("layers[%d]: %q is not an absolute path", i, folder)
		}
		if err := isFolder(folder); err != nil {
			return nil, fmt.Errorf("layers[%d]: %w", i, err)
		}
		clean[i] = filepath.Clean(folder)
		// Windows makes the id of a layer from the name of its folder.
		name := pathKey(filepath.Base(folder))
		if j, twice := first[name]; twice {
			return nil, invalid("layers[%d]: %s has the name of layers[%d], %s: each layer needs another", i, folder, j, l[j])
		}
		first[name] = i
	}
	return clean, nil
}

func isFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist: %w", path, errdefs.ErrNotFound)
	case err != nil:
		return err
	case !info.IsDir():
		return invalid("%s is not a folder", path)
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
