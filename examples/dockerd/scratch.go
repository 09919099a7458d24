package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// The scratch of a container holds what it writes. It is mounted when the container
// is first started, and stays so until the container is removed: the engine may
// restart it at any moment, also a new engine.

// scratch is the folder of a container's scratch.
func (d *daemon) scratch(id string) string { return filepath.Join(d.dir, "scratches", id) }

func (d *daemon) mountOptions(r record) []layers.MountOption {
	options := append([]layers.MountOption{layers.WithContainer(r.ID), layers.WithKeptScratch()}, d.layers...)
	if r.HostConfig.Isolation.IsHyperV() {
		options = append(options, layers.WithHyperV())
	}
	return options
}

// mount mounts the scratch of a container, unless it is mounted, and completes the
// spec.
func (d *daemon) mount(ctx context.Context, c *managed, spec *libcontainerd.Spec) error {
	c.mu.Lock()
	mounted := c.mounted
	c.mu.Unlock()
	if mounted == nil {
		var err error
		if mounted, err = d.mountNew(ctx, c.snapshot()); err != nil {
			return fmt.Errorf("scratch of container %s: %w", c.id, err)
		}
		c.mu.Lock()
		c.mounted = mounted
		c.mu.Unlock()
	}
	mounted.Apply(spec)
	return nil
}

func (d *daemon) mountNew(ctx context.Context, r record) (*layers.Mounted, error) {
	i, err := d.images.find(r.Image)
	if err != nil {
		return nil, err
	}
	stack, err := i.stack()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(d.scratch(r.ID)), 0o700); err != nil {
		return nil, err
	}
	return layers.Mount(ctx, stack, d.scratch(r.ID), d.mountOptions(r)...)
}

// remount takes over the mount that a former daemon has left, if there is one. After
// a restart of the host it is mounted again.
func (d *daemon) remount(c *managed) error {
	options := d.mountOptions(c.record)
	mounted, err := d.openMount(d.scratch(c.id), options...)
	switch {
	case errdefs.IsNotFound(err):
		return nil // it was never started
	case err != nil:
		if released := layers.Release(d.ctx, d.scratch(c.id), options...); released != nil {
			return errors.Join(err, released)
		}
		if mounted, err = d.mountNew(d.ctx, c.record); err != nil {
			return err
		}
	}
	c.mounted = mounted
	return nil
}

// unmount unmounts and deletes the scratch of a container that has exited.
func (d *daemon) unmount(ctx context.Context, c *managed) error {
	c.mu.Lock()
	mounted := c.mounted
	c.mu.Unlock()
	if mounted == nil {
		return nil
	}
	mounted.Keep = false
	if err := mounted.Unmount(ctx); err != nil {
		return fmt.Errorf("scratch of container %s: %w", c.id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mounted = nil
	return nil
}
