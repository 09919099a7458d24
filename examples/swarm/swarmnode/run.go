package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/examples/swarm"
	"github.com/spf13/cobra"
)

// closeTimeout is how long the end of a node waits for that of its tasks.
const closeTimeout = time.Minute

// hostChoice says which host a node has.
type hostChoice struct {
	images   string
	simulate bool
}

func (a *app) runCommand() *cobra.Command {
	var (
		config swarm.Config
		choice hostChoice
		starts int
	)
	cmd := &cobra.Command{
		Use:   "run --state-dir DIR [--join ADDRESS --token TOKEN]",
		Short: "run a node, until it is interrupted",
		Long: `Run a node. Without --join it begins a swarm, as its manager, or goes on in
the one that the state knows. The token makes it a manager or a worker; see
"swarmnode token".

An interrupted node first ends its tasks, and the swarm runs them elsewhere. A second
interrupt ends it at once; then its containers run on, and the node takes them up when
it comes back in time.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Control = a.socket
			if starts != 0 {
				config.Engine = []engine.Option{engine.WithClientOptions(libcontainerd.WithMaxConcurrentStarts(starts))}
			}
			var err error
			if config.Host, err = newHost(a.stderr, config.StateDir, choice); err != nil {
				return err
			}
			return a.run(cmd.Context(), config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.StateDir, "state-dir", "", "folder that keeps the node's identity and its tasks")
	f.StringVar(&config.Listen, "listen", "127.0.0.1:4242", "address where a manager serves the other nodes")
	f.StringVar(&config.Advertise, "advertise", "", "what the others call that address by (default the same)")
	f.StringVar(&config.JoinAddr, "join", "", "address of a manager of the swarm to join")
	f.StringVar(&config.JoinToken, "token", "", "token to join with")
	f.StringVar(&config.Hostname, "hostname", "", "name of the node (default that of the machine)")
	f.StringToStringVar(&config.Labels, "label", nil, "labels for placement, as engine.labels.NAME")
	f.BoolVar(&config.Drained, "drain", false, "join without taking tasks")
	f.IntVar(&starts, "max-starts", 0, "how many containers may start at the same time (default no limit)")
	f.StringVar(&choice.images, "images", "", "JSON file of images and their layers; the simulator knows every image")
	f.BoolVar(&choice.simulate, "simulate", false, "simulate HCS, on Windows too")
	_ = cmd.MarkFlagRequired("state-dir") // it exists
	cmd.MarkFlagsRequiredTogether("join", "token")
	return cmd
}

// run runs a node until it ends or is interrupted.
func (a *app) run(ctx context.Context, config swarm.Config) error {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	ctx, die := context.WithCancel(ctx)
	defer die()
	node, err := swarm.StartNode(ctx, config)
	if err != nil {
		return err
	}
	ready := node.Ready()
	for {
		select {
		case <-ready:
			ready = nil
			a.sayReady(node)
		case <-node.Done():
			return node.Err()
		case <-interrupts:
			fmt.Fprintln(a.stderr, "ending the tasks of this node")
			go func() {
				<-interrupts
				die()
			}()
			return closeNode(node)
		}
	}
}

func closeNode(node *swarm.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return node.Close(ctx)
}

func (a *app) sayReady(node *swarm.Node) {
	if addr, err := node.Addr(); err == nil {
		fmt.Fprintf(a.stdout, "node %s is a manager, at %s\n", node.ID(), addr)
		return
	}
	fmt.Fprintf(a.stdout, "node %s is a worker\n", node.ID())
}
