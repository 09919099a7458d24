package engine

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

// EventType says what an Event is about.
type EventType string

// Types of events.
const (
	EventStart     EventType = "start"      // the init process runs, also after a restart
	EventRestore   EventType = "restore"    // New has taken the container up
	EventPause     EventType = "pause"      // it is frozen
	EventResume    EventType = "resume"     // it runs on
	EventRestart   EventType = "restart"    // it has exited, and will be started again
	EventExit      EventType = "exit"       // it has exited for good, or could not be started
	EventEnded     EventType = "ended"      // its compute system has ended, whose exit came with ErrMayStillRun
	EventRemove    EventType = "remove"     // it is no longer known
	EventExecStart EventType = "exec-start" // an exec'd process runs
	EventExecExit  EventType = "exec-exit"  // an exec'd process has ended
	EventOrphan    EventType = "orphan"     // New has ended a compute system of its owner that the state did not know
)

// Event is something that happened to a container.
type Event struct {
	Seq         uint64 // its number
	Time        time.Time
	Type        EventType
	ContainerID string
	Labels      map[string]string // of the container; must not be changed
	Process     string            // name of the exec'd process, "" otherwise
	Pid         uint32            // EventStart, EventRestore, EventExecStart, EventExecExit
	ExitCode    uint32            // EventExit, EventRestart, EventExecExit
	Err         error             // explains an exit, as Exit.Err, but for output that was cut off
}

// Events returns the events with the number from and above, and then those to come,
// until ctx ends or the engine is closed. 0 begins with the oldest that is kept,
// LastEvent()+1 with the next one. Any number may read, each at its own pace: a slow
// reader holds up nobody.
//
// Numbers grow by one, and with a state directory they go on growing, with a jump,
// in the next engine. The engine keeps the newest 4096 events, and of every
// container that is known its last one, however old. So a reader that comes late
// may miss that a container was paused, but not that it has exited; a jump in the
// numbers says that something was left out.
//
// The exit event comes when the container is gone. Its output may still be on its
// way: Wait waits for that.
func (e *Engine) Events(ctx context.Context, from uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		next := from
		for {
			events, grown := e.events.since(next)
			for _, event := range events {
				if ctx.Err() != nil || !yield(event) {
					return
				}
				next = event.Seq + 1
			}
			if len(events) > 0 {
				continue
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return
			case <-e.closing:
				return
			}
		}
	}
}

// LastEvent returns the number of the newest event. Without any, every event to
// come has a greater one.
func (e *Engine) LastEvent() uint64 { return e.events.lastSeq() }

// keptEvents is how many of the newest events are kept at least.
const keptEvents = 4096

// eventLog is what Events reads.
type eventLog struct {
	mu     sync.Mutex       // guards following
	newest []Event          // by Seq; the elements do not change any more
	states map[string]Event // the last one of each container that is known, by id
	last   uint64           // Seq of the newest
	grown  chan struct{}    // closed when there is a new one
}

// newEventLog makes the log of the engine's life: no two lives share a number.
func newEventLog(life uint64) *eventLog {
	return &eventLog{last: life << 32, states: make(map[string]Event), grown: make(chan struct{})}
}

func (l *eventLog) add(event Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	event.Seq, event.Time = l.last, time.Now()
	if len(l.newest) >= 2*keptEvents {
		l.newest = slices.Clone(l.newest[keptEvents:])
	}
	l.newest = append(l.newest, event)
	switch event.Type {
	case EventExecStart, EventExecExit, EventEnded, EventOrphan: // the container's state stays
	case EventRemove:
		delete(l.states, event.ContainerID)
	default:
		l.states[event.ContainerID] = event
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *eventLog) lastSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// since returns the events from the number from on, and what is closed when there
// are more.
func (l *eventLog) since(from uint64) ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bySeq := func(e Event, seq uint64) int { return cmp.Compare(e.Seq, seq) }
	i, _ := slices.BinarySearchFunc(l.newest, from, bySeq)
	events := slices.Clip(l.newest[i:])
	if i > 0 || len(events) == 0 {
		return events, l.grown
	}
	var old []Event
	for _, event := range l.states {
		if event.Seq >= from && event.Seq < events[0].Seq {
			old = append(old, event)
		}
	}
	slices.SortFunc(old, func(a, b Event) int { return bySeq(a, b.Seq) })
	return append(old, events...), l.grown
}
