package libcontainerd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/sirupsen/logrus"
)

// engine is a Backend that keeps what it is told, and reads all output.
type engine struct {
	libcontainerd.Client
	hcs *hcstest.Service

	onState  func(id string, info libcontainerd.StateInfo) error // nil: accepts all
	onAttach func(name string, pipe libcontainerd.IOPipe) error  // nil: reads all output

	mu      sync.Mutex // guards following
	heard   *sync.Cond // broadcast when log has grown
	log     []string
	all     []string // log, and an "attach NAME" for each AttachStreams
	late    []string // what began after Close had begun
	closing bool     // Close has begun
	closed  bool     // Close has returned
	overdue []string // what began after Close had returned
	infos   map[string][]libcontainerd.StateInfo
	pipes   map[string]libcontainerd.IOPipe
	outputs map[string]*bytes.Buffer
	reading sync.WaitGroup
}

// newEngine returns an engine on hcs, or on a new simulated HCS if hcs is nil. It is
// closed when the test ends.
func newEngine(t testing.TB, hcs *hcstest.Service, options ...libcontainerd.RemoteOption) *engine {
	t.Helper()
	if hcs == nil {
		hcs = hcstest.New(t)
	}
	e, err := startEngine(t.Output(), hcs, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.overdue) > 0 {
			t.Errorf("callbacks that began after Close had returned: %q", e.overdue)
		}
	})
	return e
}

// startEngine is newEngine for an engine that ends with stop.
func startEngine(log io.Writer, hcs *hcstest.Service, options ...libcontainerd.RemoteOption) (*engine, error) {
	e := &engine{
		hcs:     hcs,
		infos:   make(map[string][]libcontainerd.StateInfo),
		pipes:   make(map[string]libcontainerd.IOPipe),
		outputs: make(map[string]*bytes.Buffer),
	}
	e.heard = sync.NewCond(&e.mu)
	logger := logrus.New()
	logger.SetOutput(log)
	logger.SetLevel(logrus.DebugLevel)
	client, err := libcontainerd.NewClient(e, append([]libcontainerd.RemoteOption{
		libcontainerd.WithComputeService(hcs),
		libcontainerd.WithLogger(logrus.NewEntry(logger)),
	}, options...)...)
	e.Client = client
	return e, err
}

// Close closes the client, and notes the callbacks that begin after it.
func (e *engine) Close() error {
	go func() { // a callback that passes the gate before Close has shut it is in time
		for {
			if _, err := e.State("nobody"); !errdefs.IsNotFound(err) {
				break
			}
			runtime.Gosched()
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.closing = true
	}()
	err := e.Client.Close()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	return err
}

// beginsLocked notes a callback; e.mu is held.
func (e *engine) beginsLocked(line string) {
	e.all = append(e.all, line)
	if e.closing {
		e.late = append(e.late, line)
	}
	if e.closed {
		e.overdue = append(e.overdue, line)
	}
	e.heard.Broadcast()
}

// stop closes the client, and waits until all that was read is over.
func (e *engine) stop() error {
	err := e.Close()
	e.reading.Wait()
	return err
}

func (e *engine) StateChanged(id string, info libcontainerd.StateInfo) error {
	e.mu.Lock()
	line := info.State + " " + id
	switch info.State {
	case libcontainerd.StateExit, libcontainerd.StateRestart:
		line += fmt.Sprintf(" %d", info.ExitCode)
	case libcontainerd.StateExitProcess:
		line += fmt.Sprintf("/%s %d", info.ProcessID, info.ExitCode)
	}
	e.log = append(e.log, line)
	e.beginsLocked(line)
	e.infos[id] = append(e.infos[id], info)
	onState := e.onState // a test may change it once it sees the event
	e.mu.Unlock()
	if onState != nil {
		return onState(id, info)
	}
	return nil
}

func (e *engine) AttachStreams(name string, pipe libcontainerd.IOPipe) error {
	e.mu.Lock()
	e.beginsLocked("attach " + name)
	e.pipes[name] = pipe
	out := new(bytes.Buffer)
	e.outputs[name] = out
	e.mu.Unlock()
	if e.onAttach != nil {
		return e.onAttach(name, pipe)
	}
	for _, r := range []io.Reader{pipe.Stdout, pipe.Stderr} {
		if r == nil {
			continue
		}
		e.reading.Go(func() { io.Copy(lockedWriter{&e.mu, out}, r) })
	}
	return nil
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

// await waits until n lines of the log begin with prefix.
func (e *engine) await(prefix string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		seen := 0
		for _, line := range e.log {
			if strings.HasPrefix(line, prefix) {
				seen++
			}
		}
		if seen >= n {
			return
		}
		e.heard.Wait()
	}
}

// hears reports whether n lines of the log begin with prefix before limit is over.
// Unlike await it ends when that never happens.
func (e *engine) hears(prefix string, n int, limit time.Duration) bool {
	for end := time.Now().Add(limit); ; time.Sleep(max(limit/1000, time.Millisecond)) {
		if e.count(prefix) >= n {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// count returns how many lines of the log begin with prefix.
func (e *engine) count(prefix string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, line := range e.log {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// wantExit waits for the exit of a container no longer than limit, and returns its
// event.
func (e *engine) wantExit(t *testing.T, id string, limit time.Duration) libcontainerd.StateInfo {
	t.Helper()
	if !e.hears("exit "+id+" ", 1, limit) {
		t.Errorf("no exit of %s within %v: events %q", id, limit, e.events())
		return libcontainerd.StateInfo{}
	}
	return e.last(id)
}

// awaitExit waits for the exit of a container, and returns its event.
func (e *engine) awaitExit(id string) libcontainerd.StateInfo {
	e.await("exit "+id, 1)
	return e.last(id)
}

func (e *engine) last(id string) libcontainerd.StateInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.infos[id][len(e.infos[id])-1]
}

// output reads the streams to their end, and returns all that a process has written.
func (e *engine) output(name string) string {
	e.reading.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.outputs[name].String()
}

func (e *engine) pipe(name string) libcontainerd.IOPipe {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pipes[name]
}

func (e *engine) events() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.log)
}

func (e *engine) wantEvents(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, e.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// checkExits fails the test unless each container that was started has one
// exit, as its last event.
func (e *engine) checkExits(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, infos := range e.infos {
		exits := 0
		for _, info := range infos {
			if info.State == libcontainerd.StateExit {
				exits++
			}
		}
		if exits != 1 || infos[len(infos)-1].State != libcontainerd.StateExit {
			t.Errorf("events of %s: %+v", id, infos)
		}
	}
}

// checkOrder fails the test unless pauses and resumes alternate.
func (e *engine) checkOrder(t *testing.T) {
	t.Helper()
	last := "resume"
	for _, line := range e.events() {
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "pause", "resume":
			if word == last {
				t.Errorf("%s follows a %s: %q", word, last, e.events())
			}
			last = word
		case "start-container", "restore":
			last = "resume"
		}
	}
}

// callbacks returns all callbacks so far, AttachStreams included.
func (e *engine) callbacks() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// countCallbacks returns how many callbacks begin with prefix.
func (e *engine) countCallbacks(prefix string) (n int) {
	for _, line := range e.callbacks() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// begunLate returns the callbacks that began after Close had begun.
func (e *engine) begunLate() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.late)
}

// endEngine is an engine that wants to know when a compute system that might still
// run has ended.
type endEngine struct {
	*engine
	ended chan string
}

func (e *endEngine) ComputeSystemEnded(id string) {
	e.mu.Lock()
	e.beginsLocked("ended " + id)
	e.mu.Unlock()
	e.ended <- id
}

// newEndEngine is newEngine for an endEngine.
func newEndEngine(t *testing.T, hcs *hcstest.Service, options ...libcontainerd.RemoteOption) *endEngine {
	t.Helper()
	e := &endEngine{engine: newEngine(t, hcs), ended: make(chan string, 100)}
	logger, _ := newLog()
	client, err := libcontainerd.NewClient(e, append([]libcontainerd.RemoteOption{
		libcontainerd.WithComputeService(hcs), libcontainerd.WithLogger(logger),
	}, options...)...)
	must(t, err)
	must(t, e.Client.Close())
	e.Client = client
	return e
}

// spec is a container with process isolation that runs args.
func spec(args ...string) libcontainerd.Spec {
	return libcontainerd.Spec{
		Version:  libcontainerd.Version,
		Process:  libcontainerd.Process{Args: args, Cwd: `C:\`},
		Root:     libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Hostname: "web",
		Windows: libcontainerd.Windows{
			LayerFolder: `C:\layers\scratch`,
			LayerPaths:  []string{`C:\layers\app`, `C:\layers\base`},
		},
	}
}

// hyperv is spec with Hyper-V isolation.
func hyperv(args ...string) libcontainerd.Spec {
	s := spec(args...)
	s.Root.Path = ""
	s.Windows.HvRuntime = &libcontainerd.HvRuntime{ImagePath: `C:\layers\base\UtilityVM`}
	return s
}

// untilStopped is a command line that runs until it is ended.
var untilStopped = []string{"ping", "-t", "localhost"}

// exec is a process that runs args.
func exec(args ...string) libcontainerd.Process { return libcontainerd.Process{Args: args} }

// errRefused is what a callback answers that refuses.
var errRefused = errors.New("refused")

// is reports whether an error is target.
func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restartManager is scripted: it takes one answer for each exit, and then says no.
type restartManager struct {
	mu        sync.Mutex // guards following
	answers   []func() (bool, chan error, error)
	asked     []uint32
	cancelled int
	onCancel  func()
}

func (rm *restartManager) ShouldRestart(code uint32) (bool, chan error, error) {
	rm.mu.Lock()
	rm.asked = append(rm.asked, code)
	if len(rm.answers) == 0 {
		rm.mu.Unlock()
		return false, nil, nil
	}
	answer := rm.answers[0]
	rm.answers = rm.answers[1:]
	rm.mu.Unlock()
	return answer()
}

func (rm *restartManager) Cancel() error {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	rm.cancelled++
	if rm.onCancel != nil {
		rm.onCancel()
	}
	return nil
}

// restartWith answers that the container restarts once ch says so.
func restartWith(ch chan error) func() (bool, chan error, error) {
	return func() (bool, chan error, error) { return true, ch, nil }
}

// closedChannel lets a restart begin at once.
func closedChannel() chan error {
	ch := make(chan error)
	close(ch)
	return ch
}
