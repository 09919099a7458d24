package main

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// event is an event of a container for --json.
type event struct {
	Event     string     `json:"event"`
	Container string     `json:"container"`
	Process   string     `json:"process,omitempty"`
	Pid       uint32     `json:"pid,omitempty"`
	ExitCode  *uint32    `json:"exit_code,omitempty"`
	At        *time.Time `json:"at"`
	Error     any        `json:"error,omitempty"`
}

// printEvents prints the events of an engine. The function that it returns waits
// until the container has exited for good.
func (a *app) printEvents(eng *engine.Engine) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range eng.Events(context.Background(), 0) {
			a.printEvent(e)
			if e.Type == engine.EventExit {
				return
			}
		}
	}()
	return func() { <-done }
}

func (a *app) printEvent(happened engine.Event) {
	e := event{Event: string(happened.Type), Container: happened.ContainerID, Process: happened.Process, Pid: happened.Pid, At: &happened.Time}
	switch happened.Type {
	case engine.EventStart:
		e.Event = libcontainerd.StateStart
	case engine.EventExit:
		e.Process, e.ExitCode = libcontainerd.InitFriendlyName, &happened.ExitCode
	default: // the name and the fields of the event are right
	}
	if happened.Err != nil {
		e.Error = errorFields(happened.Err)
	}
	if a.json {
		a.tellJSON(e)
		return
	}
	text := fmt.Sprintf("event %s container=%q", e.Event, e.Container)
	if e.Process != "" {
		text += fmt.Sprintf(" process=%q", e.Process)
	}
	if e.Pid != 0 {
		text += fmt.Sprintf(" pid=%d", e.Pid)
	}
	if e.ExitCode != nil {
		text += fmt.Sprintf(" code=%d", *e.ExitCode)
	}
	if happened.Err != nil {
		text += fmt.Sprintf(" error=%q", happened.Err)
	}
	a.notice("%s", text)
}
