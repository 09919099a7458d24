package swarm

import (
	"os"
	"path/filepath"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// Host is the machine that the containers of a node run on. It outlives the node:
// a program that starts a node again gives it the same Host.
type Host struct {
	service   libcontainerd.ComputeService
	images    Images
	scratches *scratches
}

// NewHost makes a host of an HCS, images, and a driver for their layers; nil is the
// driver of Windows. Scratches is the folder for the scratches of the
// containers; it is absolute.
func NewHost(service libcontainerd.ComputeService, driver layers.Driver, images Images, scratches string) *Host {
	return &Host{service: service, images: images, scratches: newScratches(scratches, driver)}
}

// NewSimulatedHost makes a host of a simulated HCS and simulated layers. Every name is
// an image. Dir is a folder for the files of layers and scratches.
func NewSimulatedHost(service *hcstest.Service, store *hcstest.LayerStore, dir string) (*Host, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	layer := filepath.Join(dir, "layers", "simulated")
	if err := os.MkdirAll(layer, 0o700); err != nil {
		return nil, err
	}
	anyName := func(string) (layers.Layers, error) { return layers.Layers{layer}, nil }
	return NewHost(service, store, anyName, filepath.Join(dir, "scratches")), nil
}
