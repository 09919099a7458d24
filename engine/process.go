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

// Process is an exec'd process. It remains readable when it has ended.
type Process struct {
	name      string
	container *Container
	stdio     stdio

	exited chan struct{} // closed when the process has ended
	done   chan struct{} // closed when its output is complete besides

	mu     sync.Mutex // guards following
	pid    uint32     // 0: it was not started yet
	output *output    // nil: none yet
	end    Exit       // once exited is closed
}

// Exec starts a process in the running container. When ctx ends before Exec has
// returned, the process is killed as soon as it is there. A name of WithName that a
// process of the container has is errdefs.ErrAlreadyExists.
func (c *Container) Exec(ctx context.Context, process libcontainerd.Process, options ...RunOption) (*Process, error) {
	s, err := newRunSettings(true, options)
	if err != nil {
		return nil, fmt.Errorf("exec in container %q: %w", c.id, err)
	}
	what := fmt.Sprintf("exec in container %q", c.id)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	p, err := c.newProcess(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	_, err = ask(ctx, c.engine, what, func() (struct{}, error) { return struct{}{}, p.start(process) }, p.discard)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// newProcess enters a process under its name.
func (c *Container) newProcess(s runSettings) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s.name == "" {
		c.execs++
		if name := fmt.Sprintf("exec-%d", c.execs); c.processes[name] == nil {
			s.name = name
		}
	}
	if c.processes[s.name] != nil {
		return nil, fmt.Errorf("process %q: %w", s.name, errdefs.ErrAlreadyExists)
	}
	p := &Process{
		name: s.name, container: c,
		stdio:  stdio{stdin: s.stdin, stdout: s.stdout, stderr: s.stderr},
		exited: make(chan struct{}), done: make(chan struct{}),
	}
	c.processes[p.name] = p
	return p, nil
}

// process returns the exec'd process of that name, nil if there is none.
func (c *Container) process(name string) *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[name]
}

// Name returns the name of the process, unique in its container while it runs.
func (p *Process) Name() string { return p.name }

// Pid returns the process id.
func (p *Process) Pid() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Wait waits until the process has ended and its output is complete, as
// Container.Wait.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	if err := p.container.engine.await(ctx, p.done); err != nil {
		return Exit{}, fmt.Errorf("wait for process %q of container %q: %w", p.name, p.container.id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end, nil
}

// Kill ends the process, and returns when it has ended. A process that has ended is
// no error. A Kill whose ctx ends goes on in the background.
func (p *Process) Kill(ctx context.Context) error {
	err := p.do(ctx, "kill", func() error {
		if err := p.kill(); !isAsked(err) {
			return err
		}
		return p.container.engine.await(ctx, p.exited)
	})
	if isClosed(p.exited) {
		return nil
	}
	return err
}

// Resize sets the console of the process, in characters, 1…65535.
func (p *Process) Resize(ctx context.Context, width, height int) error {
	return p.do(ctx, "resize", func() error {
		return p.container.engine.client.Resize(p.container.id, p.name, width, height)
	})
}

// do makes a call for the process, unless that has ended: its name may be another
// process's then.
func (p *Process) do(ctx context.Context, what string, f func() error) error {
	return p.container.do(ctx, fmt.Sprintf("%s of process %q", what, p.name), func() error {
		if isClosed(p.exited) {
			return fmt.Errorf("process %q of container %q has ended: %w", p.name, p.container.id, errdefs.ErrFailedPrecondition)
		}
		return f()
	})
}

// start starts a process that was entered.
func (p *Process) start(process libcontainerd.Process) error {
	err := p.container.call(func() error {
		return p.container.engine.client.AddProcess(p.container.id, p.name, process)
	})
	if err != nil {
		p.exit(libcontainerd.StateInfo{ExitCode: libcontainerd.UnknownExitCode, ExitedAt: time.Now(), Err: err})
	}
	return err
}

// begin notes that the process runs.
func (p *Process) begin(pid uint32, output *output) {
	p.mu.Lock()
	p.pid, p.output = pid, output
	p.mu.Unlock()
	p.tell(EventExecStart, libcontainerd.StateInfo{Pid: pid})
}

// discard ends a process whose Exec was given up.
func (p *Process) discard() {
	p.container.engine.insist(p.exited, p.kill)
}

func (p *Process) kill() error {
	return p.container.call(func() error {
		return p.container.engine.client.SignalProcess(p.container.id, p.name, libcontainerd.SignalKill)
	})
}

// exit notes that the process has ended; the exit of one that was not started is
// nobody's business.
func (p *Process) exit(info libcontainerd.StateInfo) {
	c := p.container
	c.mu.Lock()
	current := c.processes[p.name] == p
	if current {
		delete(c.processes, p.name)
	}
	c.mu.Unlock()
	if !current {
		return // it has ended already
	}
	p.mu.Lock()
	p.end = Exit{Code: info.ExitCode, At: info.ExitedAt, Err: info.Err}
	output, pid := p.output, p.pid
	p.mu.Unlock()
	if pid != 0 {
		info.Pid = pid
		p.tell(EventExecExit, info)
	}
	close(p.exited)
	c.engine.spawn(func() { p.complete(output) })
}

// complete ends the waiting once the output is complete.
func (p *Process) complete(output *output) {
	err := output.wait(p.container.engine.closing)
	if isClosed(p.container.engine.closing) {
		return
	}
	p.mu.Lock()
	p.end.Err = errors.Join(p.end.Err, err)
	p.mu.Unlock()
	close(p.done)
}

func (p *Process) tell(what EventType, info libcontainerd.StateInfo) {
	p.container.engine.events.add(Event{
		Type: what, ContainerID: p.container.id, Labels: p.container.labels, Process: p.name,
		Pid: info.Pid, ExitCode: info.ExitCode, Err: info.Err,
	})
}
