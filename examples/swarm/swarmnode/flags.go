package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/docker/go-units"
	gogotypes "github.com/gogo/protobuf/types"
	"github.com/moby/swarmkit/v2/api"
	"github.com/spf13/cobra"
)

// serviceFlags are the flags of what a service is. Each changes one part of its spec.
type serviceFlags struct {
	parts []part
}

// part is a flag, and how it changes a spec.
type part struct {
	flag  string
	apply func(*api.ServiceSpec) error
}

func (f *serviceFlags) on(flag string, apply func(*api.ServiceSpec) error) {
	f.parts = append(f.parts, part{flag, apply})
}

// onContainer is on for what cannot fail and concerns the container.
func (f *serviceFlags) onContainer(flag string, apply func(*api.ContainerSpec)) {
	f.on(flag, func(s *api.ServiceSpec) error {
		apply(s.Task.GetContainer())
		return nil
	})
}

// apply changes a spec as the given flags say. Args are the new command, if there are
// any.
func (f *serviceFlags) apply(cmd *cobra.Command, spec *api.ServiceSpec, args []string) error {
	if spec.Task.GetContainer() == nil {
		return fmt.Errorf("service %q has no container", spec.Annotations.Name)
	}
	if len(args) > 0 {
		c := spec.Task.GetContainer()
		c.Command, c.Args = args, nil
	}
	for _, p := range f.parts {
		if !cmd.Flags().Changed(p.flag) {
			continue
		}
		if err := p.apply(spec); err != nil {
			return fmt.Errorf("--%s: %w", p.flag, err)
		}
	}
	return nil
}

// add adds the flags to a command.
func (f *serviceFlags) add(cmd *cobra.Command) {
	f.addContainer(cmd)
	f.addResources(cmd)
	f.addUpdate(cmd)
	flags := cmd.Flags()
	replicas := flags.Uint64("replicas", 1, "number of tasks")
	f.on("replicas", func(s *api.ServiceSpec) error { return setReplicas(s, *replicas) })
	constraints := flags.StringArray("constraint", nil, `where tasks may run, as in "engine.labels.windows.build==20348"`)
	f.on("constraint", func(s *api.ServiceSpec) error {
		s.Task.Placement = &api.Placement{Constraints: *constraints}
		return nil
	})
	delay := flags.Duration("restart-delay", 5*time.Second, "pause before a task that has ended is replaced")
	f.on("restart-delay", func(s *api.ServiceSpec) error {
		s.Task.Restart = &api.RestartPolicy{Condition: api.RestartOnAny, Delay: gogotypes.DurationProto(*delay)}
		return nil
	})
}

func (f *serviceFlags) addContainer(cmd *cobra.Command) {
	flags := cmd.Flags()
	image := flags.String("image", "", "image, by its name in the images file")
	f.onContainer("image", func(c *api.ContainerSpec) { c.Image = *image })
	env := flags.StringArray("env", nil, "NAME=value")
	f.onContainer("env", func(c *api.ContainerSpec) { c.Env = *env })
	dir := flags.String("dir", "", `working directory (default C:\)`)
	f.onContainer("dir", func(c *api.ContainerSpec) { c.Dir = *dir })
	user := flags.String("user", "", "user (default that of the container)")
	f.onContainer("user", func(c *api.ContainerSpec) { c.User = *user })
	hostname := flags.String("hostname", "", "name of the containers, which may hold {{.Task.Slot}}")
	f.onContainer("hostname", func(c *api.ContainerSpec) { c.Hostname = *hostname })
	tty := flags.Bool("tty", false, "give the process a console")
	f.onContainer("tty", func(c *api.ContainerSpec) { c.TTY = *tty })
	grace := flags.Duration("stop-grace-period", 10*time.Second, "how long a container may take to shut down")
	f.onContainer("stop-grace-period", func(c *api.ContainerSpec) { c.StopGracePeriod = gogotypes.DurationProto(*grace) })
	isolation := flags.String("isolation", "default", "default, process or hyperv")
	f.on("isolation", func(s *api.ServiceSpec) error {
		value, err := enum(api.ContainerSpec_Isolation_value, "ISOLATION_"+*isolation, *isolation)
		s.Task.GetContainer().Isolation = api.ContainerSpec_Isolation(value)
		return err
	})
	mounts := flags.StringArray("mount", nil, `type=bind|npipe,source=…,target=…[,readonly]`)
	f.on("mount", func(s *api.ServiceSpec) (err error) {
		c := s.Task.GetContainer()
		c.Mounts = make([]api.Mount, len(*mounts))
		for i, text := range *mounts {
			if c.Mounts[i], err = parseMount(text); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *serviceFlags) addResources(cmd *cobra.Command) {
	flags := cmd.Flags()
	limits := func(r *api.ResourceRequirements) **api.Resources { return &r.Limits }
	reservations := func(r *api.ResourceRequirements) **api.Resources { return &r.Reservations }
	for _, k := range []struct {
		prefix, what string
		of           func(*api.ResourceRequirements) **api.Resources
	}{
		{"limit", "a container may use", limits},
		{"reserve", "a node must have free for a task", reservations},
	} {
		cpus := flags.Float64(k.prefix+"-cpu", 0, "processors that "+k.what)
		f.on(k.prefix+"-cpu", func(s *api.ServiceSpec) error {
			resources(s, k.of).NanoCPUs = int64(math.Round(*cpus * 1e9))
			return nil
		})
		memory := flags.String(k.prefix+"-memory", "", "memory that "+k.what+", as in 512m")
		f.on(k.prefix+"-memory", func(s *api.ServiceSpec) (err error) {
			resources(s, k.of).MemoryBytes, err = units.RAMInBytes(*memory)
			return err
		})
	}
}

// resources returns the limits or the reservations of a service, which it makes if
// there are none.
func resources(s *api.ServiceSpec, of func(*api.ResourceRequirements) **api.Resources) *api.Resources {
	if s.Task.Resources == nil {
		s.Task.Resources = &api.ResourceRequirements{}
	}
	r := of(s.Task.Resources)
	if *r == nil {
		*r = &api.Resources{}
	}
	return *r
}

func (f *serviceFlags) addUpdate(cmd *cobra.Command) {
	flags := cmd.Flags()
	parallelism := flags.Uint64("update-parallelism", 1, "tasks that are updated at the same time; 0: all")
	f.on("update-parallelism", func(s *api.ServiceSpec) error {
		update(s).Parallelism = *parallelism
		return nil
	})
	monitor := flags.Duration("update-monitor", 5*time.Second, "how long an updated task is watched for a failure")
	f.on("update-monitor", func(s *api.ServiceSpec) error {
		update(s).Monitor = gogotypes.DurationProto(*monitor)
		return nil
	})
	action := flags.String("update-failure-action", "pause", "pause, continue or rollback")
	f.on("update-failure-action", func(s *api.ServiceSpec) error {
		value, err := enum(api.UpdateConfig_FailureAction_value, *action, *action)
		update(s).FailureAction = api.UpdateConfig_FailureAction(value)
		return err
	})
	order := flags.String("update-order", "stop-first", "stop-first or start-first")
	f.on("update-order", func(s *api.ServiceSpec) error {
		value, err := enum(api.UpdateConfig_UpdateOrder_value, strings.ReplaceAll(*order, "-", "_"), *order)
		update(s).Order = api.UpdateConfig_UpdateOrder(value)
		return err
	})
}

// update returns the way in which a service is updated, which it makes if there is
// none.
func update(s *api.ServiceSpec) *api.UpdateConfig {
	if s.Update == nil {
		s.Update = &api.UpdateConfig{Parallelism: 1}
	}
	return s.Update
}

// enum returns the value that has the name key in any case; the user wrote text.
func enum(values map[string]int32, key, text string) (int32, error) {
	value, ok := values[strings.ToUpper(key)]
	if !ok {
		return 0, fmt.Errorf("%q is unknown", text)
	}
	return value, nil
}

// parseMount reads type=…,source=…,target=…[,readonly], with quotes as in CSV.
func parseMount(text string) (api.Mount, error) {
	var m api.Mount
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return m, fmt.Errorf("%q: %w", text, err)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "type":
			kind, err := enum(api.Mount_MountType_value, value, value)
			if err != nil {
				return m, fmt.Errorf("type: %w", err)
			}
			m.Type = api.Mount_MountType(kind)
		case "source":
			m.Source = value
		case "target":
			m.Target = value
		case "readonly":
			if value != "" {
				return m, fmt.Errorf("readonly has no value, but is given %q", value)
			}
			m.ReadOnly = true
		default:
			return m, fmt.Errorf("%q is none of type, source, target and readonly", name)
		}
	}
	return m, nil
}
