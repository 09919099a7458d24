package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/swarmkit/v2/api"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

func (a *app) tokenCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "token worker|manager",
		Short:     "print the token that lets a node join",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"worker", "manager"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.talk(cmd, func(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
				r, err := control.ListClusters(ctx, &api.ListClustersRequest{})
				if err != nil {
					return err
				}
				if len(r.Clusters) == 0 {
					return errors.New("the manager has no swarm yet")
				}
				tokens := r.Clusters[0].RootCA.JoinTokens
				token := tokens.Worker
				if args[0] == "manager" {
					token = tokens.Manager
				}
				fmt.Fprintln(a.stdout, token)
				return nil
			})
		},
	}
}
