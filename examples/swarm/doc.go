// Package swarm runs the tasks of a swarm as Windows containers on HCS. It is an
// executor for github.com/moby/swarmkit/v2, which brings placement, rescheduling,
// rolling updates and mutual TLS:
//
//	node, err := swarm.StartNode(ctx, swarm.Config{
//		Host:      host,
//		StateDir:  dir,
//		JoinAddr:  "10.0.0.1:4242",
//		JoinToken: token,
//	})
//
// A task is a container of package engine with the id of the task. What becomes of
// it when a node stops:
//
//   - A node that is closed ends its tasks first. The swarm runs them elsewhere.
//   - The containers of a node that dies run on. The swarm takes the node for dead
//     after three heartbeats and runs its tasks elsewhere. The node that comes back
//     takes up the containers that are still its tasks, and ends all others.
//
// Command swarmnode is the node as a program.
package swarm
