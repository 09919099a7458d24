package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// Process is an exec'd process. It remains readable when it has ended.
//
// Inside the engine the init process of a container is one too. It ends when the
// container has exited for good, however often that was restarted.
type Process struct {
	name      string
	container *Container
	stdio     streams
	log       *logFile    // nil: none
	input     chan []byte // what was read of stdin; closed at its end

	exited chan struct{} // closed when the process has ended
	done   chan struct{} // closed when its output is complete besides

	// Guarded by Container.mu:
	pid uint32 // 0: it was not started yet
	run *run   // the newest; nil: none yet
	end Exit   // once done is closed
}

func (c *Container) newProcess(name string, s streams, log logConfig) *Process {
	return &Process{
		name: name, container: c, stdio: s, log: newLogFile(log), input: make(chan []byte),
		exited: make(chan struct{}), done: make(chan struct{}),
	}
}

// Exec starts a process in the running container. When ctx ends before Exec has
// returned, the process is killed as soon as it is there. A name of WithName that a
// process of the container has is errdefs.ErrAlreadyExists.
func (c *Container) Exec(ctx context.Context, process libcontainerd.Process, options ...RunOption) (*Process, error) {
	what := fmt.Sprintf("exec in %s", c.init.title())
	var s runSettings
	err := apply(&s, options)
	if s.runOnly != "" {
		err = errors.Join(err, invalid(s.runOnly+" is for Run, not for Exec"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	p := c.newProcess(s.name, s.streams, logConfig{})
	if err := c.engine.ask(ctx, what, func() error { return p.start(process) }, p.discard); err != nil {
		return nil, err
	}
	return p, nil
}

// enter enters a process under its name, or one that it finds.
func (p *Process) enter() error {
	c := p.container
	c.mu.Lock()
	defer c.mu.Unlock()
	for p.name == "" {
		c.execs++
		if name := fmt.Sprintf("exec-%d", c.execs); c.processes[name] == nil {
			p.name = name
		}
	}
	if c.processes[p.name] != nil {
		return fmt.Errorf("%s is there already: %w", p.title(), errdefs.ErrAlreadyExists)
	}
	c.processes[p.name] = p
	return nil
}

// Name returns the name of the process, unique in its container while it runs.
func (p *Process) Name() string { return p.name }

// Pid returns the process id.
func (p *Process) Pid() uint32 {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	return p.pid
}

// Wait waits until the process has ended and its output is complete, as
// Container.Wait.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	if err := p.container.engine.await(ctx, p.done); err != nil {
		return Exit{}, fmt.Errorf("wait for %s: %w", p.title(), err)
	}
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	return p.end, nil
}

// Kill ends the process, and returns when it has ended. A process that has ended is
// no error. A Kill whose ctx ends goes on in the background.
func (p *Process) Kill(ctx context.Context) error {
	err := p.do(ctx, "kill of", p.kill)
	if isClosed(p.exited) {
		return nil
	}
	return err
}

// Resize sets the console of the process, in characters, 1…65535.
func (p *Process) Resize(ctx context.Context, width, height int) error {
	return p.do(ctx, "resize of", func() error {
		return p.container.engine.client.Resize(p.container.id, p.name, width, height)
	})
}

// title names the process in errors.
func (p *Process) title() string {
	if p == p.container.init {
		return fmt.Sprintf("container %q", p.container.id)
	}
	return fmt.Sprintf("process %q of container %q", p.name, p.container.id)
}

// call makes a call of the client, unless the process has ended: its name, or the id
// of its container, may be another one's then.
func (p *Process) call(f func() error) error {
	c := p.container
	c.mu.Lock()
	if isClosed(p.exited) || c.state.Phase == PhaseExited {
		c.mu.Unlock()
		return fmt.Errorf("%s has ended: %w", p.title(), errdefs.ErrFailedPrecondition)
	}
	c.calls.Add(1)
	c.mu.Unlock()
	defer c.calls.Done()
	return f()
}

// callWhileUp is call, unless the container waits for a restart.
func (p *Process) callWhileUp(f func() error) error {
	if p.container.Status().Phase == PhaseRestarting {
		return fmt.Errorf("%s is restarting: %w", p.container.init.title(), errdefs.ErrFailedPrecondition)
	}
	return p.call(f)
}

// do makes a call of the client for a process of a running container, and waits for
// it no longer than ctx.
func (p *Process) do(ctx context.Context, what string, f func() error) error {
	return p.container.engine.ask(ctx, what+" "+p.title(), func() error { return p.callWhileUp(f) }, nil)
}

// start enters and starts an exec'd process.
func (p *Process) start(process libcontainerd.Process) error {
	c := p.container
	if err := p.enter(); err != nil {
		return err
	}
	err := p.callWhileUp(func() error { return c.engine.client.AddProcess(c.id, p.name, process) })
	if err != nil {
		p.exit(failure(err))
	}
	return err
}

// kill ends the process, and waits until it has ended.
func (p *Process) kill() error { return p.signal(context.Background(), libcontainerd.SignalKill) }

// discard ends a process that nobody wants any longer.
func (p *Process) discard() { p.container.engine.insist(p.kill) }

// signal asks for the end of the process, and waits for that as long as ctx. The
// client may take long to answer, which does not hold up the waiting.
func (p *Process) signal(ctx context.Context, sig int) error {
	e := p.container.engine
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	err := e.spawn(func() {
		err := p.call(func() error { return e.client.SignalProcess(p.container.id, p.name, sig) })
		if !endComes(err) {
			fail(err)
		}
	})
	if err == nil {
		err = e.await(ctx, p.exited)
	}
	if err != nil {
		return fmt.Errorf("end of %s: %w", p.title(), err)
	}
	return nil
}

// endComes reports whether an end that was asked for with the answer err comes by
// itself: so does that of what is not there any longer, or not there yet.
func endComes(err error) bool {
	return err == nil || errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err)
}

// exit notes that an exec'd process has ended. Nobody is told of one that was not
// started.
func (p *Process) exit(info libcontainerd.StateInfo) {
	c := p.container
	c.mu.Lock()
	if c.processes[p.name] != p { // it has ended already
		c.mu.Unlock()
		return
	}
	delete(c.processes, p.name)
	p.end = Exit{Code: info.ExitCode, At: info.ExitedAt, Err: info.Err}
	info.Pid = p.pid
	r := p.run
	c.mu.Unlock()
	if info.Pid != 0 {
		c.tell(EventExecExit, p.name, info)
	}
	close(p.exited)
	c.engine.spawn(func() { p.complete(r) })
}

// complete ends the waiting once the output is complete.
func (p *Process) complete(r *run) {
	err := r.finish(p.container.engine, false)
	if isClosed(p.container.engine.closing) {
		return
	}
	p.container.mu.Lock()
	p.end.Err = errors.Join(p.end.Err, err)
	p.container.mu.Unlock()
	close(p.done)
}
