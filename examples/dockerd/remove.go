package main

import (
	"net/http"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	eventsapi "github.com/moby/moby/api/types/events"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// remove removes a container that does not run, or that force ends before. Once it was
// asked for it is carried out, whether or not the client waits.
func (d *daemon) remove(c *managed, force bool) error {
	r, err := c.beginRemove(force)
	if err != nil {
		return err
	}
	if err := d.finishRemove(c, r); err != nil {
		c.mu.Lock()
		c.removing = false
		c.mu.Unlock()
		return err
	}
	return nil
}

// beginRemove keeps a container from being started, and returns its current run, nil
// if there is none.
func (c *managed) beginRemove(force bool) (*run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := c.run
	switch {
	case c.removing:
		return nil, conflict("removal of container %s is already in progress", c.id)
	case current.cancel == nil:
		current = nil
	case !force && (!isClosed(current.began) || c.live.Status().Phase != engine.PhaseExited):
		return nil, conflict("container %s is running: stop the container before removing or force remove", c.id)
	default:
		current.cancel() // a start that is under way
	}
	c.removing = true
	return current, nil
}

// finishRemove ends the container and deletes what there is of it: first the record,
// so that a removal that a crash cuts short is carried on by the next daemon.
func (d *daemon) finishRemove(c *managed, r *run) error {
	if r != nil {
		select {
		case <-r.began:
			if live, err := c.running(); err == nil {
				if err := live.Kill(d.ctx); err != nil {
					return err
				}
			}
		case <-r.over:
		case <-d.ctx.Done():
		}
		if err := d.await(d.ctx, r.over); err != nil {
			return err
		}
	}
	if err := d.unmount(d.ctx, c); err != nil {
		return err
	}
	if err := c.forget(d.store); err != nil {
		return err
	}
	c.mu.Lock()
	live := c.live
	c.mu.Unlock()
	if live != nil {
		if err := live.Remove(d.ctx); err != nil && !errdefs.IsNotFound(err) {
			d.logger.Warn("the engine still knows a container that is removed", "container", c.id, "error", err)
		}
	}
	if err := os.RemoveAll(d.folder(c.id)); err != nil {
		d.logger.Warn("files of a container that is removed are left", "container", c.id, "error", err)
	}
	d.tell(c, eventsapi.ActionDestroy, nil)
	d.leave(c)
	c.current().streams.close()
	close(c.gone)
	return nil
}

func (d *daemon) removeOrWarn(c *managed) {
	if err := d.remove(c, false); err != nil && d.ctx.Err() == nil && !errdefs.IsConflict(err) {
		d.logger.Warn("a container that has exited is not removed", "container", c.id, "error", err)
	}
}

func (d *daemon) removeContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	if isTrue(r, "link") {
		return unsupported("links are not served")
	}
	if err := d.remove(c, isTrue(r, "force")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// folder is where the files of a container are.
func (d *daemon) folder(id string) string { return filepath.Join(d.dir, "containers", id) }
