package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// Container is one container of an Engine. It remains readable when the container
// has exited and when it was removed.
type Container struct {
	id     string
	engine *Engine
	init   *Process       // the init process, of all runs
	halted chan struct{}  // closed when nobody wants it to run any longer
	free   chan struct{}  // closed when nothing is under way for it
	calls  sync.WaitGroup // of the client, for it

	removed bool // guarded by Engine.mu: the engine does not know it any longer

	mu        sync.Mutex          // guards following; taken after Engine.mu, if both are
	state     record              // Spec, Log and Labels stay as they are
	left      Phase               // in which a former engine has left it; "": taken care of
	pause     time.Duration       // before the last restart
	processes map[string]*Process // those that run, by name, and the init process
	execs     int                 // names that Exec has found
}

// newContainer makes a container of which the state says r.
func (e *Engine) newContainer(id string, r record, s streams) *Container {
	c := &Container{
		id: id, engine: e, state: r, left: r.Phase, processes: make(map[string]*Process),
		halted: make(chan struct{}), free: make(chan struct{}),
	}
	c.state.Phase = PhaseCreated
	c.init = c.newProcess(libcontainerd.InitFriendlyName, s, r.Log)
	c.processes[c.init.name] = c.init
	return c
}

// record returns what the state says of the container.
func (c *Container) record() *record {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.state
	r.Phase = cmp.Or(c.left, r.Phase) // so that the next engine finds it as this one has
	return &r
}

// Phase is where in its life a container is.
type Phase string

// Phases of a container.
const (
	PhaseCreated    Phase = "created"    // not started yet, or not taken up yet
	PhaseRunning    Phase = "running"    // the init process runs
	PhasePaused     Phase = "paused"     // frozen
	PhaseExiting    Phase = "exiting"    // the init process has ended, the teardown has not
	PhaseRestarting Phase = "restarting" // it has exited, and will be started again
	PhaseExited     Phase = "exited"     // it has exited for good, or could not be started
)

// Status is a container at one moment. The fields from Pid to Err are those of the
// current run, or of the last one; they are zero as long as they are not known.
type Status struct {
	Phase     Phase
	Pid       uint32 // of the init process; 0 if it does not run
	StartedAt time.Time
	ExitedAt  time.Time
	ExitCode  uint32
	Err       error // as Exit.Err
	Restarts  int   // times that the policy has restarted it
}

// Exit is the end of a container or of an exec'd process.
type Exit struct {
	// Code is the exit code. It is libcontainerd.UnknownExitCode if it could not be
	// had, and libcontainerd.RestoreExitCode for a container that ended while no
	// engine watched it.
	Code uint32
	// At is when it ended, as far as the engine saw.
	At time.Time
	// Err explains an exit that was not an orderly one, and says which output was
	// cut off; nil otherwise. It matches libcontainerd.ErrMayStillRun if HCS did
	// not end the compute system: the scratch must not be unmounted yet.
	// Err does not mean that the container could not be started: then Run fails.
	Err error
}

// ID returns the id of the container.
func (c *Container) ID() string { return c.id }

// Spec returns the spec that the container was made from. It must not be changed.
func (c *Container) Spec() libcontainerd.Spec { return c.state.Spec }

// Labels returns the labels of the container. They must not be changed.
func (c *Container) Labels() map[string]string { return c.state.Labels }

// Status returns the state of the container. It does not ask HCS.
func (c *Container) Status() Status {
	c.mu.Lock()
	s := c.state.Status
	c.mu.Unlock()
	if s.Phase == PhaseRunning || s.Phase == PhasePaused {
		if state, err := c.engine.client.State(c.id); err == nil && state == libcontainerd.StatusExiting {
			s.Phase = PhaseExiting
		}
	}
	return s
}

// Wait waits until the container has exited for good, restarts included, and until
// its output is complete. It may be called several times. The error is only about
// the waiting: ctx has ended, or the engine was closed.
//
// A writer that takes nothing for 15 seconds after the exit is not waited for any
// longer; Exit.Err says so.
func (c *Container) Wait(ctx context.Context) (Exit, error) { return c.init.Wait(ctx) }

// Stop shuts the container down, kills it when it has not ended after timeout, and
// returns when it is gone. It is not restarted. A timeout of 0 kills at once, one
// below 0 never. A container that has exited is no error.
//
// If HCS did not end the container, the error matches libcontainerd.ErrMayStillRun.
// A Stop whose ctx ends goes on in the background.
func (c *Container) Stop(ctx context.Context, timeout time.Duration) error {
	what := fmt.Sprintf("stop of %s", c.init.title())
	err := c.engine.ask(ctx, what, func() error { return c.end(timeout) }, nil)
	if !isClosed(c.init.exited) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.MayStillRun {
		return fmt.Errorf("%s: %w", what, errors.Join(c.state.Err, libcontainerd.ErrMayStillRun))
	}
	return nil
}

// Kill ends the container at once, as Stop with a timeout of 0.
func (c *Container) Kill(ctx context.Context) error { return c.Stop(ctx, 0) }

// Remove makes the engine forget a container that has exited; its log file stays.
// One that has not exited is errdefs.ErrFailedPrecondition; one that was removed
// already, or replaced, is errdefs.ErrNotFound.
func (c *Container) Remove(ctx context.Context) error {
	what := fmt.Sprintf("remove of %s", c.init.title())
	if !isClosed(c.init.exited) {
		return fmt.Errorf("%s, which has not exited: %w", what, errdefs.ErrFailedPrecondition)
	}
	if err := c.engine.await(ctx, c.init.done); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return c.engine.ask(ctx, what, func() error { return c.engine.forget(c) }, nil)
}

// Pause freezes the container. Only Hyper-V isolation can do that; process
// isolation is errdefs.ErrNotImplemented.
func (c *Container) Pause(ctx context.Context) error {
	return c.init.do(ctx, "pause of", func() error { return c.engine.client.Pause(c.id) })
}

// Resume lets a paused container run on.
func (c *Container) Resume(ctx context.Context) error {
	return c.init.do(ctx, "resume of", func() error { return c.engine.client.Resume(c.id) })
}

// Resize sets the console of the init process, in characters, 1…65535.
func (c *Container) Resize(ctx context.Context, width, height int) error {
	return c.init.Resize(ctx, width, height)
}

// Stats returns the resource use of the running container.
func (c *Container) Stats(ctx context.Context) (*libcontainerd.Stats, error) {
	return query(ctx, c, "stats of", c.engine.client.Stats)
}

// Processes describes the processes of the running container: the init process,
// the exec'd ones, and all others that HCS knows of, in this order.
func (c *Container) Processes(ctx context.Context) ([]libcontainerd.Summary, error) {
	return query(ctx, c, "processes of", c.engine.client.Summary)
}

// query asks the client for something of a running container.
func query[T any](ctx context.Context, c *Container, what string, f func(id string) (T, error)) (T, error) {
	var value T
	err := c.init.do(ctx, what, func() (err error) {
		value, err = f(c.id)
		return err
	})
	if err != nil { // then the call may still be under way
		return *new(T), err
	}
	return value, nil
}

// start enters, creates and starts a container for Run. After an error nothing is
// left of it.
func (c *Container) start(ctx context.Context) error {
	if err := c.engine.admit(ctx, c); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, c.giveUp)
	err := c.bringUp()
	inTime := stop()
	if err != nil {
		c.giveUp()
		c.exitForGood(failure(err))
		c.engine.await(context.Background(), c.init.done)
		return err
	}
	if !inTime {
		return context.Cause(ctx)
	}
	return nil
}

// bringUp begins a run. The state is written before HCS is asked.
func (c *Container) bringUp() error {
	if err := c.engine.save(c.id); err != nil {
		return err
	}
	if err := c.init.log.open(); err != nil {
		return fmt.Errorf("%s: %w", c.init.title(), err)
	}
	return c.engine.client.Create(c.id, c.state.Spec)
}

// failure is the exit of a container or a process that could not be started.
func failure(err error) libcontainerd.StateInfo {
	return libcontainerd.StateInfo{ExitCode: libcontainerd.UnknownExitCode, ExitedAt: time.Now(), Err: err}
}

// errUnwanted refuses a run.
var errUnwanted = fmt.Errorf("stopped before it ran: %w", errdefs.ErrAborted)

// started notes that a run has begun. It refuses one that nobody wants any longer,
// and one that the state cannot know.
func (c *Container) started(info libcontainerd.StateInfo) error {
	if isClosed(c.halted) {
		return errUnwanted
	}
	c.mu.Lock()
	c.state.Status = Status{Phase: PhaseRunning, Pid: info.Pid, StartedAt: time.Now(), Restarts: c.state.Restarts}
	c.mu.Unlock()
	if err := c.engine.save(c.id); err != nil {
		return err
	}
	c.tell(EventStart, "", info)
	return nil
}

// noteExitLocked puts an exit into the state; c.mu is held.
func (c *Container) noteExitLocked(phase Phase, info libcontainerd.StateInfo) {
	if info.ExitedAt.IsZero() {
		info.ExitedAt = time.Now()
	}
	c.left = ""
	c.state.Phase, c.state.Pid = phase, 0
	c.state.ExitCode, c.state.ExitedAt, c.state.Err = info.ExitCode, info.ExitedAt, info.Err
}

// exitForGood notes that the container has exited, and that it is not restarted. Only
// the first time counts.
func (c *Container) exitForGood(info libcontainerd.StateInfo) {
	mayStillRun := errors.Is(info.Err, libcontainerd.ErrMayStillRun)
	c.mu.Lock()
	if c.state.Phase == PhaseExited {
		c.mu.Unlock()
		return
	}
	c.haltLocked()
	known := c.left == PhaseExited
	c.noteExitLocked(PhaseExited, info)
	c.state.MayStillRun = mayStillRun
	r := c.init.run
	c.mu.Unlock()
	c.engine.save(c.id)
	if !known {
		c.tell(EventExit, "", info)
	}
	close(c.init.exited)
	c.engine.spawn(func() { c.complete(r, mayStillRun) })
}

// complete lets everything go once the output is complete.
func (c *Container) complete(r *run, mayStillRun bool) {
	e := c.engine
	err := r.finish(e, mayStillRun)
	if isClosed(e.closing) {
		return // Close closes the log
	}
	err = errors.Join(err, c.init.log.close())
	c.mu.Lock()
	c.state.Err = errors.Join(c.state.Err, err)
	c.init.end = Exit{Code: c.state.ExitCode, At: c.state.ExitedAt, Err: c.state.Err}
	remove := c.state.AutoRemove
	c.mu.Unlock()
	if err != nil {
		e.save(c.id)
	}
	if remove {
		e.forget(c)
	}
	close(c.init.done)
	c.init.log.wake()
	c.calls.Wait()
	close(c.free)
	e.release(c)
}

// systemEnded notes that HCS has ended the container after all.
func (c *Container) systemEnded() {
	c.mu.Lock()
	ended := c.state.MayStillRun
	c.state.MayStillRun = false
	c.mu.Unlock()
	if ended {
		c.note(EventEnded, libcontainerd.StateInfo{})
	}
}

// end carries out a Stop.
func (c *Container) end(timeout time.Duration) error {
	c.halt()
	if timeout > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if c.init.signal(ctx, libcontainerd.SignalTerminate) == nil {
			return nil
		}
	}
	if timeout < 0 {
		return c.init.signal(context.Background(), libcontainerd.SignalTerminate)
	}
	return c.init.kill()
}

// halt says that a container that has not exited is to run no longer.
func (c *Container) halt() {
	c.mu.Lock()
	if c.state.Phase == PhaseExited {
		c.mu.Unlock()
		return
	}
	c.haltLocked()
	c.state.Stopped = true
	c.mu.Unlock()
	c.engine.save(c.id)
}

// haltLocked keeps another run from beginning; c.mu is held.
func (c *Container) haltLocked() {
	if !isClosed(c.halted) {
		close(c.halted)
	}
}

// giveUp ends and forgets a container whose Run has failed or was given up.
func (c *Container) giveUp() {
	c.markGivenUp()
	c.engine.spawn(func() {
		c.engine.save(c.id)
		c.init.discard()
		if isClosed(c.init.exited) {
			c.engine.forget(c)
		}
	})
}

// markGivenUp makes the next Run of the id wait for the end of this one.
func (c *Container) markGivenUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.haltLocked()
	c.state.Stopped, c.state.AutoRemove, c.state.Policy = true, true, Never()
}

// leaves reports whether the container gives its id up by itself.
func (c *Container) leaves() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return isClosed(c.init.exited) || c.state.Stopped && c.state.AutoRemove
}

// note keeps what has happened, and tells it.
func (c *Container) note(what EventType, info libcontainerd.StateInfo) {
	c.engine.save(c.id)
	c.tell(what, "", info)
}

// tell adds an event to those of the engine; process is the name of an exec'd one.
func (c *Container) tell(what EventType, process string, info libcontainerd.StateInfo) {
	c.engine.events.add(Event{
		Type: what, ContainerID: c.id, Labels: c.state.Labels, Process: process,
		Pid: info.Pid, ExitCode: info.ExitCode, Err: info.Err,
	})
}
