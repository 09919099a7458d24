// Package engine runs Windows containers as values, as os/exec runs processes:
//
//	eng, err := engine.New(engine.WithStateDir(dir), engine.WithOwner("ci"))
//	c, err := eng.Run(ctx, "web1", spec, engine.WithStdio(os.Stdin, os.Stdout, os.Stderr))
//	exit, err := c.Wait(ctx)
//
// It is a small complete engine on package libcontainerd: streams, log files,
// execs, restart policies, events, and a state on disk that outlives the engine.
//
// # Contexts
//
// Every method that can take time has a context. When the context ends, the
// method returns at once, with the context's cause in its error. What it has asked
// HCS for by then goes on: a Stop still stops. Run and Exec are different: they
// undo in the background what they began, and nothing of it is left.
//
// # A container's life
//
//	created → running ⇄ paused → exiting → exited
//	             ↑                  ↓
//	             └── restarting ────┘
//
// A container that exits is restarted if its RestartPolicy says so; it stays the
// same Container. Stop and Kill end it for good, at any moment.
//
// An exited container stays known, with its status, until Remove, or until Run
// takes its id again. WithAutoRemove removes it when it exits. A Container that a
// program holds remains readable after that.
//
// # When the engine ends
//
// Containers run on when the engine is closed or dies. With WithStateDir the next
// New finds them in the state: it takes up what still runs, ends what it cannot
// take up, reports both as events, and restarts what its policy wants restarted.
// Windows breaks the pipes of a container whose engine has died: its writes fail,
// which ends many programs, and what they wrote is lost. A container that must
// outlive its engine logs to a file of its own or to the event log.
//
// The state is written before HCS is asked to create a container, so that nothing
// runs that the state does not know. One engine at a time uses a state directory.
// Without a directory the state is in memory, and the containers that still run
// when the engine ends are forgotten: Stop them first.
//
// # Concurrency
//
// All methods of all types may be called concurrently.
package engine
