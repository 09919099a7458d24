package swarm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/swarmkit/v2/api"
)

// problems collects what is wrong with a task.
type problems []error

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument))
}

func (p *problems) err() error { return errors.Join(*p...) }

// beyondHCS is what HCS cannot do, or what no node does for it.
const beyondHCS = "a Windows container on HCS has no such thing"

// refuse returns an error that names every field of the task that cannot be
// honoured.
func refuse(t *api.Task) error {
	var p problems
	p.refuseContainer(t.Spec.GetContainer())
	for i := range t.Spec.GetContainer().Mounts {
		p.refuseMount(fmt.Sprintf("container.mounts[%d]", i), &t.Spec.GetContainer().Mounts[i])
	}
	p.refuseTask(t)
	return p.err()
}

// refuseContainer looks at the container, but for its mounts.
func (p *problems) refuseContainer(c *api.ContainerSpec) {
	if c.Image == "" {
		p.add("container.image", "is empty")
	}
	if len(c.Command)+len(c.Args) == 0 {
		p.add("container.command", "is empty, and so is container.args: layers name no program")
	}
	for _, f := range []struct {
		field string
		given bool
	}{
		{"container.groups", len(c.Groups) > 0},
		{"container.privileges", c.Privileges != nil},
		{"container.init", c.Init != nil && c.Init.Value},
		{"container.read_only", c.ReadOnly},
		{"container.hosts", len(c.Hosts) > 0},
		{"container.dns_config", hasDNS(c.DNSConfig)},
		{"container.pids_limit", c.PidsLimit != 0},
		{"container.sysctls", len(c.Sysctls) > 0},
		{"container.capability_add", len(c.CapabilityAdd) > 0},
		{"container.capability_drop", len(c.CapabilityDrop) > 0},
		{"container.ulimits", len(c.Ulimits) > 0},
		{"container.oom_score_adj", c.OomScoreAdj != 0},
	} {
		if f.given {
			p.add(f.field, beyondHCS)
		}
	}
	if strings.Contains(c.User, ":") {
		p.add("container.user", "%q names a group, and Windows wants a user only", c.User)
	}
	if c.StopSignal != "" {
		p.add("container.stop_signal", "Windows has no signals; a container is shut down, and killed after container.stop_grace_period")
	}
	if c.OpenStdin {
		p.add("container.open_stdin", "nobody could write to it")
	}
	if h := c.Healthcheck; h != nil && len(h.Test) > 0 && h.Test[0] != "NONE" {
		p.add("container.healthcheck", "this executor has none")
	}
	if len(c.Secrets) > 0 {
		p.add("container.secrets", "this executor has none; mount a folder of the host, or a named pipe")
	}
	if len(c.Configs) > 0 {
		p.add("container.configs", "this executor has none; mount a folder of the host")
	}
}

func hasDNS(d *api.ContainerSpec_DNSConfig) bool {
	return d != nil && len(d.Nameservers)+len(d.Search)+len(d.Options) > 0
}

func (p *problems) refuseMount(field string, m *api.Mount) {
	if m.Source == "" {
		p.add(field+".source", "is empty")
	}
	if m.Target == "" {
		p.add(field+".target", "is empty")
	}
	switch m.Type {
	case api.MountTypeBind:
		if o := m.BindOptions; o != nil && (o.Propagation != api.MountPropagationRPrivate ||
			o.NonRecursive || o.CreateMountpoint || o.ReadOnlyNonRecursive || o.ReadOnlyForceRecursive) {
			p.add(field+".bind_options", beyondHCS)
		}
	case api.MountTypeNamedPipe:
		if m.ReadOnly {
			p.add(field+".readonly", "a pipe cannot be mounted read-only")
		}
		if !strings.HasPrefix(strings.ToLower(m.Target), pipePrefix) {
			p.add(field+".target", `%q is not \\.\pipe\NAME`, m.Target)
		}
	default:
		p.add(field+".type", "%v: only bind and npipe can be mounted", m.Type)
	}
}

// refuseTask looks at what surrounds the container.
func (p *problems) refuseTask(t *api.Task) {
	if r := t.Spec.Resources; r != nil {
		if r.SwapBytes != nil {
			p.add("resources.swap_bytes", beyondHCS)
		}
		if r.MemorySwappiness != nil {
			p.add("resources.memory_swappiness", beyondHCS)
		}
		if hasGeneric(r.Limits) || hasGeneric(r.Reservations) {
			p.add("resources.generic", "this executor offers none")
		}
	}
	if len(t.Spec.Networks)+len(t.Networks) > 0 {
		p.add("networks", "this executor makes no endpoints")
	}
	if t.Endpoint != nil && t.Endpoint.Spec != nil && len(t.Endpoint.Spec.Ports) > 0 {
		p.add("endpoint.ports", "this executor makes no endpoints")
	}
	if d := t.Spec.LogDriver; d != nil && (d.Name != "" && d.Name != "json-file" || len(d.Options) > 0) {
		p.add("log_driver", "%q: the log is json-file, without options", d.Name)
	}
}

func hasGeneric(r *api.Resources) bool { return r != nil && len(r.Generic) > 0 }
