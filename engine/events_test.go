package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// until returns the events up to the first one of a type, in short.
func until(ctx context.Context, eng *engine.Engine, from uint64, last engine.EventType) (lines []string) {
	for event := range eng.Events(ctx, from) {
		line := fmt.Sprint(event.Type, " ", event.ContainerID)
		if event.Process != "" {
			line += "/" + event.Process
		}
		if event.Type == engine.EventExit || event.Type == engine.EventExecExit || event.Type == engine.EventRestart {
			line += fmt.Sprint(" ", event.ExitCode)
		}
		lines = append(lines, line)
		if event.Type == last {
			break
		}
	}
	return lines
}

func TestEventsTellALife(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", hyperv(idle...), engine.WithLabels(map[string]string{"a": "b"}), engine.WithAutoRemove())
	p, err := c.Exec(t.Context(), libcontainerd.Process{Args: []string{"cmd", "/c", "exit 5"}}, engine.WithName("p"))
	must(t, err)
	mustWait(t, p)
	must(t, c.Pause(t.Context()))
	must(t, c.Resume(t.Context()))
	mustKill(t, c)
	want := []string{
		"start web1", "exec-start web1/p", "exec-exit web1/p 5", "pause web1", "resume web1",
		fmt.Sprint("exit web1 ", c.Status().ExitCode), "remove web1",
	}
	for range 2 { // the second reader sees the same
		if diff := cmp.Diff(want, until(t.Context(), eng, 0, engine.EventRemove)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	var seqs []uint64
	for event := range eng.Events(t.Context(), 0) {
		seqs = append(seqs, event.Seq)
		if event.Labels["a"] != "b" || event.Time.IsZero() {
			t.Errorf("event %+v", event)
		}
		if event.Type == engine.EventRemove {
			break
		}
	}
	for i, seq := range seqs {
		if seq != seqs[0]+uint64(i) {
			t.Errorf("numbers %v", seqs)
		}
	}
	if got := until(t.Context(), eng, seqs[5], engine.EventRemove); len(got) != 2 {
		t.Errorf("from the sixth: %v", got)
	}
}

func TestFailedRunTellsItsExit(t *testing.T) {
	svc := hcstest.New(t)
	eng := newEngine(t, svc)
	svc.Fail(hcstest.OpStart, "", libcontainerd.CodeAccessDenied)
	if _, err := eng.Run(t.Context(), "web1", spec(idle...)); err == nil {
		t.Fatal("it runs")
	}
	want := []string{fmt.Sprint("exit web1 ", libcontainerd.UnknownExitCode), "remove web1"}
	if diff := cmp.Diff(want, until(t.Context(), eng, 0, engine.EventRemove)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestReaderOfEventsHoldsUpNobody(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	ctx, cancel := context.WithCancel(t.Context())
	seen, goOn := make(chan struct{}), make(chan struct{})
	var slow []string
	var reader sync.WaitGroup
	reader.Go(func() {
		for event := range eng.Events(ctx, 0) {
			if len(slow) == 0 {
				close(seen)
				<-goOn
			}
			slow = append(slow, fmt.Sprint(event.Type, " ", event.ContainerID))
			if event.ContainerID == "last" {
				return
			}
		}
	})
	mustKill(t, mustRun(t, eng, "web1", spec(idle...)))
	<-seen
	mustKill(t, mustRun(t, eng, "last", spec(idle...)))
	close(goOn)
	reader.Wait()
	cancel()
	if want := []string{"start web1", "exit web1", "start last"}; !cmp.Equal(want, slow) {
		t.Errorf("events %v, want %v", slow, want)
	}
}

func TestEventsEndWithTheirContext(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range eng.Events(ctx, 0) {
			t.Error("an event")
		}
	}()
	cancel()
	<-ended
}
