package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// runOptions says how a container is run. What it runs is in its spec.
type runOptions struct {
	id, owner     string
	network       string // "" or none: as the spec says
	events, debug bool
	started       func() // or nil
}

// errLeft says that a container may be left behind.
var errLeft = errors.New("may be left behind, see hcsrun ps")

// runContainer prepares what a container needs of the host, runs the container to
// its end, and returns its exit code.
func (a *app) runContainer(o runOptions, spec libcontainerd.Spec, service libcontainerd.ComputeService, term *terminal) error {
	ground := a.newGround(o.id, service)
	if err := a.interruptible(func(ctx context.Context) error { return ground.lay(ctx, &spec, o.network) }); err != nil {
		return err
	}
	exit, err := a.runOn(o, spec, service, term)
	if mayStillRun(errors.Join(err, exit.Err)) {
		ground.leave()
	} else {
		err = errors.Join(err, a.interruptible(ground.clear))
	}
	switch {
	case errors.Is(err, errDetached):
		a.notice("container %s runs on without hcsrun; hcsrun kill %[1]s ends it", o.id)
		if ground.simulated {
			a.notice("but a simulated HCS ends with its hcsrun")
		}
		return nil
	case err != nil:
		return explainSimulator(err, service)
	case exit.Err != nil && exit.Code == 0:
		return exit.Err // code 0 would read as success
	case exit.Err != nil:
		a.warn("%v", exit.Err)
	}
	return a.exit(exit.Code)
}

// mayStillRun reports whether the container may still run after an end with err.
func mayStillRun(err error) bool {
	return errors.Is(err, errLeft) || errors.Is(err, errDetached) || errors.Is(err, libcontainerd.ErrMayStillRun)
}

// interruptible calls do. The first Ctrl-C ends the context of do, the second one
// ends the wait for it.
func (a *app) interruptible(do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-a.interrupts:
			if ctx.Err() != nil {
				return errors.New("interrupted: hcsrun layer ls shows what may be left")
			}
			cancel()
		}
	}
}

// runOn runs one container to its end.
func (a *app) runOn(o runOptions, spec libcontainerd.Spec, service libcontainerd.ComputeService, term *terminal) (engine.Exit, error) {
	defer term.release()
	defer term.releaseOnPanic()
	if width, height := term.size(); width > 0 {
		spec.Process.InitialConsoleSize = [2]int{height, width}
	}
	// Other hcsruns have the same owner, and this engine must not end their
	// containers.
	eng, err := engine.New(engine.WithComputeService(service), engine.WithLogger(a.logger(o.debug)),
		engine.WithClientOptions(libcontainerd.WithOwner(o.owner)))
	if err != nil {
		return engine.Exit{}, err
	}
	// The engine is closed only if the container runs on. Otherwise hcsrun ends
	// soon, and does not wait for a call that hangs.
	r := &run{app: a, runOptions: o, engine: eng, terminal: term, exited: make(chan exited, 1)}
	printed := func() {}
	if o.events {
		printed = a.printEvents(eng)
	}
	exit, err := r.await(r.start(spec))
	switch {
	case errors.Is(err, errDetached):
		term.release()
		ctx, cancel := context.WithTimeout(context.Background(), libcontainerd.DefaultGrace)
		defer cancel()
		err = errors.Join(err, eng.Close(ctx))
	case err == nil:
		printed()
	}
	return exit, err
}

// run is a container from its start to its exit.
type run struct {
	*app
	runOptions
	engine    *engine.Engine
	terminal  *terminal
	container *engine.Container // nil until it runs
	exited    chan exited
	wishes    int // how often the user asked for a stop
}

// started and exited are the answers of an engine.
type started struct {
	container *engine.Container
	err       error
}

type exited struct {
	engine.Exit
	err error
}

// start starts the container.
func (r *run) start(spec libcontainerd.Spec) <-chan started {
	done := make(chan started, 1)
	go func() {
		defer r.terminal.releaseOnPanic()
		t := r.terminal
		container, err := r.engine.Run(context.Background(), r.id, spec, engine.WithStdio(t.input(), t.output(t.stdout), t.output(t.stderr)))
		done <- started{container, err}
	}()
	return done
}

// runs records the container, which runs now.
func (r *run) runs(container *engine.Container) error {
	r.container = container
	go func() {
		exit, err := container.Wait(context.Background())
		r.exited <- exited{exit, err}
	}()
	if r.started != nil {
		r.started()
	}
	return r.terminal.take(func(width, height int) error { return container.Resize(context.Background(), width, height) })
}

// await waits for the exit of a container that is being started. It stops the
// container when the user asks for that, and when its output can no longer be
// written.
func (r *run) await(start <-chan started) (engine.Exit, error) {
	done := r.wait("starting container %s", r.id)
	defer func() { done() }()
	for {
		select {
		case s := <-start:
			done()
			if s.err != nil {
				return engine.Exit{}, s.err
			}
			if err := r.runs(s.container); err != nil {
				r.warn("%v", err)
				r.wishes = max(r.wishes, 1)
			}
		case exit := <-r.exited:
			return exit.Exit, exit.err
		case <-r.terminal.detached:
			return engine.Exit{}, errDetached
		case <-r.terminal.lost:
			r.wishes = max(r.wishes, 1)
		case signal := <-r.interrupts:
			if !r.terminal.takes(signal) {
				r.wishes++
			}
		}
		switch {
		case r.wishes > 2:
			return engine.Exit{}, fmt.Errorf("interrupted: container %q %w", r.id, errLeft)
		case r.container != nil && r.wishes > 0:
			done()
			done = r.wait("stopping container %s, Ctrl-C insists", r.id)
			go r.stop(r.wishes) // HCS may answer late, or never
		}
	}
}

// stop asks for a graceful stop when it is called first, and for an immediate one
// the second time.
func (r *run) stop(wishes int) {
	timeout := time.Duration(-1)
	if wishes > 1 {
		timeout = 0
	}
	if err := r.container.Stop(context.Background(), timeout); err != nil {
		r.warn("%v", err)
	}
}
