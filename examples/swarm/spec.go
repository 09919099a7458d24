package swarm

import (
	"cmp"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	gogotypes "github.com/gogo/protobuf/types"
	"github.com/moby/swarmkit/v2/api"
	"github.com/moby/swarmkit/v2/template"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
)

const (
	pipePrefix = `\\.\pipe\`
	// defaultDir is the working directory without one in the task.
	defaultDir = `C:\`
	// defaultGrace is how long a container may take to shut down, as Docker has it.
	defaultGrace = 10 * time.Second
)

// container is what a task wants.
type container struct {
	spec  libcontainerd.Spec
	image layers.Layers
}

// newContainer turns a task into a container of the host. The spec lacks what mounting
// the layers gives.
func newContainer(t *api.Task, node *api.NodeDescription, images Images) (container, error) {
	if err := refuse(t); err != nil {
		return container{}, err
	}
	c, err := template.ExpandContainerSpec(node, t)
	if err != nil {
		return container{}, fmt.Errorf("container: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	image, err := images(c.Image)
	if err != nil {
		return container{}, fmt.Errorf("container.image: %w", err)
	}
	spec := libcontainerd.Spec{Process: newProcess(c), Hostname: c.Hostname}
	spec.Windows.LayerPaths = image
	if c.Isolation == api.ContainerIsolationHyperV {
		spec.Windows.HvRuntime = &libcontainerd.HvRuntime{}
	}
	addMounts(&spec, c.Mounts)
	if r := t.Spec.Resources; r != nil && r.Limits != nil {
		spec.Windows.Resources = newResources(r.Limits, node.Resources.NanoCPUs, spec.Windows.HvRuntime != nil)
	}
	return container{spec, image}, nil
}

func newProcess(c *api.ContainerSpec) libcontainerd.Process {
	p := libcontainerd.Process{
		Terminal: c.TTY,
		User:     libcontainerd.User{User: c.User},
		Env:      c.Env,
		Cwd:      cmp.Or(c.Dir, defaultDir),
	}
	for _, words := range [][]string{c.Command, c.Args} {
		for _, word := range words {
			p.Args = append(p.Args, libcontainerd.EscapeArg(word))
		}
	}
	return p
}

func addMounts(spec *libcontainerd.Spec, mounts []api.Mount) {
	for _, m := range mounts {
		if m.Type == api.MountTypeNamedPipe {
			spec.Windows.Pipes = append(spec.Windows.Pipes, libcontainerd.Pipe{Source: m.Source, Name: m.Target[len(pipePrefix):]})
		} else {
			spec.Mounts = append(spec.Mounts, libcontainerd.Mount{Source: m.Source, Destination: m.Target, Readonly: m.ReadOnly})
		}
	}
}

// nanoCPUs is one processor as the swarm counts them.
const nanoCPUs = 1_000_000_000

// newResources makes limits of a host with so many processors, in billionths. A
// container shares them all, but for one in a utility VM, which has as many as it
// needs. HCS has no reservations: those are for the scheduler.
func newResources(limits *api.Resources, host int64, hyperV bool) *libcontainerd.Resources {
	var r libcontainerd.Resources
	if limits.MemoryBytes != 0 {
		r.Memory = &libcontainerd.Memory{Limit: &limits.MemoryBytes}
	}
	if limits.NanoCPUs > 0 {
		r.CPU = &libcontainerd.CPU{}
		if hyperV {
			count := (limits.NanoCPUs + nanoCPUs - 1) / nanoCPUs
			r.CPU.Count, host = new(uint64(count)), count*nanoCPUs
		}
		r.CPU.Maximum = new(uint64(max(1, min(10_000, int64(float64(limits.NanoCPUs)/float64(host)*10_000)))))
	}
	return &r
}

// grace is how long the container of a task may take to shut down.
func grace(t *api.Task) time.Duration {
	c := t.Spec.GetContainer()
	if c == nil || c.StopGracePeriod == nil {
		return defaultGrace
	}
	d, err := gogotypes.DurationFromProto(c.StopGracePeriod)
	if err != nil || d < 0 {
		return defaultGrace
	}
	return d
}
