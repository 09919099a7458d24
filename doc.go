// Package libcontainerd runs Windows containers directly on the Host Compute
// Service (HCS) of the machine: no daemon, no shim process. A container engine
// imports it, gives it a [Backend] and gets a [Client]:
//
//	client, err := libcontainerd.NewClient(backend)
//	…
//	err = client.Create("web1", spec)
//
// Create does this, in this order, before it returns:
//
//   - It translates the [Spec] to an HCS document; see [Configuration].
//   - It creates the compute system (HCS's word for a container), starts it, and
//     starts the init process in it.
//   - It hands the streams of the process to Backend.AttachStreams.
//   - It reports [StateStart] to Backend.StateChanged.
//
// What happens later also comes to Backend.StateChanged, the exit last. An engine
// that has OCI documents uses [SpecFromOCI]. One that starts from nothing uses
// package engine, which has containers as values, with contexts, log files and
// restart policies.
//
// On Windows the client uses the HCS of the host, through hcsshim. Elsewhere, and
// in tests, [WithComputeService] gives it another one: package hcstest has a
// simulated HCS. The client itself is the same on every system.
//
// # A container's life
//
//	being created → running ⇄ paused → exiting → gone
//	                                      ↓
//	                     waiting for its restart → being created …
//
// What each method answers in each phase:
//
//	                being created   running   paused   exiting   waiting for restart
//	Create, Restore already exists in every phase
//	State           the phase, in every phase
//	AddProcess      precondition    ok        precond. precond.  precondition
//	Signal          ends the start  ok        ok       ok        ends the wait
//	Signal 0        precondition    ok        ok       precond.  precondition
//	Resize, Stats   precondition    ok        ok       precond.  precondition
//	Pause           precondition    Hyper-V   precond. precond.  precondition
//	Resume          precondition    precond.  Hyper-V  precond.  precondition
//	Summary, pids   empty           ok        ok       exec'd    empty
//
// Precondition stands for errdefs.ErrFailedPrecondition, Hyper-V for
// errdefs.ErrNotImplemented under process isolation. Before and after this life
// the id is unknown: Create and Restore take it, every other method answers
// errdefs.ErrNotFound.
//
// A container exits when its init process has ended, when its compute system has
// ended, or when HCS is lost. Then the client
//
//   - shuts the compute system down, and terminates it if that takes too long,
//   - collects the exits of the exec'd processes and reports them,
//   - asks the [RestartManager], if there is one,
//   - frees the id and reports [StateExit].
//
// The exit code is [UnknownExitCode] if it cannot be read, never 0 instead.
// StateInfo.Err says what went wrong. It does not mean that the container could
// not be started: then Create fails.
//
// # Concurrency
//
// Every method of Client may be called at any time, from any goroutine, and from
// inside a callback. The client holds no lock while it calls HCS or the Backend. A
// container whose HCS call hangs, or whose callback takes long, holds up no other
// container.
//
// For one container the Backend gets the state changes one at a time and in the
// order in which they happened: the start first, the exit of every exec'd process
// before that of the container, and nothing after that until the id is created
// again. Pause and Resume report before they return, unless another callback of the
// container is under way, such as the one that they are called from: then their
// event comes when that callback has returned.
//
// StateStart, StatePause and StateResume arrive inside Create, Pause and Resume, in
// the goroutine of the caller. An engine that holds its own lock over such a call,
// and takes the same lock in StateChanged, waits for itself: it must hand the
// events to a queue of its own instead.
//
// A container costs two goroutines, and each exec'd process one; streams cost
// none. Each call into HCS runs in another goroutine, so that the client can stop
// waiting for it. If HCS carries it out after that, the client undoes it.
//
// # Errors
//
// An [Error] names operation, container, process and [Code], and matches the
// kinds of github.com/containerd/errdefs as well as codes of any dialect:
//
//	errdefs.IsNotFound(err)
//	errors.Is(err, libcontainerd.CodeImageMismatch)
//
// Its text is one line, with a hint where one helps. The verb %+v adds what HCS
// reported besides and the document, without secrets.
package libcontainerd
