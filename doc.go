// Package libcontainerd runs Windows containers directly on the Host Compute
// Service (HCS) of the machine: no daemon, no shim process. A container engine
// imports it, gives it a [Backend] and gets a [Client]:
//
//	client, err := libcontainerd.NewClient(backend)
//	…
//	err = client.Create("web1", spec)
//
// Create translates the [Spec] to an HCS document (see [Configuration]), creates
// and starts the compute system and its init process, hands the streams to
// Backend.AttachStreams and reports [StateStart]. What happens from then on comes
// as Backend.StateChanged, the exit last. Engines that have OCI documents use
// [SpecFromOCI].
//
// On Windows the client uses the host's HCS, through hcsshim. Anywhere else, and
// in tests, [WithComputeService] gives another: package hcstest has a simulated
// one. The client itself is the same on every system.
//
// # A container's life
//
//	being created → running ⇄ paused → exiting → gone
//	                                      ↓
//	                     waiting for its restart → being created …
//
// Which calls are legal when, and what the others answer:
//
//	                being created   running   paused   exiting   waiting for restart
//	Create, Restore already exists in every phase
//	AddProcess      precondition    ok        precond. precond.  precondition
//	Signal          ends the start  ok        ok       ok        ends the wait
//	Signal 0        precondition    ok        ok       precond.  precondition
//	Resize, Stats   precondition    ok        ok       precond.  precondition
//	Pause           precondition    Hyper-V   precond. precond.  precondition
//	Resume          precondition    precond.  Hyper-V  precond.  precondition
//	Summary, pids   empty           ok        ok       exec'd    empty
//
// Precondition stands for errdefs.ErrFailedPrecondition. Before and after all
// that the id is errdefs.ErrNotFound, and free.
//
// A container exits when its init process has ended, or when its compute system
// has, or when HCS is lost. Then the client shuts the compute system down, ends it
// if that takes too long, collects the exits of the exec'd processes, asks the
// [RestartManager] if there is one, frees the id, and reports [StateExit]. The
// exit code is [UnknownExitCode] if it could not be had, never 0 instead;
// StateInfo.Err says what went wrong.
//
// # Concurrency
//
// Every method of Client may be called at any time, from any goroutine, and from
// inside a callback. No lock is held while HCS or the Backend is called, so that
// a container whose HCS call hangs, or whose callback takes its time, holds up no
// other, and none of the other calls on itself.
//
// For one container the Backend hears of state changes one at a time and in the
// order in which they happened: the start first, every exec'd process's exit
// before the container's, and nothing after that until the id is created again.
// A method that was called from inside a callback does not wait for the event it
// brings about, which comes when the callback has returned.
//
// A container costs two goroutines, and each exec'd process one; streams cost
// none. A call into HCS runs in a goroutine of its own, so that the client can
// stop waiting for it. What such a call does in the end is undone.
//
// # Errors
//
// An [Error] names operation, container, process and [Code], and matches the
// kinds of github.com/containerd/errdefs as well as codes of any dialect:
//
//	errdefs.IsNotFound(err)
//	errors.Is(err, libcontainerd.CodeImageMismatch)
//
// Its text is one line, with a hint where one helps; %+v adds the events of HCS
// and the document, without secrets.
package libcontainerd
