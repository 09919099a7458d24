package swarm_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	gogotypes "github.com/gogo/protobuf/types"
	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestPrepareRefusesWhatHCSCannotDo(t *testing.T) {
	container := func(change func(*api.ContainerSpec)) func(*api.Task) {
		return func(task *api.Task) { change(task.Spec.GetContainer()) }
	}
	resources := func(r api.ResourceRequirements) func(*api.Task) {
		return func(task *api.Task) { task.Spec.Resources = &r }
	}
	mount := func(m api.Mount) func(*api.Task) {
		return container(func(c *api.ContainerSpec) { c.Mounts = []api.Mount{m} })
	}
	for _, test := range []struct {
		field  string
		change func(*api.Task)
	}{
		{"container.image", container(func(c *api.ContainerSpec) { c.Image = "" })},
		{"container.command", container(func(c *api.ContainerSpec) { c.Command = nil })},
		{"container.groups", container(func(c *api.ContainerSpec) { c.Groups = []string{"x"} })},
		{"container.privileges", container(func(c *api.ContainerSpec) { c.Privileges = &api.Privileges{} })},
		{"container.init", container(func(c *api.ContainerSpec) { c.Init = &gogotypes.BoolValue{Value: true} })},
		{"container.read_only", container(func(c *api.ContainerSpec) { c.ReadOnly = true })},
		{"container.hosts", container(func(c *api.ContainerSpec) { c.Hosts = []string{"1.2.3.4 x"} })},
		{"container.dns_config", container(func(c *api.ContainerSpec) {
			c.DNSConfig = &api.ContainerSpec_DNSConfig{Nameservers: []string{"1.2.3.4"}}
		})},
		{"container.pids_limit", container(func(c *api.ContainerSpec) { c.PidsLimit = 1 })},
		{"container.sysctls", container(func(c *api.ContainerSpec) { c.Sysctls = map[string]string{"a": "b"} })},
		{"container.capability_add", container(func(c *api.ContainerSpec) { c.CapabilityAdd = []string{"x"} })},
		{"container.capability_drop", container(func(c *api.ContainerSpec) { c.CapabilityDrop = []string{"x"} })},
		{"container.ulimits", container(func(c *api.ContainerSpec) { c.Ulimits = []*api.ContainerSpec_Ulimit{{}} })},
		{"container.oom_score_adj", container(func(c *api.ContainerSpec) { c.OomScoreAdj = 1 })},
		{"container.user", container(func(c *api.ContainerSpec) { c.User = "user:group" })},
		{"container.stop_signal", container(func(c *api.ContainerSpec) { c.StopSignal = "SIGINT" })},
		{"container.open_stdin", container(func(c *api.ContainerSpec) { c.OpenStdin = true })},
		{"container.healthcheck", container(func(c *api.ContainerSpec) {
			c.Healthcheck = &api.HealthConfig{Test: []string{"CMD", "x"}}
		})},
		{"container.secrets", container(func(c *api.ContainerSpec) { c.Secrets = []*api.SecretReference{{}} })},
		{"container.configs", container(func(c *api.ContainerSpec) { c.Configs = []*api.ConfigReference{{}} })},
		{"container: ", container(func(c *api.ContainerSpec) { c.Env = []string{"A={{.Nonesuch}}"} })},
		{"container.mounts[0].type", mount(api.Mount{Type: api.MountTypeVolume, Source: "x", Target: `C:\x`})},
		{"container.mounts[0].bind_options", mount(api.Mount{
			Type: api.MountTypeBind, Source: `C:\x`, Target: `C:\x`, BindOptions: &api.Mount_BindOptions{NonRecursive: true},
		})},
		{"container.mounts[0].readonly", mount(api.Mount{
			Type: api.MountTypeNamedPipe, Source: `\\.\pipe\x`, Target: `\\.\pipe\x`, ReadOnly: true,
		})},
		{"container.mounts[0].target", mount(api.Mount{Type: api.MountTypeNamedPipe, Source: `\\.\pipe\x`, Target: `C:\x`})},
		{"container.mounts[0].source", mount(api.Mount{Type: api.MountTypeBind, Target: `C:\x`})},
		{"container.mounts[0].target", mount(api.Mount{Type: api.MountTypeBind, Source: `C:\x`})},
		{"resources.swap_bytes", resources(api.ResourceRequirements{SwapBytes: &gogotypes.Int64Value{}})},
		{"resources.memory_swappiness", resources(api.ResourceRequirements{MemorySwappiness: &gogotypes.Int64Value{}})},
		{"resources.generic", resources(api.ResourceRequirements{Limits: &api.Resources{Generic: []*api.GenericResource{{}}}})},
		{"windows.resources.memory.limit", resources(api.ResourceRequirements{Limits: &api.Resources{MemoryBytes: 1}})},
		{"networks", func(task *api.Task) { task.Networks = []*api.NetworkAttachment{{}} }},
		{"endpoint.ports", func(task *api.Task) {
			task.Endpoint = &api.Endpoint{Spec: &api.EndpointSpec{Ports: []*api.PortConfig{{}}}}
		}},
		{"log_driver", func(task *api.Task) { task.Spec.LogDriver = &api.Driver{Name: "syslog"} }},
	} {
		t.Run(test.field, func(t *testing.T) {
			b := newBench(t)
			task := newTask("one", "app")
			test.change(task)
			c := b.controller(task)
			err := c.Prepare(t.Context())
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), test.field) {
				t.Errorf("%v", err)
			}
			if calls := b.hcs.Calls(hcstest.OpCreate); len(calls)+len(b.layers.Calls()) > 0 {
				t.Errorf("something was made: %v, %v", calls, b.layers.Calls())
			}
		})
	}
}
