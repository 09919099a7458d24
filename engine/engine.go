package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// ErrClosed is in the chain of every error of a closed engine. It is of kind
// errdefs.ErrFailedPrecondition.
var ErrClosed = fmt.Errorf("engine is closed: %w", errdefs.ErrFailedPrecondition)

// Engine runs containers. Close it when it is no longer needed.
type Engine struct {
	settings
	client  libcontainerd.Client
	store   store
	events  *eventLog
	writers writers

	closing  chan struct{}  // closed when Close begins
	closed   chan struct{}  // closed when everything is over
	closeErr error          // set before closed is closed
	tasks    sync.WaitGroup // of spawn
	copies   sync.WaitGroup // of output

	mu    sync.Mutex // guards following
	shut  bool       // Close has begun: spawn starts nothing more
	table map[string]*Container
}

// New starts an engine. With a state, it first takes care of the containers that
// the engine before it has left, as the package documentation says; that takes as
// long as HCS needs, and what takes more than 30 seconds goes on in the background.
func New(options ...Option) (*Engine, error) {
	s, err := newSettings(options)
	if err != nil {
		return nil, err
	}
	store, err := openStore(s.stateDir)
	if err != nil {
		return nil, err
	}
	return start(s, store)
}

// start makes an engine that goes on from what the store holds.
func start(s settings, store store) (*Engine, error) {
	records, life, err := store.load()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state: %w", err), store.close())
	}
	e := &Engine{
		settings: s,
		store:    store,
		events:   newEventLog(life),
		closing:  make(chan struct{}),
		closed:   make(chan struct{}),
		table:    make(map[string]*Container),
	}
	e.writers.locks = make(map[io.Writer]*writerLock)
	if e.client, err = libcontainerd.NewClient(backend{e}, s.client...); err != nil {
		return nil, errors.Join(err, store.close())
	}
	e.recover(records)
	return e, nil
}

// Run creates and starts a container, and returns when its init process runs.
//
// Nothing is left of a container that could not be started. When ctx ends before
// Run has returned, the container is killed as soon as it is up; the next Run of
// the id waits for that. A context that ends later means nothing to the container.
//
// An id that belongs to a container that has not exited is errdefs.ErrAlreadyExists;
// one that is being stopped, and was run WithAutoRemove, is waited for. A container
// that has exited is replaced. A bad spec or option is errdefs.ErrInvalidArgument,
// before anything was created.
func (e *Engine) Run(ctx context.Context, id string, spec libcontainerd.Spec, options ...RunOption) (*Container, error) {
	what := fmt.Sprintf("run of container %q", id)
	var s runSettings
	err := apply(&s, options)
	if s.name != "" {
		err = errors.Join(err, invalid("WithName is for Exec: a container has its id"))
	}
	if id == "" {
		err = errors.Join(err, invalid("id of the container is empty"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	s.Spec = spec
	c := e.newContainer(id, s.record, s.streams)
	if err := e.ask(ctx, what, func() error { return c.start(ctx) }, c.giveUp); err != nil {
		c.markGivenUp()
		return nil, err
	}
	return c, nil
}

// admit enters the container, in place of one that has exited, once nothing is
// under way any more for that.
func (e *Engine) admit(ctx context.Context, c *Container) error {
	for {
		former, err := e.enter(c)
		if err != nil || former == nil {
			return err
		}
		if !former.leaves() {
			return fmt.Errorf("%s is there already: %w", c.init.title(), errdefs.ErrAlreadyExists)
		}
		if err := e.await(ctx, former.free); err != nil {
			return err
		}
	}
}

// enter enters the container, or returns the one that is in its way.
func (e *Engine) enter(c *Container) (former *Container, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	former = e.table[c.id]
	switch {
	case e.shut:
		return nil, ErrClosed
	case former != nil && !isClosed(former.free):
		return former, nil
	case former != nil:
		former.removed = true
	}
	e.table[c.id] = c
	return nil, nil
}

// Container returns a container, running or exited. An id that is not known is
// errdefs.ErrNotFound.
func (e *Engine) Container(id string) (*Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.table[id]; c != nil && !c.removed {
		return c, nil
	}
	return nil, notFound(id)
}

// Containers returns all containers that are known, running and exited, by id.
func (e *Engine) Containers() []*Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := slices.Collect(maps.Values(e.table))
	all = slices.DeleteFunc(all, func(c *Container) bool { return c.removed })
	slices.SortFunc(all, func(a, b *Container) int { return cmp.Compare(a.id, b.id) })
	return all
}

// Info describes the host, and that HCS is there.
func (e *Engine) Info(ctx context.Context) (*libcontainerd.Info, error) {
	var info *libcontainerd.Info
	err := e.ask(ctx, "info of the host", func() (err error) {
		info, err = e.client.Info()
		return err
	}, nil)
	if err != nil { // then the call may still be under way
		return nil, err
	}
	return info, nil
}

// Close ends the engine: containers run on, every Wait returns ErrClosed, and so
// does every other method that needs HCS. It waits until all that the engine does is
// over, or until ctx ends; the rest goes on in the background. A second Close waits
// as the first one does.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	first := !e.shut
	e.shut = true
	e.mu.Unlock()
	if first {
		close(e.closing)
		go e.finish()
	}
	select {
	case <-e.closed:
		return e.closeErr
	case <-ctx.Done():
		return fmt.Errorf("close of the engine: %w", context.Cause(ctx))
	}
}

// finish ends everything, what others use last. Output that a writer of the user
// blocks is not waited for.
func (e *Engine) finish() {
	errs := []error{e.client.Close()}
	e.tasks.Wait()
	copied := make(chan struct{})
	go func() {
		e.copies.Wait()
		close(copied)
	}()
	select {
	case <-copied:
	case <-time.After(outputPatience):
	}
	for _, c := range e.Containers() {
		errs = append(errs, c.init.log.close())
	}
	e.closeErr = errors.Join(append(errs, e.store.close())...)
	close(e.closed)
}

// lookup returns the container that has the id, or has had it last; nil: there is none.
func (e *Engine) lookup(id string) *Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table[id]
}

// save makes the state say of id what the table does. Most callers go on when the
// disk fails: what they save has happened.
func (e *Engine) save(id string) error {
	err := e.store.save(id, func() *record {
		if c, err := e.Container(id); err == nil {
			return c.record()
		}
		return nil
	})
	if err != nil {
		e.warn(id, "the state is not up to date", err)
	}
	return err
}

// forget removes the container. Its id is free once nothing is under way for it.
func (e *Engine) forget(c *Container) error {
	e.mu.Lock()
	removed := c.removed
	c.removed = true
	e.mu.Unlock()
	if removed {
		return notFound(c.id)
	}
	err := e.save(c.id)
	c.tell(EventRemove, "", libcontainerd.StateInfo{})
	e.release(c)
	return err
}

// release frees the id of a container that is removed, and for which nothing is
// under way any more.
func (e *Engine) release(c *Container) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.table[c.id] == c && c.removed && isClosed(c.free) {
		delete(e.table, c.id)
	}
}

func notFound(id string) error { return fmt.Errorf("container %q: %w", id, errdefs.ErrNotFound) }
