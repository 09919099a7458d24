package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/examples/swarm"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// newHost returns this machine, or a simulated one, and then says so.
func newHost(stderr io.Writer, stateDir string, choice hostChoice) (*swarm.Host, error) {
	dir, err := filepath.Abs(filepath.Join(stateDir, "host"))
	if err != nil {
		return nil, err
	}
	if choice.simulate || runtime.GOOS != "windows" {
		service := hcstest.NewService(hcstest.WithCallLimit(0))
		fmt.Fprintf(stderr, "simulating the HCS of Windows build %d\n", service.Host().Build)
		if choice.images != "" {
			return nil, errors.New("--images: the simulator knows every image")
		}
		return swarm.NewSimulatedHost(service, hcstest.NewLayerStore(), dir)
	}
	if choice.images == "" {
		return nil, errors.New("--images is missing: it tells the layers of the images")
	}
	images, err := swarm.ReadImages(choice.images)
	if err != nil {
		return nil, err
	}
	service, err := libcontainerd.HostService()
	if err != nil {
		return nil, err
	}
	return swarm.NewHost(service, nil, images, filepath.Join(dir, "scratches")), nil
}
