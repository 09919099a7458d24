package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) psCommand() *cobra.Command {
	var owner string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps [ID…]",
		Short: "List the compute systems of the host, or the processes of some",
		Long: `ps lists the compute systems that HCS knows, each with its owner and state. Given
ids it lists the processes in these.`,
		RunE: func(_ *cobra.Command, ids []string) error {
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			if len(ids) > 0 {
				return a.listProcesses(service, ids, asJSON)
			}
			return a.listSystems(service, owner, asJSON)
		},
	}
	cmd.Flags().StringVar(&owner, "owner", "", "only the compute systems of this owner")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) listSystems(service libcontainerd.ComputeService, owner string, asJSON bool) error {
	systems, err := service.ComputeSystems(owner)
	if err != nil {
		return err
	}
	slices.SortFunc(systems, func(x, y libcontainerd.ComputeSystemInfo) int { return strings.Compare(x.ID, y.ID) })
	if asJSON {
		return a.printJSON(systems)
	}
	table := a.table("ID", "OWNER", "STATE")
	for _, s := range systems {
		table.row(s.ID, s.Owner, s.State)
	}
	return table.Flush()
}

func (a *app) listProcesses(service libcontainerd.ComputeService, ids []string, asJSON bool) error {
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
	if asJSON {
		return a.printJSON(processes)
	}
	return table.Flush()
}

// withSystem opens a compute system for as long as use takes.
func withSystem(service libcontainerd.ComputeService, id string, use func(libcontainerd.ComputeSystem) error) error {
	system, err := service.OpenComputeSystem(id)
	if err != nil {
		return err
	}
	defer system.Close()
	return use(system)
}

// table prints columns.
type table struct{ *tabwriter.Writer }

func (a *app) table(headings ...any) table {
	t := table{tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)}
	t.row(headings...)
	return t
}

func (t table) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, cell)
	}
	fmt.Fprintln(t)
}

func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// size is a number of bytes for people.
func size(bytes uint64) string {
	const unit = 1 << 10
	value, name := float64(bytes), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	if name == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, name)
}
