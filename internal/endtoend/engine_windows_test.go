package endtoend

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/sirupsen/logrus"
)

// engine is the smallest container engine: it has a Client, reads all output, and
// keeps all events.
type engine struct {
	libcontainerd.Client

	mu      sync.Mutex // guards following
	changed *sync.Cond
	events  []engineEvent
	streams map[string]*engineStreams // by friendly name
}

type engineEvent struct {
	id string
	libcontainerd.StateInfo
}

type engineStreams struct {
	stdin          io.WriteCloser
	stdout, stderr bytes.Buffer
	read           sync.WaitGroup // until both outputs are read to their ends
}

// quick are short limits, so that a fault shows soon.
func quick() []libcontainerd.RemoteOption {
	return []libcontainerd.RemoteOption{
		libcontainerd.WithShutdownTimeout(5 * time.Second),
		libcontainerd.WithTerminateTimeout(5 * time.Second),
		libcontainerd.WithCallTimeout(5 * time.Second),
		libcontainerd.WithGrace(5 * time.Second),
	}
}

func quiet() libcontainerd.RemoteOption {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return libcontainerd.WithLogger(logrus.NewEntry(log))
}

// patient are long limits, for a busy machine.
func patient() []libcontainerd.RemoteOption {
	return []libcontainerd.RemoteOption{
		libcontainerd.WithShutdownTimeout(time.Minute),
		libcontainerd.WithTerminateTimeout(time.Minute),
		libcontainerd.WithCallTimeout(time.Minute),
		libcontainerd.WithGrace(time.Minute),
	}
}

func newEngine(t *testing.T, options ...libcontainerd.RemoteOption) *engine {
	t.Helper()
	e := &engine{streams: make(map[string]*engineStreams)}
	e.changed = sync.NewCond(&e.mu)
	client, err := libcontainerd.NewClient(e, append(append(patient(), quiet(), libcontainerd.WithOwner(owner)), options...)...)
	if err != nil {
		t.Fatal(err)
	}
	e.Client = client
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *engine) AttachStreams(name string, pipes libcontainerd.IOPipe) error {
	s := &engineStreams{stdin: pipes.Stdin}
	for out, in := range map[*bytes.Buffer]io.Reader{&s.stdout: pipes.Stdout, &s.stderr: pipes.Stderr} {
		if in != nil {
			s.read.Go(func() { io.Copy(out, in) })
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streams[name] = s
	return nil
}

func (e *engine) StateChanged(id string, info libcontainerd.StateInfo) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, engineEvent{id, info})
	e.changed.Broadcast()
	return nil
}

// output is what a process wrote to stdout until it ended.
func (e *engine) output(name string) string {
	e.mu.Lock()
	s := e.streams[name]
	e.mu.Unlock()
	if s == nil {
		return ""
	}
	s.read.Wait()
	return strings.ReplaceAll(s.stdout.String(), "\r\n", "\n")
}

func (e *engine) stdin(name string) io.WriteCloser {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.streams[name].stdin
}

// await returns the first event of a container in that state.
func (e *engine) await(t *testing.T, id, state string) libcontainerd.StateInfo {
	t.Helper()
	return e.awaitNth(t, id, state, 1)
}

func (e *engine) awaitNth(t *testing.T, id, state string, n int) libcontainerd.StateInfo {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	late := time.AfterFunc(31*time.Second, func() { e.changed.Broadcast() })
	defer late.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		seen := 0
		for _, event := range e.events {
			if event.id == id && event.State == state {
				if seen++; seen == n {
					return event.StateInfo
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("container %s: no %s within 30 seconds, only %s", id, state, e.traceLocked(id))
		}
		e.changed.Wait()
	}
}

// trace is the history of a container: state, process and code of each event.
func (e *engine) trace(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.traceLocked(id)
}

func (e *engine) traceLocked(id string) string {
	var b strings.Builder
	for _, event := range e.events {
		if event.id != id {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(event.State)
		if event.ProcessID != "" {
			fmt.Fprintf(&b, " %s %d", event.ProcessID, event.ExitCode)
		}
	}
	return b.String()
}

// forget removes a container and its streams.
func (e *engine) forget(id string, execs ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = slices.DeleteFunc(e.events, func(event engineEvent) bool { return event.id == id })
	for _, name := range append(execs, id) {
		delete(e.streams, name)
	}
}

// create creates a container.
func (e *engine) create(t *testing.T, id string, spec libcontainerd.Spec, options ...libcontainerd.CreateOption) {
	t.Helper()
	if err := e.Create(id, spec, options...); err != nil {
		t.Fatal(err)
	}
}

// exec runs a process in a container.
func (e *engine) exec(t *testing.T, id, name string, args ...string) {
	t.Helper()
	if err := e.AddProcess(id, name, libcontainerd.Process{Args: args}); err != nil {
		t.Fatal(err)
	}
}
