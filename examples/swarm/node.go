package swarm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/moby/swarmkit/v2/api"
	"github.com/moby/swarmkit/v2/node"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// Config is what a node needs. Host and StateDir are required.
type Config struct {
	Host     *Host
	StateDir string // keeps the identity of the node and its tasks
	Hostname string // as the swarm shows it; "": that of the machine

	// Listen is the address, host:port, where a manager serves the other nodes.
	// Advertise is what the others call it by; "": Listen.
	Listen, Advertise string
	// Control is the socket of the control API of a manager: a path, on Windows that
	// of a named pipe.
	Control string

	// JoinAddr is the address of a manager of the swarm to join, and JoinToken makes
	// the node a manager or a worker of it. Without them the node begins a swarm, or
	// goes on in the one that StateDir knows.
	JoinAddr, JoinToken string

	// Labels are the labels of the node's engine, for placement.
	Labels map[string]string
	// Drained keeps tasks away from a node that joins.
	Drained bool
	// ElectionTick is after how many seconds without a leader managers elect one; 0:
	// 10. All managers have the same.
	ElectionTick uint32
	// Engine are further options of the engine.
	Engine []engine.Option
}

// Node is a node of a swarm, a worker or a manager.
type Node struct {
	executor *Executor
	node     *node.Node
	cancel   context.CancelFunc
	done     chan struct{} // closed when err is set
	err      error
}

// StartNode starts a node. When ctx ends, it stops at once, as if it had died: its
// containers run on. Close ends it in good order.
func StartNode(ctx context.Context, c Config) (*Node, error) {
	executor, err := NewExecutor(c.Host, filepath.Join(c.StateDir, "hcs"), c.Labels, c.Engine...)
	if err != nil {
		return nil, fmt.Errorf("executor: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	n := &Node{executor: executor, cancel: cancel, done: make(chan struct{})}
	n.node, err = node.New(&node.Config{
		Hostname:           c.Hostname,
		StateDir:           c.StateDir,
		JoinAddr:           c.JoinAddr,
		JoinToken:          c.JoinToken,
		ListenControlAPI:   c.Control,
		ListenRemoteAPI:    c.Listen,
		AdvertiseRemoteAPI: c.Advertise,
		Executor:           executor,
		NetworkProvider:    noNetworksProvider{},
		ElectionTick:       c.ElectionTick,
		HeartbeatTick:      1,
		Availability:       availability(c.Drained),
	})
	if err == nil {
		err = n.node.Start(ctx)
	}
	if err != nil {
		cancel()
		return nil, errors.Join(err, executor.Close(context.WithoutCancel(ctx)))
	}
	go n.run(context.WithoutCancel(ctx))
	return n, nil
}

func availability(drained bool) api.NodeSpec_Availability {
	if drained {
		return api.NodeAvailabilityDrain
	}
	return api.NodeAvailabilityActive
}

func (n *Node) run(ctx context.Context) {
	err := n.node.Err(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	n.err = errors.Join(err, n.executor.Close(ctx))
	close(n.done)
}

// ID returns the id of the node in the swarm, "" as long as it has none.
func (n *Node) ID() string { return n.node.NodeID() }

// Ready returns a channel that is closed when the node is part of the swarm.
func (n *Node) Ready() <-chan struct{} { return n.node.Ready() }

// Done returns a channel that is closed when the node has stopped and Err knows why.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node has stopped; nil if it was told to. It waits for that.
func (n *Node) Err() error {
	<-n.done
	return n.err
}

// Close ends the tasks of the node, and then the node. The swarm runs them elsewhere.
// When ctx ends first, the node stops all the same, and what still runs is ended when
// it starts again.
func (n *Node) Close(ctx context.Context) error {
	err := n.leave(ctx)
	err = errors.Join(err, n.node.Stop(ctx))
	n.cancel()
	return errors.Join(err, n.Err())
}

// leave takes no more tasks and ends those that there are.
func (n *Node) leave(ctx context.Context) error {
	if agent := n.node.Agent(); agent != nil {
		if err := agent.Leave(ctx); err != nil {
			return fmt.Errorf("leave the swarm: %w", err)
		}
	}
	return n.executor.RemoveAll(ctx)
}

// Addr returns the address where a manager serves the other nodes, and an error on a
// worker.
func (n *Node) Addr() (string, error) { return n.node.RemoteAPIAddr() }
