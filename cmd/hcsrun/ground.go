package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// ground is what a container needs of the host, other than HCS: mounted layers,
// an endpoint. It is laid before the container is created, and cleared after its
// exit, in the reverse order.
type ground struct {
	*app
	id        string
	simulated bool // HCS is simulated: no files or networks of this host are used

	undo []undo
}

// undo takes back one step.
type undo struct {
	what string
	how  string // the command by which the user can do it
	do   func(context.Context) error
}

// newGround makes the ground of a container that runs on service.
func (a *app) newGround(id string, service libcontainerd.ComputeService) *ground {
	_, simulated := service.(*hcstest.Service)
	return &ground{app: a, id: id, simulated: simulated}
}

// lay mounts and connects what a spec lacks, and writes it into the spec. After
// an error nothing is left, or the error says what is left.
func (g *ground) lay(ctx context.Context, spec *libcontainerd.Spec, network string) error {
	for _, step := range []func() error{
		func() error { return g.connect(spec, network) },
		func() error { return g.resolve(spec) },
		func() error { return g.mount(ctx, spec) },
		ctx.Err,
	} {
		if err := step(); err != nil {
			return errors.Join(err, g.clear(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// clear takes back all steps. If one fails, the error names it, and clear goes on
// with the others.
func (g *ground) clear(ctx context.Context) error {
	var errs []error
	for _, u := range slices.Backward(g.undo) {
		if err := u.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s of container %q is left: %w: hint: %s", u.what, g.id, err, u.how))
		}
	}
	g.undo = nil
	return errors.Join(errs...)
}

// leave tells the user what stays because the container may run on.
func (g *ground) leave() {
	for _, u := range g.undo {
		g.notice("%s of container %q stays: %s", u.what, g.id, u.how)
	}
}

// service is the network service that goes with the HCS.
func (g *ground) service() networks {
	switch {
	case g.networks != nil:
		return g.networks
	case g.simulated:
		return &simulatedNetworks{}
	}
	return hostNetworks()
}

// connect makes an endpoint.
func (g *ground) connect(spec *libcontainerd.Spec, network string) error {
	if network == "" || network == "none" {
		return nil
	}
	hns, name := g.service(), endpointName(g.id)
	defer g.wait("connecting to network %s", network)()
	endpoint, err := hns.Connect(network, name)
	if err != nil {
		return err
	}
	g.undo = append(g.undo, undo{"the endpoint", "hcsrun kill " + g.id + " removes it", func(context.Context) error { return hns.Disconnect(name) }})
	spec.Windows.Networking = &libcontainerd.Networking{EndpointList: []string{endpoint}}
	return nil
}

// resolve replaces the network namespace of a spec, which HCS does not know here,
// by the endpoints in it.
func (g *ground) resolve(spec *libcontainerd.Spec) error {
	n := spec.Windows.Networking
	if n == nil || n.NetworkNamespace == "" {
		return nil
	}
	endpoints, err := g.service().Endpoints(n.NetworkNamespace)
	if errdefs.IsNotImplemented(err) {
		g.warn("%v: the container has no network", err)
	} else if err != nil {
		return err
	}
	resolved := *n
	resolved.NetworkNamespace = ""
	resolved.EndpointList = append(slices.Clone(n.EndpointList), endpoints...)
	spec.Windows.Networking = &resolved
	return nil
}

// mount mounts the layers of a spec without a volume. Under Hyper-V isolation the
// utility VM mounts them, and only a scratch is made.
func (g *ground) mount(ctx context.Context, spec *libcontainerd.Spec) error {
	w := &spec.Windows
	if spec.Root.Path != "" || len(w.LayerPaths) == 0 || w.HvRuntime != nil && w.LayerFolder != "" {
		return nil
	}
	if g.simulated && g.driver == nil {
		spec.Root.Path, w.LayerFolder = `\\?\Volume{5c2bb4a3-0d0e-4bd1-8f0c-6d1f5ec00001}`, `C:\hcsrun\scratches\`+g.id
		return nil
	}
	scratch := w.LayerFolder
	if scratch == "" {
		var err error
		if scratch, err = layers.Scratch(g.store, g.id); err != nil {
			return err
		}
	}
	options := g.mountOptions(layers.WithContainer(g.id))
	if w.HvRuntime != nil {
		options = append(options, layers.WithHyperV())
	}
	defer g.wait("mounting the layers of container %s", g.id)()
	mounted, err := layers.Mount(ctx, w.LayerPaths, scratch, options...)
	if err != nil {
		return err
	}
	g.undo = append(g.undo, undo{"the mount", "hcsrun layer unmount " + mounted.Scratch + ", once the container has ended", mounted.Unmount})
	mounted.Apply(spec)
	return nil
}

// release takes back what an earlier hcsrun left of the ground of a container
// that has ended. It reports whether there was something.
func (g *ground) release(ctx context.Context) (bool, error) {
	if g.simulated && g.driver == nil {
		return false, nil
	}
	mounts, err := g.mounts()
	if err != nil {
		return false, err
	}
	for _, m := range mounts {
		if m.Container != g.id || m.InUse {
			continue
		}
		defer g.wait("releasing what %s stood on", g.id)()
		if err := layers.Release(ctx, m.Scratch, g.mountOptions()...); err != nil {
			return true, err
		}
		return true, g.service().Disconnect(endpointName(g.id))
	}
	return false, nil
}

// releaseEnded calls release for every container that HCS no longer knows.
func (a *app) releaseEnded(ctx context.Context, service libcontainerd.ComputeService) error {
	mounts, err := a.mounts()
	if err != nil || len(mounts) == 0 {
		return err
	}
	systems, err := service.ComputeSystems("")
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mounts {
		runs := slices.ContainsFunc(systems, func(s libcontainerd.ComputeSystemInfo) bool { return s.ID == m.Container })
		if m.Container != "" && !runs {
			_, err := a.newGround(m.Container, service).release(ctx)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
