package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	eventsapi "github.com/moby/moby/api/types/events"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// stopTimeout is how long a stop waits before it kills: what the request says, or the
// container, or ten seconds. Below 0 it never kills.
func stopTimeout(r *http.Request, rec record) (time.Duration, error) {
	seconds := 10
	if t := rec.Config.StopTimeout; t != nil {
		seconds = *t
	}
	if text := r.FormValue("t"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil {
			return 0, invalid("t %q is not a number of seconds", text)
		}
	}
	return time.Duration(seconds) * time.Second, nil
}

func (d *daemon) stop(r *http.Request, c *managed) error {
	timeout, err := stopTimeout(r, c.snapshot())
	if err != nil {
		return err
	}
	current := c.current()
	live, err := c.running()
	if err != nil {
		return errNotModified
	}
	if err := live.Stop(r.Context(), timeout); err != nil {
		return err
	}
	return d.await(r.Context(), current.over)
}

func (d *daemon) stopContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	if err := d.stop(r, c); err != nil {
		return err
	}
	d.tell(c, eventsapi.ActionStop, nil)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// setKeep says whether the container stays at the end of its run, whatever --rm says.
func (c *managed) setKeep(keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run.keep = keep && c.run.cancel != nil
}

func (d *daemon) restartContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	c.setKeep(true)
	if err := d.stop(r, c); err != nil && !errors.Is(err, errNotModified) {
		c.setKeep(false)
		return err
	}
	if err := d.start(c); err != nil && !errors.Is(err, errNotModified) {
		return err
	}
	d.tell(c, eventsapi.ActionRestart, nil)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// killContainer ends a container at once. Any other signal asks it to shut down, as
// there are no signals on Windows.
func (d *daemon) killContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	signal := strings.TrimPrefix(strings.ToUpper(r.FormValue("signal")), "SIG")
	graceful, err := isGraceful(signal)
	if err != nil {
		return err
	}
	live, err := c.running()
	if err != nil {
		return err
	}
	d.tell(c, eventsapi.ActionKill, map[string]string{"signal": signal})
	if graceful {
		d.spawn(func() { d.shutDown(c, live) })
	} else if err := live.Kill(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// isGraceful reports whether a signal lets the container shut down.
func isGraceful(signal string) (bool, error) {
	switch signal {
	case "", "KILL", "9":
		return false, nil
	case "TERM", "15", "INT", "2", "QUIT", "3", "HUP", "1":
		return true, nil
	}
	return false, invalid("signal %s is not served; KILL ends the container, TERM, INT, QUIT and HUP shut it down", signal)
}

func (d *daemon) shutDown(c *managed, live *engine.Container) {
	if err := live.Stop(d.ctx, -1); err != nil && d.ctx.Err() == nil {
		d.logger.Warn("a container does not shut down", "container", c.id, "error", err)
	}
}

func (d *daemon) pauseContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	return d.toggle(w, r, c, (*engine.Container).Pause)
}

func (d *daemon) unpauseContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	return d.toggle(w, r, c, (*engine.Container).Resume)
}

func (d *daemon) toggle(w http.ResponseWriter, r *http.Request, c *managed, f func(*engine.Container, context.Context) error) error {
	live, err := c.running()
	if err != nil {
		return err
	}
	if err := f(live, r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
