package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moby/swarmkit/v2/agent/exec"
	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/sirupsen/logrus"
)

// Executor runs tasks as containers. It implements exec.Executor of swarmkit. All
// methods may be called concurrently.
type Executor struct {
	host        *Host
	engine      *engine.Engine
	description *api.NodeDescription // must not be changed
	logs        string               // the folder of the logs, one folder per task
	log         *logrus.Entry

	life  context.Context // ends in Close
	end   context.CancelFunc
	work  sync.WaitGroup // of spawn
	sweep sync.Once

	mu          sync.Mutex // guards following
	closed      bool       // Close has begun: spawn starts nothing more
	controllers map[string]*controller
	uncertain   map[string]bool // containers that could not be started, and may run all the same
}

// NewExecutor starts an engine on a host, and takes up what the one before it has
// left in the folder dir. Labels are added to the labels of the node's engine, for
// placement.
func NewExecutor(host *Host, dir string, labels map[string]string, options ...engine.Option) (*Executor, error) {
	e := &Executor{
		host:        host,
		logs:        filepath.Join(dir, "logs"),
		log:         logrus.WithField("module", "hcs"),
		controllers: make(map[string]*controller),
		uncertain:   make(map[string]bool),
	}
	own := []engine.Option{
		engine.WithComputeService(host.service),
		engine.WithStateDir(filepath.Join(dir, "engine")),
		engine.WithLogger(e.log),
	}
	var err error
	if e.engine, err = engine.New(append(own, options...)...); err != nil {
		return nil, err
	}
	e.life, e.end = context.WithCancel(context.Background())
	if e.description, err = describe(e.life, e.engine, labels); err != nil {
		return nil, errors.Join(err, e.Close(e.life))
	}
	for _, c := range e.engine.Containers() {
		e.follow(c)
	}
	return e, nil
}

// Close ends the executor; containers run on.
func (e *Executor) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.end()
	err := e.engine.Close(ctx)
	e.work.Wait()
	return err
}

// RemoveAll ends all tasks and removes all of them. When ctx ends, it returns; what is
// left then is the next executor's to remove.
func (e *Executor) RemoveAll(ctx context.Context) error {
	e.mu.Lock()
	controllers := slices.Collect(maps.Values(e.controllers))
	e.mu.Unlock()
	var removals []<-chan struct{}
	for _, c := range controllers {
		removals = append(removals, c.beginRemoval())
	}
	for _, removed := range append(removals, e.removeStrays()...) {
		select {
		case <-removed:
		case <-ctx.Done():
			return fmt.Errorf("tasks of the node: %w", context.Cause(ctx))
		}
	}
	return nil
}

// spawn runs f in a goroutine that Close waits for. It does nothing after Close.
func (e *Executor) spawn(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.work.Go(f)
	}
}

// Describe describes the host as it was when the executor began.
func (e *Executor) Describe(context.Context) (*api.NodeDescription, error) {
	return e.description.Copy(), nil
}

// Configure is called when the node knows its tasks. The first call ends what is left
// of others.
func (e *Executor) Configure(context.Context, *api.Node) error {
	e.sweep.Do(func() { e.removeStrays() })
	return nil
}

// SetNetworkBootstrapKeys does nothing: the executor makes no networks.
func (e *Executor) SetNetworkBootstrapKeys([]*api.EncryptionKey) error { return nil }

// Controller returns what controls a task.
func (e *Executor) Controller(t *api.Task) (exec.Controller, error) {
	if t.Spec.GetContainer() == nil {
		return nil, exec.ErrRuntimeUnsupported
	}
	c := newController(e, t)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.controllers[t.ID] = c
	return c, nil
}

// forget removes a controller that is closed.
func (e *Executor) forget(c *controller) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.controllers[c.id] == c {
		delete(e.controllers, c.id)
	}
}

// removeStrays ends the containers that are left of tasks that the node does not
// have: it died before their removal was complete.
func (e *Executor) removeStrays() (removals []<-chan struct{}) {
	ids, err := e.host.scratches.ids()
	if err != nil {
		e.log.WithError(err).Warn("what a former node has left is not all ended")
	}
	for _, c := range e.engine.Containers() {
		ids = append(ids, c.ID())
	}
	logs, _ := os.ReadDir(e.logs) // without it there are none
	for _, folder := range logs {
		ids = append(ids, folder.Name())
	}
	seen := make(map[string]bool)
	for _, id := range ids {
		e.mu.Lock()
		stray := e.controllers[id] == nil && !seen[id]
		e.mu.Unlock()
		if seen[id] = true; stray {
			e.log.WithField("task.id", id).Info("ending what is left of a task that went elsewhere")
			removals = append(removals, e.removeAfter(id, defaultGrace, func() {}))
		}
	}
	return removals
}

// follow unmounts the layers of a container when it has exited.
func (e *Executor) follow(c *engine.Container) {
	e.spawn(func() {
		if _, err := c.Wait(e.life); err != nil {
			return
		}
		e.insist(c.ID(), "unmount", func() error { return e.clear(e.life, c.ID(), 0) })
	})
}

// removeAfter ends a container and removes all of it, once nobody uses it, which ready
// waits for. It returns a channel that is closed when that is done.
func (e *Executor) removeAfter(id string, grace time.Duration, ready func()) <-chan struct{} {
	done := make(chan struct{})
	e.spawn(func() {
		ready()
		if e.insist(id, "remove", func() error { return e.removeOnce(id, grace) }) {
			close(done)
		}
	})
	return done
}

func (e *Executor) removeOnce(id string, grace time.Duration) error {
	if err := e.clear(e.life, id, grace); err != nil {
		return err
	}
	if c, err := e.engine.Container(id); err == nil {
		if err := ignoreNotFound(c.Remove(e.life)); err != nil {
			return err
		}
	}
	return os.RemoveAll(e.logFolder(id))
}

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 30 * time.Second
)

// insist repeats f with growing pauses until it succeeds, and reports whether it did
// before the executor ended.
func (e *Executor) insist(id, what string, f func() error) bool {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := f()
		if err == nil {
			return true
		}
		if e.life.Err() != nil {
			return false
		}
		e.log.WithField("task.id", id).WithError(err).Warnf("%s failed, trying again", what)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-e.life.Done():
			timer.Stop()
			return false
		}
	}
}

// clear ends a container, if there is one, and unmounts its layers.
func (e *Executor) clear(ctx context.Context, id string, grace time.Duration) error {
	if c, err := e.engine.Container(id); err == nil {
		if err := c.Stop(ctx, grace); err != nil {
			return err
		}
	} else if err := e.mustBeGone(id); err != nil {
		return err
	}
	return e.host.scratches.unmount(ctx, id)
}

func (e *Executor) logFolder(id string) string { return filepath.Join(e.logs, id) }
