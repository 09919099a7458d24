package main

import (
	"slices"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) psCommand() *cobra.Command {
	var whose string
	cmd := &cobra.Command{
		Use:     "ps [ID…]",
		Aliases: []string{"list", "ls"},
		Short:   "List the compute systems of the host, or the processes in them",
		Long: `ps lists the compute systems that HCS knows, each with its owner and state. With
ids it lists the processes in these.`,
		ValidArgsFunction: a.completeIDs(noLimit),
		RunE: func(_ *cobra.Command, ids []string) error {
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			defer a.wait("asking HCS")()
			if len(ids) > 0 {
				return a.listProcesses(service, ids)
			}
			return a.listSystems(service, whose)
		},
	}
	cmd.Flags().StringVar(&whose, "owner", "", "only the compute systems of this owner")
	return cmd
}

func (a *app) listSystems(service libcontainerd.ComputeService, whose string) error {
	systems, err := service.ComputeSystems(whose)
	if err != nil {
		return err
	}
	slices.SortFunc(systems, func(x, y libcontainerd.ComputeSystemInfo) int { return strings.Compare(x.ID, y.ID) })
	if a.json {
		return a.printJSON(systems)
	}
	table := a.table("ID", "OWNER", "STATE")
	for _, s := range systems {
		table.row(s.ID, s.Owner, s.State)
	}
	return table.Flush()
}

func (a *app) listProcesses(service libcontainerd.ComputeService, ids []string) error {
	processes := map[string][]libcontainerd.ProcessInfo{}
	table := a.table("CONTAINER", "PID", "IMAGE", "STARTED", "CPU", "MEMORY")
	for _, id := range ids {
		err := withSystem(service, id, func(system libcontainerd.ComputeSystem) error {
			list, err := system.ProcessList()
			if err != nil {
				return err
			}
			processes[id] = list
			for _, p := range list {
				table.row(id, p.Pid, p.ImageName, p.CreatedAt.Format("2006-01-02T15:04:05Z07:00"),
					p.KernelTime+p.UserTime, size(p.MemoryWorkingSetPrivateBytes))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(processes)
	}
	return table.Flush()
}

// withSystem opens a compute system, calls use, and closes it.
func withSystem(service libcontainerd.ComputeService, id string, use func(libcontainerd.ComputeSystem) error) error {
	system, err := service.OpenComputeSystem(id)
	if err != nil {
		return err
	}
	defer system.Close()
	return use(system)
}
