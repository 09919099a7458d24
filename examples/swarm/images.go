package swarm

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// Images finds the layers of an image by its name. An unknown name is
// errdefs.ErrNotFound. It may be called concurrently.
type Images func(name string) (layers.Layers, error)

// ReadImages reads a JSON file that maps names of images to the folders of their
// layers, the topmost first, or to the folder of the topmost layer in the store of a
// Docker engine:
//
//	{
//		"nanoserver": {"layers": ["C:\\layers\\nanoserver"]},
//		"servercore": {"folder": "C:\\ProgramData\\docker\\windowsfilter\\0123"}
//	}
//
// Other fields are ignored.
func ReadImages(file string) (Images, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	return parseImages(file, text)
}

func parseImages(file string, text []byte) (Images, error) {
	var images map[string]struct {
		Layers layers.Layers `json:"layers"`
		Folder string        `json:"folder"`
	}
	if err := json.Unmarshal(text, &images); err != nil {
		return nil, fmt.Errorf("images in %s: %w: %w", file, err, errdefs.ErrInvalidArgument)
	}
	for name, image := range images {
		if len(image.Layers) == 0 && image.Folder == "" {
			return nil, fmt.Errorf("images in %s: %q has neither layers nor folder: %w", file, name, errdefs.ErrInvalidArgument)
		}
	}
	return func(name string) (layers.Layers, error) {
		image, ok := images[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("image %q is not in %s: %w", name, file, errdefs.ErrNotFound)
		case len(image.Layers) > 0:
			return image.Layers, nil
		}
		return layers.Docker(image.Folder)
	}, nil
}
