package main

import (
	"slices"
	"strings"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

// noLimit lets a command complete any number of ids.
const noLimit = 1 << 10

// completeIDs offers the compute systems of the host that the command line does
// not name yet. A command takes at most limit of them.
func (a *app) completeIDs(limit int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= limit {
			return nil, cobra.ShellCompDirectiveDefault
		}
		ids := []cobra.Completion{}
		for _, s := range a.systemsToComplete() {
			if !slices.Contains(args, s.ID) {
				ids = append(ids, cobra.CompletionWithDesc(s.ID, s.Owner+", "+s.State))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeOwners offers the owners of the host's compute systems.
func (a *app) completeOwners(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	owners := []cobra.Completion{}
	for _, s := range a.systemsToComplete() {
		owners = append(owners, s.Owner)
	}
	slices.Sort(owners)
	return slices.Compact(owners), cobra.ShellCompDirectiveNoFileComp
}

// systemsToComplete lists compute systems. It hides errors: they would disturb
// the completion.
func (a *app) systemsToComplete() []libcontainerd.ComputeSystemInfo {
	service, err := a.hostOnly()
	if err != nil {
		return nil
	}
	var systems []libcontainerd.ComputeSystemInfo
	err = within(2*time.Second, libcontainerd.OpList, "", func() (err error) {
		systems, err = service.ComputeSystems("")
		return err
	})
	if err != nil {
		return nil
	}
	slices.SortFunc(systems, func(x, y libcontainerd.ComputeSystemInfo) int { return strings.Compare(x.ID, y.ID) })
	return systems
}
