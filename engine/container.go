package engine

import (
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
	id         string
	engine     *Engine
	spec       libcontainerd.Spec
	policy     RestartPolicy
	labels     map[string]string
	autoRemove bool
	stdio      stdio
	restarter  restarter

	exited chan struct{}  // closed when the container has exited for good
	done   chan struct{}  // closed when its output is complete besides
	free   chan struct{}  // closed when nothing is under way for it besides
	calls  sync.WaitGroup // of call

	mu          sync.Mutex // guards following; taken after Engine.mu, if both are
	status      Status
	stopped     bool          // by Stop or Kill
	givenUp     bool          // its Run was, so nothing of it may be left
	mayStillRun bool          // HCS did not end it, though its exit was told
	left        *record       // of a former engine, whose container is not taken up yet; nil: no such
	revival     bool          // New is about to start it again
	removed     bool          // the engine does not know it any longer
	pause       time.Duration // before the last restart
	output      *output       // of the current run, nil: none
	processes   map[string]*Process
	execs       int // names that Exec has found
}

// newContainer makes a container of which the state says r.
func (e *Engine) newContainer(id string, r record) *Container {
	c := &Container{
		id: id, engine: e, spec: r.Spec, policy: r.Policy, labels: r.Labels, autoRemove: r.AutoRemove,
		exited: make(chan struct{}), done: make(chan struct{}), free: make(chan struct{}),
		processes: make(map[string]*Process),
		stopped:   r.Stopped, givenUp: r.GivenUp, mayStillRun: r.MayStillRun,
		status: Status{
			Phase: PhaseCreated, StartedAt: r.StartedAt, ExitedAt: r.ExitedAt,
			ExitCode: r.ExitCode, Restarts: r.Restarts,
		},
	}
	c.restarter.container = c
	if r.Log != nil {
		c.stdio.log = &logFile{logConfig: *r.Log}
	}
	if r.Err != "" {
		c.status.Err = errors.New(r.Err)
	}
	return c
}

// record returns what the state says of the container, nil if it says nothing.
func (c *Container) record() *record {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed {
		return nil
	}
	r := &record{
		Spec: c.spec, Policy: c.policy, Labels: c.labels, AutoRemove: c.autoRemove,
		Phase: c.status.Phase, Pid: c.status.Pid, StartedAt: c.status.StartedAt, ExitedAt: c.status.ExitedAt,
		ExitCode: c.status.ExitCode, Restarts: c.status.Restarts,
		Stopped: c.stopped, GivenUp: c.givenUp, MayStillRun: c.mayStillRun,
	}
	if c.stdio.log != nil {
		r.Log = &c.stdio.log.logConfig
	}
	if c.status.Err != nil {
		r.Err = c.status.Err.Error()
	}
	return r
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
func (c *Container) Spec() libcontainerd.Spec { return c.spec }

// Labels returns the labels of the container. They must not be changed.
func (c *Container) Labels() map[string]string { return c.labels }

// Status returns the state of the container. It does not ask HCS.
func (c *Container) Status() Status {
	c.mu.Lock()
	s := c.status
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
func (c *Container) Wait(ctx context.Context) (Exit, error) {
	if err := c.engine.await(ctx, c.done); err != nil {
		return Exit{}, fmt.Errorf("wait for container %q: %w", c.id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Exit{Code: c.status.ExitCode, At: c.status.ExitedAt, Err: c.status.Err}, nil
}

// Stop shuts the container down, kills it when it has not ended after timeout, and
// returns when it is gone. It is not restarted. A timeout of 0 kills at once, one
// below 0 never. A container that has exited is no error.
//
// If HCS did not end the container, the error matches libcontainerd.ErrMayStillRun.
// A Stop whose ctx ends goes on in the background.
func (c *Container) Stop(ctx context.Context, timeout time.Duration) error {
	if c.isOver() {
		return c.leftover()
	}
	what := fmt.Sprintf("stop of container %q", c.id)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	_, err := ask(ctx, c.engine, what, func() (struct{}, error) { return struct{}{}, c.end(timeout) }, nil)
	return err
}

// Kill ends the container at once, as Stop with a timeout of 0.
func (c *Container) Kill(ctx context.Context) error { return c.Stop(ctx, 0) }

// Remove makes the engine forget a container that has exited; its log file stays.
// One that has not exited is errdefs.ErrFailedPrecondition; one that was removed
// already, or replaced, is errdefs.ErrNotFound.
func (c *Container) Remove(ctx context.Context) error {
	if !c.isOver() {
		return fmt.Errorf("remove of container %q, which has not exited: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	if err := c.engine.await(ctx, c.done); err != nil {
		return fmt.Errorf("remove of container %q: %w", c.id, err)
	}
	_, err := ask(ctx, c.engine, fmt.Sprintf("remove of container %q", c.id),
		func() (struct{}, error) { return struct{}{}, c.engine.forget(c) }, nil)
	return err
}

// Pause freezes the container. Only Hyper-V isolation can do that; process
// isolation is errdefs.ErrNotImplemented.
func (c *Container) Pause(ctx context.Context) error {
	return c.do(ctx, "pause", func() error { return c.engine.client.Pause(c.id) })
}

// Resume lets a paused container run on.
func (c *Container) Resume(ctx context.Context) error {
	return c.do(ctx, "resume", func() error { return c.engine.client.Resume(c.id) })
}

// Resize sets the console of the init process, in characters, 1…65535.
func (c *Container) Resize(ctx context.Context, width, height int) error {
	return c.do(ctx, "resize", func() error {
		return c.engine.client.Resize(c.id, libcontainerd.InitFriendlyName, width, height)
	})
}

// Stats returns the resource use of the running container.
func (c *Container) Stats(ctx context.Context) (*libcontainerd.Stats, error) {
	return query(ctx, c, "stats", c.engine.client.Stats)
}

// Processes describes the processes of the running container: the init process,
// the exec'd ones, and all others that HCS knows of, in this order.
func (c *Container) Processes(ctx context.Context) ([]libcontainerd.Summary, error) {
	return query(ctx, c, "processes", c.engine.client.Summary)
}

// query asks the client for something of the container.
func query[T any](ctx context.Context, c *Container, what string, f func(id string) (T, error)) (value T, err error) {
	what = fmt.Sprintf("%s of container %q", what, c.id)
	if ctx.Err() != nil {
		return value, fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return ask(ctx, c.engine, what, func() (value T, err error) {
		err = c.call(func() error {
			value, err = f(c.id)
			return err
		})
		return value, err
	}, nil)
}

// do is query for what has no answer but an error.
func (c *Container) do(ctx context.Context, what string, f func() error) error {
	_, err := query(ctx, c, what, func(string) (struct{}, error) { return struct{}{}, f() })
	return err
}

// call makes a call of the client, unless the container has exited: its id may be
// another container's then.
func (c *Container) call(f func() error) error {
	c.mu.Lock()
	if c.status.Phase == PhaseExited {
		c.mu.Unlock()
		return fmt.Errorf("container %q has exited: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	c.calls.Add(1)
	c.mu.Unlock()
	defer c.calls.Done()
	return f()
}

// start creates and starts a container that Run has entered. After an error nothing
// is left of it.
func (c *Container) start(ctx context.Context) error {
	if ctx.Err() != nil {
		c.fail(context.Cause(ctx))
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, c.giveUp)
	err := c.bringUp()
	inTime := stop()
	if err != nil {
		c.fail(err)
		return err
	}
	if !inTime {
		c.discard()
		return context.Cause(ctx)
	}
	return nil
}

// bringUp creates the container. The state is written before HCS is asked.
func (c *Container) bringUp() error {
	e := c.engine
	if err := e.save(c.id); err != nil {
		return err
	}
	if err := c.stdio.log.open(); err != nil {
		return fmt.Errorf("container %q: %w", c.id, err)
	}
	return e.client.Create(c.id, c.spec, libcontainerd.WithRestartManager(&c.restarter))
}

// fail ends a container that could not be started, and forgets it.
func (c *Container) fail(err error) {
	c.exit(libcontainerd.StateInfo{ExitCode: libcontainerd.UnknownExitCode, ExitedAt: time.Now(), Err: err})
	c.engine.forgetOrWarn(c)
}

// giveUp keeps a container that is being started from running.
func (c *Container) giveUp() {
	c.setGivenUp()
	c.engine.spawn(func() { c.kill() })
}

// discard ends a container that runs though its Run was given up, and forgets it.
func (c *Container) discard() {
	c.setGivenUp()
	c.engine.saveOrWarn(c.id)
	c.engine.insist(c.exited, c.kill)
	if c.isOver() { // else the next engine ends it
		c.engine.forgetOrWarn(c)
	}
}

func (c *Container) setGivenUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.givenUp = true
}

func (c *Container) isGivenUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.givenUp
}

// kill asks for the end of the container.
func (c *Container) kill() error {
	return c.call(func() error { return c.engine.client.Signal(c.id, libcontainerd.SignalKill) })
}

// insist repeats f, with growing pauses, until it succeeds, and then waits until
// what it is for is done.
func (e *Engine) insist(done <-chan struct{}, f func() error) {
	for pause := firstPause; !isAsked(f()); pause = min(2*pause, maxPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-done:
		case <-e.closing:
			timer.Stop()
			return
		}
	}
	select {
	case <-done:
	case <-e.closing:
	}
}

// isAsked reports whether an end that was asked for with the answer err comes by
// itself: what is not there any longer, or not there yet, does.
func isAsked(err error) bool {
	return err == nil || errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err)
}

// end carries out a Stop.
func (c *Container) end(timeout time.Duration) error {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.engine.saveOrWarn(c.id)
	if c.takeRevival() {
		c.exit(c.lastExit())
	}
	if timeout != 0 {
		if err := c.signal(libcontainerd.SignalTerminate, timeout); err != nil && timeout < 0 {
			return err
		}
	}
	if err := c.signal(libcontainerd.SignalKill, -1); err != nil {
		return err
	}
	return c.leftover()
}

// signal asks for the end of the container, and waits for it as long as limit; below
// 0 that is without limit. That the time is over is no error.
func (c *Container) signal(sig int, limit time.Duration) error {
	if isClosed(c.exited) {
		return nil
	}
	failed := make(chan error, 1)
	err := c.engine.spawn(func() {
		err := c.call(func() error { return c.engine.client.Signal(c.id, sig) })
		if !isAsked(err) {
			failed <- err
		}
	})
	if err != nil {
		return err
	}
	var expired <-chan time.Time
	if limit >= 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-c.exited:
		return nil
	case err := <-failed:
		return err
	case <-expired:
		return nil
	case <-c.engine.closing:
		return fmt.Errorf("stop of container %q: %w", c.id, ErrClosed)
	}
}

// leftover returns an error if HCS did not end the container.
func (c *Container) leftover() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mayStillRun {
		return nil
	}
	return fmt.Errorf("stop of container %q: %w", c.id, c.status.Err)
}

// isOver reports whether the container has exited for good.
func (c *Container) isOver() bool { return isClosed(c.exited) }

func (c *Container) isRemoved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removed
}

// markRemoved reports whether it was this call that removed the container.
func (c *Container) markRemoved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.removed
	c.removed = true
	return first
}
