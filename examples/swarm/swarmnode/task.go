package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/moby/swarmkit/v2/api"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

func (a *app) taskCommand() *cobra.Command {
	var all bool
	ls := &cobra.Command{
		Use: "ls [SERVICE]", Short: "list the tasks", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.talk(cmd, func(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
				return a.printTasks(ctx, control, args, all)
			})
		},
	}
	ls.Flags().BoolVarP(&all, "all", "a", false, "also those that have ended")
	return group("task", "tasks of the swarm", ls)
}

func (a *app) printTasks(ctx context.Context, control api.ControlClient, services []string, all bool) error {
	filters := &api.ListTasksRequest_Filters{}
	if len(services) > 0 {
		s, err := findService(ctx, control, services[0])
		if err != nil {
			return err
		}
		filters.ServiceIDs = []string{s.ID}
	}
	r, err := control.ListTasks(ctx, &api.ListTasksRequest{Filters: filters})
	if err != nil {
		return err
	}
	names, err := nodeNames(ctx, control)
	if err != nil {
		return err
	}
	slices.SortFunc(r.Tasks, compareTasks)
	var rows [][]string
	for _, t := range r.Tasks {
		if all || t.DesiredState <= api.TaskStateRunning {
			rows = append(rows, taskRow(t, names))
		}
	}
	return printTable(a.stdout, "ID TASK NODE WANTED STATE PID ERROR", rows)
}

func compareTasks(a, b *api.Task) int {
	return cmp.Or(cmp.Compare(a.ServiceAnnotations.Name, b.ServiceAnnotations.Name), cmp.Compare(a.Slot, b.Slot),
		cmp.Compare(b.Meta.Version.Index, a.Meta.Version.Index))
}

func taskRow(t *api.Task, names map[string]string) []string {
	pid := "-"
	if c := t.Status.GetContainer(); c != nil && c.PID != 0 {
		pid = fmt.Sprint(c.PID)
	}
	return []string{
		t.ID, fmt.Sprintf("%s.%d", t.ServiceAnnotations.Name, t.Slot), cmp.Or(names[t.NodeID], "-"),
		lower(t.DesiredState.String()), lower(t.Status.State.String()), pid, t.Status.Err,
	}
}
