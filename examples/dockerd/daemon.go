package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// daemon is what the Engine API is served from. Close it when it is no longer needed.
type daemon struct {
	settings
	store  store
	engine *engine.Engine
	events *eventLog

	ctx    context.Context // ends when the daemon is closed
	cancel context.CancelFunc
	tasks  sync.WaitGroup // of spawn

	mu         sync.Mutex // guards following; managed.mu may be taken after it
	shut       bool       // spawn starts nothing more
	containers map[string]*managed
	names      map[string]string // id of each name
	execs      map[string]*execution
}

// settings are what a daemon is made from.
type settings struct {
	dir     string // of the state
	service libcontainerd.ComputeService
	layers  []layers.MountOption // how scratches are mounted, besides the daemon's own
	images  catalog
	logger  *slog.Logger

	// openMount is layers.Open. A test that plays several daemons in one process has
	// another one, because a process cannot take over its own mounts.
	openMount func(scratch string, options ...layers.MountOption) (*layers.Mounted, error)
}

// newDaemon starts a daemon, which goes on with the containers of the one before it.
func newDaemon(s settings) (*daemon, error) {
	if s.openMount == nil {
		s.openMount = layers.Open
	}
	store, err := openStore(s.dir)
	if err != nil {
		return nil, err
	}
	d := &daemon{
		settings: s, store: store, events: newEventLog(),
		containers: map[string]*managed{}, names: map[string]string{}, execs: map[string]*execution{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	if err := d.recover(); err != nil {
		return nil, errors.Join(err, d.close(context.Background()))
	}
	return d, nil
}

// recover goes on with what is on the disk.
func (d *daemon) recover() error {
	records, err := d.store.load()
	if err != nil {
		return err
	}
	for _, r := range records {
		c := newManaged(r)
		d.containers[c.id], d.names[r.Name] = c, c.id
		if err := d.remount(c); err != nil {
			d.logger.Warn("the scratch of a container is not mounted", "container", c.id, "error", err)
		}
	}
	// The streams of the containers are there before the engine may start one.
	d.engine, err = engine.New(engine.WithStateDir(filepath.Join(d.dir, "engine")),
		engine.WithComputeService(d.service), engine.WithSlog(d.logger), engine.WithRestoredStdio(d.restoredStdio))
	if err != nil {
		return err
	}
	d.startPump()
	for _, left := range d.engine.Containers() {
		if c := d.containers[left.ID()]; c != nil {
			d.takeUp(c, left)
		} else { // its removal was cut short
			d.spawn(func() { d.discard(left) })
		}
	}
	return d.sweep()
}

// sweep deletes the files of containers that nobody knows.
func (d *daemon) sweep() error {
	entries, err := os.ReadDir(d.folder(""))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if d.byID(entry.Name()) == nil {
			err = errors.Join(err, os.RemoveAll(d.folder(entry.Name())))
		}
	}
	return err
}

func (d *daemon) restoredStdio(id string, _ map[string]string) (stdin io.Reader, stdout, stderr io.Writer) {
	if c := d.containers[id]; c != nil { // nobody else knows d yet
		return c.run.streams.stdio()
	}
	return nil, nil, nil
}

// discard removes a container that nobody knows.
func (d *daemon) discard(left *engine.Container) {
	if err := errors.Join(left.Kill(d.ctx), left.Remove(d.ctx)); err != nil && d.ctx.Err() == nil {
		d.logger.Warn("a container of a former daemon is left", "container", left.ID(), "error", err)
	}
}

// close ends the daemon. Containers run on.
func (d *daemon) close(ctx context.Context) error {
	d.cancel()
	d.mu.Lock()
	d.shut = true
	d.mu.Unlock()
	var err error
	if d.engine != nil {
		err = d.engine.Close(ctx)
	}
	d.tasks.Wait()
	for _, c := range d.all() {
		c.current().streams.close()
	}
	return errors.Join(err, d.store.close())
}

// spawn runs f in a goroutine that close waits for, unless close has begun.
func (d *daemon) spawn(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shut {
		d.tasks.Go(f)
	}
}

// all returns all containers, the newest first.
func (d *daemon) all() []*managed {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*managed, 0, len(d.containers))
	for _, c := range d.containers {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *managed) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.id, b.id))
	})
	return list
}

// byID returns the container of an id in full, nil if there is none.
func (d *daemon) byID(id string) *managed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.containers[id]
}

// find returns the container that a client means: by its id, its name, or the
// beginning of its id.
func (d *daemon) find(text string) (*managed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.containers[text]; c != nil {
		return c, nil
	}
	if id := d.names[strings.TrimPrefix(text, "/")]; id != "" {
		return d.containers[id], nil
	}
	var found *managed
	for id, c := range d.containers {
		switch {
		case text == "" || !strings.HasPrefix(id, text):
		case found != nil:
			return nil, invalid("several containers have an ID that begins with %s", text)
		default:
			found = c
		}
	}
	if found == nil {
		return nil, notFound("No such container: %s", text)
	}
	return found, nil
}

// enter makes a container known, under its name.
func (d *daemon) enter(c *managed) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := c.snapshot().Name
	if err := d.checkNameLocked(name); err != nil {
		return err
	}
	d.containers[c.id], d.names[name] = c, c.id
	return nil
}

// checkNameLocked returns an error if a name is taken; d.mu is held.
func (d *daemon) checkNameLocked(name string) error {
	if id := d.names[name]; id != "" {
		return conflict("Conflict. The container name %q is already in use by container %q. "+
			"You have to remove (or rename) that container to be able to reuse that name.", "/"+name, id)
	}
	return nil
}

// leave makes a container unknown.
func (d *daemon) leave(c *managed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.containers, c.id)
	delete(d.names, c.snapshot().Name)
	for id, e := range d.execs {
		if e.container == c {
			delete(d.execs, id)
		}
	}
}

// rename gives a container another name.
func (d *daemon) rename(c *managed, name string) (former string, err error) {
	d.mu.Lock()
	err = d.checkNameLocked(name)
	if err == nil {
		d.names[name] = c.id // nobody else may take it meanwhile
	}
	d.mu.Unlock()
	if err != nil {
		return "", err
	}
	former, err = c.change(d.store, func(r *record) string {
		former := r.Name
		r.Name = name
		return former
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		delete(d.names, name)
		return "", err
	}
	delete(d.names, former)
	return former, nil
}

// managed is a container as the daemon knows it.
type managed struct {
	id      string
	created time.Time
	gone    chan struct{} // closed when it is removed

	saving  sync.Mutex // guards following; held while the disk is written; taken before mu
	deleted bool       // the record is no longer on the disk

	mu       sync.Mutex // guards following
	record   record
	run      *run              // the current one, or the next one
	live     *engine.Container // of the current run, or of the last one; nil: never ran
	mounted  *layers.Mounted   // nil: its scratch is not mounted
	removing bool
}

func newManaged(r record) *managed {
	return &managed{
		id: r.ID, created: r.Created, record: r, gone: make(chan struct{}),
		run: newRun(r.Config.OpenStdin),
	}
}

// snapshot returns the record, whose pointers must not be written through.
func (c *managed) snapshot() record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record
}

func (c *managed) current() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// change changes the record, on the disk first. It returns what f does.
func (c *managed) change(s store, f func(*record) (former string)) (string, error) {
	c.saving.Lock()
	defer c.saving.Unlock()
	if c.deleted {
		return "", conflict("container %s is being removed", c.id)
	}
	r := c.snapshot()
	former := f(&r)
	if err := s.save(r); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record = r
	return former, nil
}

// save writes the record as it is.
func (c *managed) save(s store) error {
	_, err := c.change(s, func(*record) string { return "" })
	return err
}

// forget deletes the record for good.
func (c *managed) forget(s store) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	if err := s.remove(c.id); err != nil {
		return err
	}
	c.deleted = true
	return nil
}
