package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

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
	if e.client, err = libcontainerd.NewClient(backend{e}, s.remoteOptions()...); err != nil {
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
// An id that belongs to a container that has not exited is errdefs.ErrAlreadyExists.
// A container that has exited is replaced. A bad spec or option is
// errdefs.ErrInvalidArgument, before anything was created.
func (e *Engine) Run(ctx context.Context, id string, spec libcontainerd.Spec, options ...RunOption) (*Container, error) {
	s, err := newRunSettings(false, options)
	switch {
	case err != nil:
		return nil, fmt.Errorf("container %q: %w", id, err)
	case id == "":
		return nil, invalid("id of the container is empty")
	}
	c := e.newContainer(id, record{Spec: spec, Policy: s.policy, Log: s.log, Labels: s.labels, AutoRemove: s.autoRemove})
	c.stdio.stdin, c.stdio.stdout, c.stdio.stderr = s.stdin, s.stdout, s.stderr
	what := fmt.Sprintf("run of container %q", id)
	if err := e.admit(ctx, c); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if _, err = ask(ctx, e, what, func() (*Container, error) { return c, c.start(ctx) }, c.discard); err != nil {
		c.setGivenUp() // for a next Run of the id, which is to wait
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
		if !former.isOver() && !former.isGivenUp() {
			return fmt.Errorf("the id is in use: %w", errdefs.ErrAlreadyExists)
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
	if e.shut {
		return nil, ErrClosed
	}
	former = e.table[c.id]
	if former != nil && !isClosed(former.free) {
		return former, nil
	}
	if former != nil {
		former.markRemoved()
	}
	e.table[c.id] = c
	return nil, nil
}

// Container returns a container, running or exited. An id that is not known is
// errdefs.ErrNotFound.
func (e *Engine) Container(id string) (*Container, error) {
	if c := e.lookup(id); c != nil && !c.isRemoved() {
		return c, nil
	}
	return nil, notFound(id)
}

// Containers returns all containers that are known, running and exited, by id.
func (e *Engine) Containers() []*Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*Container, 0, len(e.table))
	for _, c := range e.table {
		if !c.isRemoved() {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *Container) int { return cmp.Compare(a.id, b.id) })
	return all
}

// Info describes the host, and that HCS is there.
func (e *Engine) Info(ctx context.Context) (*libcontainerd.Info, error) {
	return ask(ctx, e, "info of the host", e.client.Info, nil)
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

// finish ends everything, what others use last.
func (e *Engine) finish() {
	errs := []error{e.client.Close()}
	e.tasks.Wait()
	for _, c := range e.Containers() {
		errs = append(errs, c.letGo())
	}
	e.closeErr = errors.Join(append(errs, e.store.close())...)
	close(e.closed)
}

func (e *Engine) lookup(id string) *Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table[id]
}

// save makes the state say of id what the table does.
func (e *Engine) save(id string) error {
	return e.store.save(id, func() *record {
		if c := e.lookup(id); c != nil {
			return c.record()
		}
		return nil
	})
}

// saveOrWarn is save for what has happened already, whatever the disk says.
func (e *Engine) saveOrWarn(id string) {
	if err := e.save(id); err != nil {
		e.warn(id, "the state is not up to date", err)
	}
}

// forget removes the container. Its id is free once nothing is under way for it.
func (e *Engine) forget(c *Container) error {
	if !c.markRemoved() {
		return notFound(c.id)
	}
	err := e.save(c.id)
	e.events.add(Event{Type: EventRemove, ContainerID: c.id, Labels: c.labels})
	e.release(c)
	return err
}

// forgetOrWarn is forget where nobody waits for the outcome.
func (e *Engine) forgetOrWarn(c *Container) {
	if err := e.forget(c); err != nil && !errdefs.IsNotFound(err) {
		e.warn(c.id, "the state is not up to date", err)
	}
}

// release frees the id of a container that is removed, and for which nothing is
// under way any more.
func (e *Engine) release(c *Container) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.table[c.id] == c && isClosed(c.free) && c.isRemoved() {
		delete(e.table, c.id)
	}
}

// spawn runs f in a goroutine that Close waits for.
func (e *Engine) spawn(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		return ErrClosed
	}
	e.tasks.Go(f)
	return nil
}

// await waits for done.
func (e *Engine) await(ctx context.Context, done <-chan struct{}) error {
	if isClosed(done) {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.closing:
		return ErrClosed
	}
}

// ask waits for the answer of f, which knows of no context, no longer than ctx. If
// f succeeds when nobody waits any longer, undo is called, which may be nil.
func ask[T any](ctx context.Context, e *Engine, what string, f func() (T, error), undo func()) (T, error) {
	var value T
	var err error
	answer := make(chan struct{}) // without a buffer: either it is taken, or undone
	closed := e.spawn(func() {
		value, err = f()
		select {
		case answer <- struct{}{}:
		case <-ctx.Done():
			if err == nil && undo != nil {
				undo()
			}
		}
	})
	if closed != nil {
		return *new(T), fmt.Errorf("%s: %w", what, closed)
	}
	select {
	case <-answer:
		return value, err
	case <-ctx.Done():
		return *new(T), fmt.Errorf("%s was given up: %w", what, context.Cause(ctx))
	}
}

func notFound(id string) error { return fmt.Errorf("container %q: %w", id, errdefs.ErrNotFound) }
