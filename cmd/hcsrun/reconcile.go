package main

import (
	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) reconcileCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reconcile OWNER",
		Short: "End every compute system of an owner that went away",
		Long: `reconcile ends every compute system of OWNER, waits until they are gone and lists
them. It is for what an engine left behind when it died: an engine that runs
loses its containers.`,
		Args: wants("OWNER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			client, err := libcontainerd.NewClient(&backend{},
				libcontainerd.WithComputeService(service), libcontainerd.WithOwner(args[0]), libcontainerd.WithLogger(a.logger(false)))
			if err != nil {
				return err
			}
			ended, err := client.Reconcile(cmd.Context(), args[0])
			table := a.table("ID", "OWNER", "STATE BEFORE")
			for _, s := range ended {
				table.row(s.ID, s.Owner, s.State)
			}
			if flushErr := table.Flush(); flushErr != nil {
				return flushErr
			}
			return err
		},
	}
}
