package main

import (
	"context"
	"net/http"
	"time"

	"github.com/seed-609fd248/libcontainerd/engine"
)

// run is one run of a container: from docker start to the exit for good, the restarts
// of the policy included. Clients may attach to it, and wait for it, before it begins.
type run struct {
	streams *streams
	began   chan struct{} // closed when the start has succeeded
	over    chan struct{} // closed when it has ended, or could not begin

	// Guarded by managed.mu.
	cancel context.CancelFunc // ends the start; nil: nobody has started it yet
	keep   bool               // docker restart ends it: no reason to remove the container

	// Set before over is closed.
	exit    engine.Exit
	failure *failure // nil: it did begin
}

func newRun(openStdin bool) *run {
	return &run{streams: newStreams(openStdin), began: make(chan struct{}), over: make(chan struct{})}
}

// code is the exit code of a run that is over.
func (r *run) code() int {
	if r.failure != nil {
		return r.failure.Code
	}
	return int(r.exit.Code)
}

// start starts a container, and returns when its init process runs.
func (d *daemon) start(c *managed) error {
	for {
		ctx, r, err := d.claim(c)
		if err != nil {
			return err
		}
		if ctx != nil {
			return d.bringUp(ctx, c, r)
		}
		select { // another start is under way, or the run before ends
		case <-r.began:
			if c.isRunning() {
				return errNotModified
			}
			if err := d.await(d.ctx, r.over); err != nil {
				return err
			}
		case <-r.over:
		case <-d.ctx.Done():
			return engine.ErrClosed
		}
	}
}

// claim takes the next run for the caller to start. If there is a current one
// already, ctx is nil.
func (d *daemon) claim(c *managed) (ctx context.Context, r *run, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removing {
		return nil, nil, conflict("container %s is being removed", c.id)
	}
	if c.run.cancel == nil {
		ctx, c.run.cancel = context.WithCancel(d.ctx)
	}
	return ctx, c.run, nil
}

// bringUp starts a run that the caller has claimed.
func (d *daemon) bringUp(ctx context.Context, c *managed, r *run) error {
	live, err := d.launch(ctx, c, r)
	if err != nil {
		d.noteFailure(c, r, err)
		return err
	}
	c.mu.Lock()
	c.live = live
	c.mu.Unlock()
	close(r.began)
	d.spawn(func() { d.watch(c, r, live) })
	return nil
}

// launch mounts the scratch of a container and runs it.
func (d *daemon) launch(ctx context.Context, c *managed, r *run) (*engine.Container, error) {
	rec := c.snapshot()
	spec, err := d.spec(rec)
	if err != nil {
		return nil, err
	}
	if err := d.mount(ctx, c, &spec); err != nil {
		return nil, err
	}
	options := []engine.RunOption{engine.WithStdio(r.streams.stdio()), engine.WithRestart(restartPolicy(rec))}
	logging, err := d.logOption(rec)
	if err != nil {
		return nil, err
	}
	live, err := d.engine.Run(ctx, c.id, spec, append(options, logging...)...)
	if err != nil {
		return nil, startError(err)
	}
	return live, nil
}

// noteFailure ends a run that could not begin.
func (d *daemon) noteFailure(c *managed, r *run, err error) {
	r.failure = &failure{Code: startCode(err), Message: err.Error(), At: time.Now()}
	if d.ctx.Err() == nil {
		_, saveErr := c.change(d.store, func(rec *record) string {
			rec.Failure = r.failure
			return ""
		})
		if saveErr != nil {
			d.logger.Warn("the record is not up to date", "container", c.id, "error", saveErr)
		}
	}
	d.endRun(c, r)
}

// takeUp goes on with a container that the engine has taken up, or found exited.
func (d *daemon) takeUp(c *managed, live *engine.Container) {
	c.mu.Lock()
	c.live = live
	r := c.run
	exited := live.Status().Phase == engine.PhaseExited
	if !exited {
		_, r.cancel = context.WithCancel(d.ctx)
	}
	remove := c.record.HostConfig.AutoRemove
	c.mu.Unlock()
	switch {
	case !exited:
		close(r.began)
		d.spawn(func() { d.watch(c, r, live) })
	case remove:
		d.spawn(func() { d.removeOrWarn(c) })
	}
}

// watch waits for the end of a run.
func (d *daemon) watch(c *managed, r *run, live *engine.Container) {
	exit, err := live.Wait(d.ctx)
	if err != nil {
		return // the daemon ends
	}
	r.exit = exit
	d.endRun(c, r)
}

// endRun ends a run, lets the next one begin, and removes what --rm wants removed.
func (d *daemon) endRun(c *managed, r *run) {
	c.mu.Lock()
	r.cancel()
	r.streams.close()
	c.run = newRun(c.record.Config.OpenStdin)
	remove := c.record.HostConfig.AutoRemove && !c.removing && !r.keep
	c.mu.Unlock()
	if d.engine != nil && r.failure == nil {
		d.awaitPump(d.engine.LastEvent()) // whoever waits finds the event that it has exited
	}
	close(r.over)
	if remove && d.ctx.Err() == nil {
		d.spawn(func() { d.removeOrWarn(c) })
	}
}

// liveRun returns the engine's container if that runs or is about to be restarted, nil
// otherwise.
func (c *managed) liveRun() *engine.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run.cancel == nil || !isClosed(c.run.began) || c.live.Status().Phase == engine.PhaseExited {
		return nil
	}
	return c.live
}

func (c *managed) isRunning() bool { return c.liveRun() != nil }

// running is liveRun for a caller that needs one.
func (c *managed) running() (*engine.Container, error) {
	if live := c.liveRun(); live != nil {
		return live, nil
	}
	return nil, conflict("container %s is not running", c.id)
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// await waits for done, as long as the client and the daemon do.
func (d *daemon) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.ctx.Done():
		return engine.ErrClosed
	}
}

func (d *daemon) startContainer(w http.ResponseWriter, _ *http.Request, c *managed) error {
	if err := d.start(c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
