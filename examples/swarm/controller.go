package swarm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/swarmkit/v2/agent/exec"
	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// controller controls one task. It implements exec.Controller, exec.ControllerLogs
// and exec.ContainerStatuser of swarmkit.
//
// The swarm repeats a call whose context has ended. So what takes long goes on by
// itself, and a call waits for it.
type controller struct {
	executor *Executor
	id       string        // of the task and of the container
	known    chan struct{} // closed when the engine knows the container, or could not start it
	knowOnce sync.Once

	mu      sync.Mutex // guards following
	task    *api.Task
	start   *start          // nil: Start was not called
	removal <-chan struct{} // of Executor.remove; nil: Remove was not called
	users   sync.WaitGroup  // of the scratch: Prepare and the start; none begins after Remove
}

// start is the start of a container, of which there is one at most.
type start struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when err is set
	err    error
}

func newController(e *Executor, t *api.Task) *controller {
	c := &controller{executor: e, id: t.ID, task: t.Copy(), known: make(chan struct{})}
	if _, err := c.container(); err == nil {
		c.noteKnown()
	}
	return c
}

func (c *controller) noteKnown() { c.knowOnce.Do(func() { close(c.known) }) }

func (c *controller) container() (*engine.Container, error) { return c.executor.engine.Container(c.id) }

func (c *controller) currentTask() *api.Task {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.task
}

// Update takes over a new version of the task. The container cannot be changed.
func (c *controller) Update(_ context.Context, t *api.Task) error {
	container, err := c.container()
	exited := err == nil && container.Status().Phase == engine.PhaseExited
	c.mu.Lock()
	defer c.mu.Unlock()
	if !exited && !reflect.DeepEqual(t.Spec.GetContainer(), c.task.Spec.GetContainer()) {
		return exec.ErrTaskUpdateRejected
	}
	c.task = t.Copy()
	return nil
}

// Prepare mounts the layers. It refuses what HCS cannot do, before that.
func (c *controller) Prepare(ctx context.Context) error {
	if !c.use() {
		return exec.ErrControllerClosed
	}
	defer c.users.Done()
	_, err := c.prepare(ctx)
	return failure(ctx, err)
}

// prepare returns the spec of the container with its layers mounted.
func (c *controller) prepare(ctx context.Context) (libcontainerd.Spec, error) {
	e := c.executor
	wanted, err := newContainer(c.currentTask(), e.description, e.host.images)
	if err != nil {
		return wanted.spec, err
	}
	err = wait(ctx, func() error { // HCS may not answer
		_, err := libcontainerd.Configuration(c.id, wanted.spec, e.host.service)
		return err
	})
	if err != nil {
		return wanted.spec, err
	}
	mounted, err := e.host.scratches.mount(ctx, c.id, wanted.image, wanted.spec.Windows.HvRuntime != nil)
	if err != nil {
		return wanted.spec, err
	}
	mounted.Apply(&wanted.spec)
	return wanted.spec, nil
}

// Start starts the container.
func (c *controller) Start(ctx context.Context) error {
	s, err := c.begin()
	if err != nil {
		return err
	}
	select {
	case <-s.done:
		return failure(ctx, s.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin returns the start of the container, which goes on by itself.
func (c *controller) begin() (*start, error) {
	if c.currentStart() == nil {
		if _, err := c.container(); err == nil { // of a former executor
			return nil, exec.ErrTaskStarted
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.start != nil {
		return c.start, nil
	}
	if c.removal != nil {
		return nil, exec.ErrControllerClosed
	}
	ctx, cancel := context.WithCancel(c.executor.life)
	s := &start{cancel: cancel, done: make(chan struct{})}
	c.start = s
	c.users.Add(1)
	c.executor.spawn(func() {
		defer c.users.Done()
		defer cancel()
		s.err = c.run(ctx)
		close(s.done)
		c.noteKnown()
	})
	return s, nil
}

func (c *controller) currentStart() *start {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start
}

// run starts the container. After an error nothing is left of it, or will be soon.
func (c *controller) run(ctx context.Context) error {
	e := c.executor
	spec, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	container, err := e.engine.Run(ctx, c.id, spec,
		engine.WithLogFile(c.logFile(), logOptions),
		engine.WithLabels(c.currentTask().Spec.GetContainer().Labels),
	)
	if err != nil {
		e.noteFailedStart(c.id)
		e.spawn(func() { e.insist(c.id, "unmount", func() error { return e.clear(e.life, c.id, 0) }) })
		return err
	}
	e.follow(container)
	return nil
}

// Wait waits until the container has exited.
func (c *controller) Wait(ctx context.Context) error {
	container, err := c.container()
	if err != nil {
		return fmt.Errorf("the node has lost the task: %w", err)
	}
	exit, err := container.Wait(ctx)
	switch {
	case err != nil:
		return failure(ctx, err)
	case exit.Code != 0 || errors.Is(exit.Err, libcontainerd.ErrMayStillRun):
		return exitError{exit}
	}
	return nil
}

// exitError is the end of a container that failed.
type exitError struct{ exit engine.Exit }

func (e exitError) Error() string {
	text := fmt.Sprintf("exit code %d", e.exit.Code)
	if e.exit.Code > 0xFFFF { // a status of Windows
		text = fmt.Sprintf("exit code %#x", e.exit.Code)
	}
	if e.exit.Err != nil {
		text += ": " + e.exit.Err.Error()
	}
	return text
}

func (e exitError) Unwrap() error { return e.exit.Err }

// Temporary reports false: see finalError.
func (e exitError) Temporary() bool { return false }

// ExitCode returns the code as the swarm has it, with a sign.
func (e exitError) ExitCode() int { return int(int32(e.exit.Code)) }

// Shutdown shuts the container down, and kills it when its time is over. One that
// does not run yet is not started any more.
func (c *controller) Shutdown(ctx context.Context) error {
	return c.stop(ctx, func(container *engine.Container) error {
		return container.Stop(ctx, grace(c.currentTask()))
	})
}

// Terminate kills the container.
func (c *controller) Terminate(ctx context.Context) error {
	return c.stop(ctx, func(container *engine.Container) error { return container.Kill(ctx) })
}

// stop ends the container. What fails is tried again by the swarm: as long as the
// container may run, the task has not ended.
func (c *controller) stop(ctx context.Context, end func(*engine.Container) error) error {
	if err := c.cancelStart(ctx); err != nil {
		return err
	}
	container, err := c.container()
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err := end(container); err != nil {
		return exec.MakeTemporary(first(ctx, err))
	}
	return nil
}

// cancelStart ends a start that is under way.
func (c *controller) cancelStart(ctx context.Context) error {
	s := c.currentStart()
	if s == nil {
		return nil
	}
	s.cancel()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Remove ends the container and removes all of it. When ctx ends, the removal goes
// on, if need be in the next executor.
func (c *controller) Remove(ctx context.Context) error {
	select {
	case <-c.beginRemoval():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *controller) beginRemoval() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removal == nil {
		c.removal = c.executor.removeAfter(c.id, grace(c.task), c.endUse)
	}
	return c.removal
}

// use keeps Remove waiting until users.Done. It reports false after Remove.
func (c *controller) use() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removal != nil {
		return false
	}
	c.users.Add(1)
	return true
}

// endUse waits until nobody uses the scratch any longer.
func (c *controller) endUse() {
	if s := c.currentStart(); s != nil {
		s.cancel()
	}
	c.users.Wait()
}

// Close ends the controller; the container runs on.
func (c *controller) Close() error {
	c.executor.forget(c)
	return nil
}

// ContainerStatus returns what the swarm wants to know of the container, nil without
// one.
func (c *controller) ContainerStatus(context.Context) (*api.ContainerStatus, error) {
	container, err := c.container()
	if err != nil {
		return nil, nil
	}
	s := container.Status()
	return &api.ContainerStatus{ContainerID: c.id, PID: int32(s.Pid), ExitCode: int32(s.ExitCode)}, nil
}

// finalError is the failure of a task. It says that it is not temporary, for what it
// wraps may say that it is, as context.DeadlineExceeded does: the swarm would repeat
// the call on this node for ever, when HCS does not answer.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// Temporary reports false.
func (e finalError) Temporary() bool { return false }

// failure returns what makes the task fail, unless ctx has ended.
func failure(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return first(ctx, err)
	}
	return finalError{err}
}

// first returns the bare error of a context that has ended, which the swarm compares
// with, and else err.
func first(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// wait waits for f, which knows of no context, no longer than ctx.
func wait(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
