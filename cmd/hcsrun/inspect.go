package main

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect ID…",
		Short: "Print all that HCS knows of compute systems, as JSON",
		Long: `inspect prints a JSON array with an object for each ID: owner and state. For a
compute system that runs it adds processes and resource use. Durations are in
nanoseconds, sizes in bytes.`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeIDs(noLimit),
		RunE: func(_ *cobra.Command, ids []string) error {
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			defer a.wait("asking HCS")()
			inspected := make([]inspection, len(ids))
			for i, id := range ids {
				if inspected[i], err = inspect(service, id); err != nil {
					return err
				}
			}
			return a.printJSON(inspected)
		},
	}
}

// inspection is what HCS tells of a compute system.
type inspection struct {
	ID         string                      `json:"id"`
	Owner      string                      `json:"owner"`
	State      string                      `json:"state"`
	Processes  []libcontainerd.ProcessInfo `json:"processes,omitempty"`
	Statistics *libcontainerd.Statistics   `json:"statistics,omitempty"`
}

func inspect(service libcontainerd.ComputeService, id string) (inspection, error) {
	found := inspection{ID: id}
	systems, err := service.ComputeSystems("")
	if err != nil {
		return found, err
	}
	if i := slices.IndexFunc(systems, func(s libcontainerd.ComputeSystemInfo) bool { return s.ID == id }); i >= 0 {
		found.Owner, found.State = systems[i].Owner, systems[i].State
	}
	err = withSystem(service, id, func(system libcontainerd.ComputeSystem) error {
		var err error
		if found.Processes, err = system.ProcessList(); err != nil {
			return err
		}
		statistics, err := system.Statistics()
		found.Statistics = &statistics
		return err
	})
	if found.State != "" && found.State != "Running" {
		return found, nil // it need not answer
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return found, fmt.Errorf("inspect %q: %w", id, err)
	}
	return found, err
}
