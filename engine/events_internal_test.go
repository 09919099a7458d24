package engine

import (
	"fmt"
	"slices"
	"testing"
)

// However many events there were, the last state of each container that is known is
// among those that are kept, and memory is bounded.
func TestOldEventsThatMatterAreKept(t *testing.T) {
	l := newEventLog(3)
	add := func(id string, types ...EventType) {
		for _, what := range types {
			l.add(Event{Type: what, ContainerID: id})
		}
	}
	add("lives", EventStart, EventPause, EventResume, EventExecStart)
	add("exited", EventStart, EventExit)
	add("ended", EventStart, EventExit, EventEnded)
	add("removed", EventStart, EventExit, EventRemove)
	for i := range 5 * keptEvents {
		add(fmt.Sprint("short", i), EventStart, EventExit, EventRemove)
	}
	events, _ := l.since(0)
	if len(events) > 2*keptEvents+3 {
		t.Errorf("%d events are kept", len(events))
	}
	var old []string
	for _, event := range events {
		if !slices.Contains([]string{"lives", "exited", "ended", "removed"}, event.ContainerID) {
			break
		}
		old = append(old, fmt.Sprint(event.ContainerID, " ", event.Type))
	}
	if want := []string{"lives resume", "exited exit", "ended exit"}; !slices.Equal(old, want) {
		t.Errorf("kept are %v, want %v", old, want)
	}
	if !slices.IsSortedFunc(events, func(a, b Event) int { return int(a.Seq) - int(b.Seq) }) {
		t.Error("they are not in order")
	}
	if first := uint64(3)<<32 + 1; events[0].Seq < first || l.lastSeq() != first+12+3*5*keptEvents-1 {
		t.Errorf("numbers from %d to %d", events[0].Seq, l.lastSeq())
	}
	if rest, _ := l.since(l.lastSeq()); len(rest) != 1 {
		t.Errorf("%d events from the last one on", len(rest))
	}
}
