package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// image is the image of a container: its layers, and what it says of the process.
type image struct {
	layers layers.Layers
	config layers.Config
}

// findImage finds an image by a folder in Docker's store, by a tar, which it
// imports, or by a name in the store of hcsrun.
func (a *app) findImage(ctx context.Context, ref string, isolation libcontainerd.Isolation) (image, error) {
	switch {
	case isFolder(ref):
		found, err := layers.Docker(ref)
		return image{layers: found}, err
	case isFile(ref):
		imported, err := a.importImage(ctx, ref, layers.WithIsolation(isolation))
		return image{imported.Layers, imported.Config}, err
	}
	found, err := layers.Find(a.store, ref)
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("%w: hint: name a folder of Docker (docker image inspect -f \"{{.GraphDriver.Data.dir}}\" IMAGE) or a tar of docker save, or see hcsrun image ls", err)
	}
	return image{found.Layers, found.Config}, err
}

// importImage reads a tar into the store, and reports its progress.
func (a *app) importImage(ctx context.Context, file string, options ...layers.ImportOption) (layers.Image, error) {
	tar, err := os.Open(file)
	if err != nil {
		return layers.Image{}, err
	}
	defer tar.Close()
	if a.driver != nil {
		options = append(options, layers.WithDriver(a.driver))
	}
	return layers.Import(ctx, tar, a.store, append(options, layers.WithProgress(a.printProgress))...)
}

// printProgress prints a line for each layer that was imported.
func (a *app) printProgress(p layers.Progress) {
	if p.Step == layers.StepDone {
		a.notice("layer %d of %d is imported, %s", p.Layer, p.Layers, units.BytesSize(float64(p.Bytes)))
	}
}

// simulatedImage takes the place of any image, since a simulated HCS does not
// read files.
func simulatedImage(name string) image {
	name = strings.NewReplacer("/", "_", `\`, "_", ":", "_").Replace(name)
	return image{layers: layers.Layers{`C:\hcsrun\layers\` + name}}
}

// anyImage takes the place of an image that is not looked up yet.
var anyImage = image{layers: layers.Layers{`C:\any`}, config: layers.Config{Cmd: []string{"any"}}}
