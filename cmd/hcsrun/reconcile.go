package main

import (
	"context"
	"fmt"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

// owner marks the compute systems that hcsrun creates.
const owner = "hcsrun"

func (a *app) reconcileCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "reconcile [OWNER]",
		Short: "End every compute system that an owner left behind",
		Long: `reconcile lists the compute systems of OWNER, by default hcsrun, ends them and
waits until they are gone. Use it after an engine has died: one that still runs would
lose its containers, and so would an hcsrun that runs. For the owner hcsrun it also
releases what is left mounted and connected.

Without --yes it only lists the compute systems of an owner other than hcsrun.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeOwners,
		RunE: func(cmd *cobra.Command, args []string) error {
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			whose := owner
			if len(args) > 0 {
				whose = args[0]
			}
			if whose == "" {
				return fmt.Errorf("reconcile wants an OWNER that is not empty")
			}
			return a.reconcile(cmd.Context(), service, whose, yes || whose == owner)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "end what belongs to an owner other than hcsrun, too")
	return cmd
}

// noContainers is the Backend of a client that makes no containers.
type noContainers struct{}

func (noContainers) AttachStreams(string, libcontainerd.IOPipe) error   { return nil }
func (noContainers) StateChanged(string, libcontainerd.StateInfo) error { return nil }

func (a *app) reconcile(ctx context.Context, service libcontainerd.ComputeService, whose string, yes bool) error {
	if err := a.listSystems(service, whose); err != nil {
		return err
	}
	if !yes {
		systems, err := service.ComputeSystems(whose)
		if err != nil || len(systems) == 0 {
			return err
		}
		return fmt.Errorf("these belong to %q, not to hcsrun: add --yes to end them", whose)
	}
	client, err := libcontainerd.NewClient(noContainers{},
		libcontainerd.WithComputeService(service), libcontainerd.WithOwner(whose), libcontainerd.WithLogger(a.logger(false)))
	if err != nil {
		return err
	}
	defer a.wait("ending the compute systems of %s", whose)()
	if _, err := client.Reconcile(ctx, whose); err != nil || whose != owner {
		return err
	}
	return a.releaseEnded(ctx, service)
}
