package main

import (
	"context"
	"strings"

	"github.com/moby/swarmkit/v2/api"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

func (a *app) nodeCommand() *cobra.Command {
	return group("node", "nodes of the swarm",
		&cobra.Command{
			Use: "ls", Short: "list the nodes", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.talk(cmd, a.printNodes) },
		},
		a.availabilityCommand("drain", "end the tasks of a node and give it no more", api.NodeAvailabilityDrain),
		a.availabilityCommand("activate", "give a drained node tasks again", api.NodeAvailabilityActive),
	)
}

func (a *app) printNodes(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
	nodes, err := listNodes(ctx, control)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, n := range nodes {
		version := "?"
		if n.Description != nil && n.Description.Engine != nil {
			version = n.Description.Engine.EngineVersion
		}
		rows = append(rows, []string{
			n.ID, nodeName(n), lower(n.Status.State.String()), lower(n.Spec.Availability.String()), manages(n), version,
		})
	}
	return printTable(a.stdout, "ID NAME STATE AVAILABILITY MANAGER HOST", rows)
}

func manages(n *api.Node) string {
	switch {
	case n.ManagerStatus == nil:
		return "-"
	case n.ManagerStatus.Leader:
		return "leader " + n.ManagerStatus.Addr
	}
	return lower(n.ManagerStatus.Reachability.String()) + " " + n.ManagerStatus.Addr
}

func lower(s string) string { return strings.ToLower(s) }

func (a *app) availabilityCommand(use, short string, availability api.NodeSpec_Availability) *cobra.Command {
	return &cobra.Command{
		Use: use + " NODE", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.talk(cmd, func(ctx context.Context, control api.ControlClient, _ *grpc.ClientConn) error {
				nodes, err := listNodes(ctx, control)
				if err != nil {
					return err
				}
				n, err := find("node", args[0], nodes, func(n *api.Node) (string, string) { return n.ID, nodeName(n) })
				if err != nil {
					return err
				}
				n.Spec.Availability = availability
				_, err = control.UpdateNode(ctx, &api.UpdateNodeRequest{NodeID: n.ID, NodeVersion: &n.Meta.Version, Spec: &n.Spec})
				return err
			})
		},
	}
}
