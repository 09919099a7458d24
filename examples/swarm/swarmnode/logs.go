package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/moby/swarmkit/v2/api"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

func (a *app) serviceLogs() *cobra.Command {
	var follow bool
	var tail int64
	cmd := &cobra.Command{
		Use: "logs SERVICE", Short: "print the output of the tasks of a service", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options := &api.LogSubscriptionOptions{Follow: follow}
			if cmd.Flags().Changed("tail") {
				options.Tail = -tail - 1
			}
			return a.talk(cmd, func(ctx context.Context, control api.ControlClient, conn *grpc.ClientConn) error {
				return a.printLogs(ctx, control, conn, args[0], options)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written from now on")
	cmd.Flags().Int64Var(&tail, "tail", 0, "only so many of the newest lines of each task (default all)")
	return cmd
}

func (a *app) printLogs(ctx context.Context, control api.ControlClient, conn *grpc.ClientConn, name string, options *api.LogSubscriptionOptions) error {
	s, err := findService(ctx, control, name)
	if err != nil {
		return err
	}
	names, err := nodeNames(ctx, control)
	if err != nil {
		return err
	}
	stream, err := api.NewLogsClient(conn).SubscribeLogs(ctx, &api.SubscribeLogsRequest{
		Selector: &api.LogSelector{ServiceIDs: []string{s.ID}}, Options: options,
	})
	if err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range r.Messages {
			a.printMessage(s.Spec.Annotations.Name, names, m)
		}
	}
}

func (a *app) printMessage(service string, names map[string]string, m api.LogMessage) {
	w := a.stdout
	if m.Stream == api.LogStreamStderr {
		w = a.stderr
	}
	fmt.Fprintf(w, "%s.%s@%s | %s", service, m.Context.TaskID, names[m.Context.NodeID], m.Data)
}
