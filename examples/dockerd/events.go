package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types"
	eventsapi "github.com/moby/moby/api/types/events"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// keptEvents is how many events a client can ask for that comes late.
const keptEvents = 1024

// eventLog holds what has happened, in order.
type eventLog struct {
	mu     sync.Mutex // guards following
	first  int        // number of the first message
	kept   []eventsapi.Message
	grown  chan struct{} // closed when there is more; replaced then
	pumped uint64        // number of the newest event of the engine that is in
}

func newEventLog() *eventLog { return &eventLog{grown: make(chan struct{})} }

func (l *eventLog) add(messages ...eventsapi.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, messages...)
	if surplus := len(l.kept) - keptEvents; surplus > keptEvents {
		l.kept = slices.Clone(l.kept[surplus:])
		l.first += surplus
	}
	l.wakeLocked()
}

func (l *eventLog) setPumped(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pumped = seq
	l.wakeLocked()
}

func (l *eventLog) wakeLocked() {
	close(l.grown)
	l.grown = make(chan struct{})
}

// from returns the messages from a number on, the number after them, how far the
// pump is, and what is closed when that changes.
func (l *eventLog) from(n int) (messages []eventsapi.Message, next int, pumped uint64, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = max(n-l.first, 0)
	return slices.Clip(l.kept[min(n, len(l.kept)):]), l.first + len(l.kept), l.pumped, l.grown
}

// startPump has the events of the engine translated, from now on. Nobody could ask
// for those before.
func (d *daemon) startPump() {
	up := map[string]bool{} // containers that run, as far as was told
	for _, c := range d.engine.Containers() {
		up[c.ID()] = c.Status().Phase != engine.PhaseExited
	}
	last := d.engine.LastEvent()
	d.events.setPumped(last)
	d.spawn(func() { d.pump(last+1, up) })
}

// pump translates the events of the engine until that is closed.
func (d *daemon) pump(from uint64, up map[string]bool) {
	for event := range d.engine.Events(d.ctx, from) {
		if message, ok := d.translate(event, up); ok {
			d.events.add(message)
		}
		d.events.setPumped(event.Seq)
	}
}

// translate returns what Docker says of an event of the engine, if it says anything.
func (d *daemon) translate(event engine.Event, up map[string]bool) (eventsapi.Message, bool) {
	exitCode := map[string]string{"exitCode": strconv.FormatUint(uint64(event.ExitCode), 10)}
	exec := map[string]string{"execID": event.Process}
	message := func(action eventsapi.Action, attributes map[string]string) (eventsapi.Message, bool) {
		return newMessage(event.ContainerID, action, attributes, event.Time), true
	}
	switch event.Type {
	case engine.EventStart:
		up[event.ContainerID] = true
		return message(eventsapi.ActionStart, d.attributes(event.ContainerID))
	case engine.EventRestart, engine.EventExit:
		if !up[event.ContainerID] {
			break // the end of one that could not be started
		}
		delete(up, event.ContainerID)
		return message(eventsapi.ActionDie, merge(d.attributes(event.ContainerID), exitCode))
	case engine.EventPause:
		return message(eventsapi.ActionPause, d.attributes(event.ContainerID))
	case engine.EventResume:
		return message(eventsapi.ActionUnPause, d.attributes(event.ContainerID))
	case engine.EventExecStart:
		if e := d.execByID(event.Process); e != nil {
			return message(e.action(eventsapi.ActionExecStart), merge(d.attributes(event.ContainerID), exec))
		}
	case engine.EventExecExit:
		return message(eventsapi.ActionExecDie, merge(d.attributes(event.ContainerID), exitCode, exec))
	default: // Docker has no event for the others, or the daemon tells it
	}
	return eventsapi.Message{}, false
}

func merge(into map[string]string, others ...map[string]string) map[string]string {
	for _, other := range others {
		maps.Copy(into, other)
	}
	return into
}

func newMessage(id string, action eventsapi.Action, attributes map[string]string, at time.Time) eventsapi.Message {
	return eventsapi.Message{
		Type: eventsapi.ContainerEventType, Action: action, Scope: "local",
		Actor: eventsapi.Actor{ID: id, Attributes: attributes},
		Time:  at.Unix(), TimeNano: at.UnixNano(),
	}
}

// attributes describe a container in its events.
func (d *daemon) attributes(id string) map[string]string {
	c := d.byID(id)
	if c == nil {
		return map[string]string{}
	}
	r := c.snapshot()
	return merge(map[string]string{}, r.Config.Labels, map[string]string{"name": r.Name, "image": r.Image})
}

// tell adds an event that the engine does not know, after those of the engine that
// have happened before.
func (d *daemon) tell(c *managed, action eventsapi.Action, extra map[string]string) {
	d.awaitPump(d.engine.LastEvent())
	d.events.add(newMessage(c.id, action, merge(d.attributes(c.id), extra), time.Now()))
}

// awaitPump waits until the engine's events up to a number are in the log.
func (d *daemon) awaitPump(seq uint64) {
	for {
		_, _, pumped, grown := d.events.from(0)
		if pumped >= seq {
			return
		}
		select {
		case <-grown:
		case <-d.ctx.Done():
			return
		}
	}
}

func (d *daemon) streamEvents(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r, "container", "event", "image", "label", "type", "scope")
	if err != nil {
		return err
	}
	since, until, err := window(r)
	if err != nil {
		return err
	}
	var expired <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		expired = timer.C
	}
	_, next, _, _ := d.events.from(0)
	if !since.IsZero() {
		next = 0
	}
	contentType := types.MediaTypeJSON
	if accept := strings.Join(r.Header.Values("Accept"), ","); strings.Contains(accept, types.MediaTypeJSONLines) {
		contentType = types.MediaTypeJSONLines
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	encoder := json.NewEncoder(w)
	for {
		messages, after, _, grown := d.events.from(next)
		next = after
		for _, m := range messages {
			at := time.Unix(0, m.TimeNano)
			if at.Before(since) || !until.IsZero() && at.After(until) || !f.wants(m) {
				continue
			}
			if encoder.Encode(m) != nil {
				return errGone
			}
		}
		if http.NewResponseController(w).Flush() != nil {
			return errGone
		}
		select {
		case <-grown:
		case <-expired:
			return nil
		case <-r.Context().Done():
			return nil
		case <-d.ctx.Done():
			return nil
		}
	}
}

// wants reports whether the filters let an event through.
func (f filters) wants(m eventsapi.Message) bool {
	name, id := m.Actor.Attributes["name"], m.Actor.ID
	return f.equal("type", string(m.Type)) && f.equal("scope", m.Scope) &&
		f.any("event", func(want string) bool {
			return string(m.Action) == want || strings.HasPrefix(string(m.Action), want+":")
		}) &&
		f.any("container", func(want string) bool { return want == name || strings.HasPrefix(id, want) }) &&
		f.any("image", func(want string) bool {
			image := m.Actor.Attributes["image"]
			return image == want || strings.HasPrefix(image, want+":")
		}) &&
		f.labels(m.Actor.Attributes)
}

// window reads since and until, each a time in seconds since 1970 with a fraction, or
// nothing.
func window(r *http.Request) (since, until time.Time, err error) {
	if since, err = parseTime(r.FormValue("since")); err != nil {
		return since, until, fmt.Errorf("since: %w", err)
	}
	if until, err = parseTime(r.FormValue("until")); err != nil {
		return since, until, fmt.Errorf("until: %w", err)
	}
	return since, until, nil
}

// parseTime reads SECONDS[.FRACTION]; nothing and 0 are the zero time.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, invalid("time %q is not a number of seconds", text)
	}
	nanos, err := strconv.ParseUint("0"+fraction+strings.Repeat("0", 9-len(fraction)), 10, 32)
	if err != nil {
		return time.Time{}, invalid("time %q is not a number of seconds", text)
	}
	if seconds == 0 && nanos == 0 {
		return time.Time{}, nil
	}
	return time.Unix(seconds, int64(nanos)), nil
}
