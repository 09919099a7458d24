package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/moby/swarmkit/v2/api"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

func (a *app) serviceCommand() *cobra.Command {
	return group("service", "services of the swarm",
		a.serviceCreate(), a.serviceList(), a.serviceScale(), a.serviceUpdate(), a.serviceRemove(), a.serviceLogs())
}

func (a *app) serviceCreate() *cobra.Command {
	var name string
	var flags serviceFlags
	cmd := &cobra.Command{
		Use:   "create --name NAME --image IMAGE [flags] -- COMMAND [ARG...]",
		Short: "create a service",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec := api.ServiceSpec{
				Annotations: api.Annotations{Name: name},
				Task:        api.TaskSpec{Runtime: &api.TaskSpec_Container{Container: &api.ContainerSpec{}}},
				Mode:        &api.ServiceSpec_Replicated{Replicated: &api.ReplicatedService{Replicas: 1}},
			}
			if err := flags.apply(cmd, &spec, args); err != nil {
				return err
			}
			return a.talk(cmd, func(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
				r, err := control.CreateService(ctx, &api.CreateServiceRequest{Spec: &spec})
				if err == nil {
					fmt.Fprintln(a.stdout, r.Service.ID)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the service")
	flags.add(cmd)
	_, _ = cmd.MarkFlagRequired("name"), cmd.MarkFlagRequired("image") // they exist
	return cmd
}

func (a *app) serviceUpdate() *cobra.Command {
	var flags serviceFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "update SERVICE [flags] [-- COMMAND [ARG...]]",
		Short: "change a service; what is not given stays",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd, args[0], func(spec *api.ServiceSpec) error {
				if force {
					spec.Task.ForceUpdate++
				}
				return flags.apply(cmd, spec, args[1:])
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace the tasks even if nothing changes")
	return cmd
}

func (a *app) serviceScale() *cobra.Command {
	return &cobra.Command{
		Use: "scale SERVICE REPLICAS", Short: "change the number of replicas", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[1], 10, 32)
			if err != nil {
				return fmt.Errorf("replicas: %w", err)
			}
			return a.change(cmd, args[0], func(spec *api.ServiceSpec) error { return setReplicas(spec, n) })
		},
	}
}

func setReplicas(spec *api.ServiceSpec, n uint64) error {
	replicated := spec.GetReplicated()
	if replicated == nil {
		return errors.New("the service is not replicated")
	}
	replicated.Replicas = n
	return nil
}

// change updates the spec of a service.
func (a *app) change(cmd *cobra.Command, name string, change func(*api.ServiceSpec) error) error {
	return a.talk(cmd, func(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
		s, err := findService(ctx, control, name)
		if err != nil {
			return err
		}
		if err := change(&s.Spec); err != nil {
			return err
		}
		_, err = control.UpdateService(ctx, &api.UpdateServiceRequest{ServiceID: s.ID, ServiceVersion: &s.Meta.Version, Spec: &s.Spec})
		return err
	})
}

func (a *app) serviceRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm SERVICE...", Short: "remove services and end their tasks", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.talk(cmd, func(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
				for _, name := range args {
					s, err := findService(ctx, control, name)
					if err != nil {
						return err
					}
					if _, err := control.RemoveService(ctx, &api.RemoveServiceRequest{ServiceID: s.ID}); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (a *app) serviceList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "list the services", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.talk(cmd, a.printServices) },
	}
}

func (a *app) printServices(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
	services, err := control.ListServices(ctx, &api.ListServicesRequest{})
	if err != nil {
		return err
	}
	tasks, err := control.ListTasks(ctx, &api.ListTasksRequest{})
	if err != nil {
		return err
	}
	running := make(map[string]int)
	for _, t := range tasks.Tasks {
		if t.DesiredState == api.TaskStateRunning && t.Status.State == api.TaskStateRunning {
			running[t.ServiceID]++
		}
	}
	var rows [][]string
	for _, s := range services.Services {
		wanted := "global"
		if r := s.Spec.GetReplicated(); r != nil {
			wanted = fmt.Sprint(r.Replicas)
		}
		update := "-"
		if s.UpdateStatus != nil {
			update = lower(s.UpdateStatus.State.String())
		}
		rows = append(rows, []string{
			s.ID, s.Spec.Annotations.Name, fmt.Sprintf("%d/%s", running[s.ID], wanted), s.Spec.Task.GetContainer().Image, update,
		})
	}
	return printTable(a.stdout, "ID NAME RUNNING IMAGE UPDATE", rows)
}
