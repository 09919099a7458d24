package libcontainerd_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"pgregory.net/rapid"
)

// The exit codes that the simulator gives.
const (
	killedCode   uint32 = 1067
	stoppedCode  uint32 = 0xc000013a
	sevenCode    uint32 = 7
	restoredCode uint32 = 1 << 31
)

// machine drives a client and a model of it side by side.
type machine struct {
	hcs   *hcstest.Service
	e     *engine
	steps *atomic.Int64

	containers map[string]*modelled

	// The steps since the last check must have led to these.
	events   map[string][]string // by container
	calls    map[string]int      // by operation and container
	optional map[string]bool     // may have been called besides
	anyCalls bool                // they depend on who comes first

	lost    bool // the service was lost once: what may be left is looked for later
	watched bool // there was a container in this step

	failed map[int][]string // whose create failed before the callback of that number

	seenEvents, seenCalls int
}

// modelled is what the model knows of a container.
type modelled struct {
	state   modelState
	hyperv  bool
	program string
	pid     uint32
	execs   []modelledExec
	paused  bool     // of an orphan
	answers []string // of the restart manager, one for each exit
	wait    chan error
	last    uint32 // exit code of a container that is to be restarted
}

type modelledExec struct {
	name string
	pid  uint32 // 0: not known yet
}

type modelState string

const (
	isRunning modelState = "running"
	isPaused  modelState = "paused"
	isPending modelState = "pending" // its restart is
	isOrphan  modelState = "orphan"  // the client does not know of it, HCS does
)

// A random sequence of calls, faults, exits and restarts leads client and model
// to the same table, the same events, and the same calls into HCS.
func TestClientBehavesAsItsModel(t *testing.T) {
	var steps atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			m := &machine{
				hcs:        hcstest.New(t, append(chaosPrograms, hcstest.WithCallLimit(1<<20))...),
				steps:      &steps,
				containers: make(map[string]*modelled),
			}
			m.engineStarts(t)
			defer func() { m.e.stop() }() // also after a failure
			t.Repeat(m.actions())
			m.finish(t)
		})
	})
	t.Logf("%d steps", steps.Load())
	if want, _ := strconv.Atoi(os.Getenv("SOAK_STEPS")); steps.Load() < int64(want) {
		t.Errorf("%d steps, want %d", steps.Load(), want)
	}
}

func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":              m.check,
		"Create":        m.create,
		"CreateFails":   m.createFails,
		"AddProcess":    m.addProcess,
		"AddFails":      m.addFails,
		"Signal":        m.signal,
		"SignalFails":   m.signalFails,
		"SignalProcess": m.signalProcess,
		"Resize":        m.resize,
		"Pause":         m.pause,
		"Resume":        m.resume,
		"Stats":         m.stats,
		"Summary":       m.summary,
		"Info":          m.info,
		"Update":        m.update,
		"SignalResume":  m.signalThenResume,
		"Restore":       m.restore,
		"RestoreFails":  m.restoreFails,
		"Reattach":      m.reattach,
		"Reconcile":     m.reconcile,
		"Close":         m.close,
		"InitEnds":      m.initEnds,
		"ExecEnds":      m.execEnds,
		"Crash":         m.crash,
		"ServiceLost":   m.serviceLost,
		"RestartWaits":  m.restartGoesOn,
	}
}

func (m *machine) engineStarts(t *rapid.T) {
	e, err := startEngine(io.Discard, m.hcs)
	if err != nil {
		t.Fatal(err)
	}
	m.e, m.seenEvents = e, 0
	m.failed = make(map[int][]string)
	m.seenCalls = len(m.hcs.Calls())
	m.expectNothing()
}

func (m *machine) expectNothing() {
	m.events = make(map[string][]string)
	m.calls = make(map[string]int)
	m.optional = make(map[string]bool)
	m.anyCalls = false
	m.watched = false
	for id := range m.containers {
		m.watched = m.watched || m.known(id) != nil
	}
}

// finish ends all that is left; the simulator checks that nothing is.
func (m *machine) finish(t *rapid.T) {
	for _, c := range m.containers {
		c.answers = nil
	}
	m.close(t)
	m.reconcile(t)
	m.check(t)
}

// check lets an hour pass and compares client and model.
func (m *machine) check(t *rapid.T) {
	for id := range m.containers {
		m.watched = m.watched || m.known(id) != nil
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	m.steps.Add(1)
	m.checkEvents(t)
	m.checkLives(t)
	m.checkTable(t)
	m.checkCalls(t)
	m.expectNothing()
}

func (m *machine) checkEvents(t *rapid.T) {
	got := make(map[string][]string)
	m.e.mu.Lock()
	for _, line := range m.e.log[m.seenEvents:] {
		state, rest, _ := strings.Cut(line, " ")
		id := rest[:1]
		got[id] = append(got[id], state+rest[1:])
	}
	m.seenEvents = len(m.e.log)
	for id, c := range m.containers {
		for _, info := range m.e.infos[id] {
			if info.State == libcontainerd.StateStart || info.State == libcontainerd.StateRestore {
				c.pid = info.Pid
			}
		}
	}
	m.e.mu.Unlock()
	for _, lines := range []map[string][]string{got, m.events} {
		for _, l := range lines {
			sortExecExits(l)
		}
	}
	if diff := cmp.Diff(m.events, got); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
}

// sortExecExits sorts the exits of processes that end together.
func sortExecExits(lines []string) {
	isExec := func(line string) bool { return strings.HasPrefix(line, libcontainerd.StateExitProcess) }
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && isExec(lines[to]) {
			to++
		}
		slices.Sort(lines[from:to])
		from = to
	}
}

func (m *machine) checkTable(t *rapid.T) {
	for _, id := range modelIDs {
		pids, err := m.e.GetPidsForContainer(id)
		c, known := m.containers[id]
		if !known || c.state == isOrphan {
			if !errdefs.IsNotFound(err) {
				t.Fatalf("pids of %s, which has ended: %v, %v", id, pids, err)
			}
			continue
		}
		status := map[modelState]string{
			isRunning: libcontainerd.StatusRunning,
			isPaused:  libcontainerd.StatusPaused,
			isPending: libcontainerd.StatusRestarting,
		}[c.state]
		if state, err := m.e.State(id); err != nil || state != status {
			t.Fatalf("state of %s: %q, %v, want %q", id, state, err, status)
		}
		var want []int
		if c.state != isPending {
			want = append(want, int(c.pid))
			for i := range c.execs {
				x := &c.execs[i]
				if x.pid == 0 && len(pids) > i+1 {
					x.pid = uint32(pids[i+1])
				}
				want = append(want, int(x.pid))
			}
		}
		if err != nil || !slices.Equal(pids, want) {
			t.Fatalf("pids of %s: %v, %v, want %v", id, pids, err, want)
		}
	}
}

func (m *machine) checkCalls(t *rapid.T) {
	calls := m.hcs.Calls()
	got := make(map[string]int)
	for _, c := range calls[m.seenCalls:] {
		got[string(c.Op)+" "+c.ID]++
	}
	m.seenCalls = len(calls)
	if m.anyCalls {
		return
	}
	m.tolerateLists(got)
	for key := range m.optional {
		if m.calls[key] == 0 {
			delete(got, key)
		}
	}
	for key := range got {
		// A second request to stop does no harm.
		if strings.HasPrefix(key, "Shutdown") || strings.HasPrefix(key, "Terminate") {
			got[key] = min(got[key], m.calls[key])
			if m.calls[key] == 0 {
				got[key] = -1
			}
		}
	}
	if diff := cmp.Diff(m.calls, got); diff != "" {
		t.Fatalf("calls (-want +got):\n%s", diff)
	}
}

// tolerateLists drops the lists with which the client looks for ends that HCS does not
// tell: at most one a minute, while there is a container.
func (m *machine) tolerateLists(got map[string]int) {
	const list = string(hcstest.OpList) + " "
	most := 0
	if m.lost {
		most = 1
	}
	if m.watched {
		most += 61 + 7 // and those of a stop that does not come within the shutdown timeout
	}
	if more := got[list] - m.calls[list]; more > 0 && more <= most {
		got[list] = m.calls[list]
		if got[list] == 0 {
			delete(got, list)
		}
	}
}

// checkLives checks the order of all callbacks: the streams of a life, its start, its
// end, and then the streams of the next life.
func (m *machine) checkLives(t *rapid.T) {
	stages := make(map[string]string)
	for i, line := range m.e.callbacks() {
		for _, id := range m.failed[i] {
			delete(stages, id)
		}
		what, rest, _ := strings.Cut(line, " ")
		id, _, _ := strings.Cut(rest, " ")
		if !slices.Contains(modelIDs, id) {
			continue // the streams or the exit of an exec'd process
		}
		before := stages[id]
		ok := true
		switch what {
		case "attach":
			ok, stages[id] = before != "up", "handed"
		case libcontainerd.StateStart, libcontainerd.StateRestore:
			ok, stages[id] = before == "handed", "up"
		case libcontainerd.StateRestart:
			ok, stages[id] = before == "up", "pending"
		case libcontainerd.StateExit:
			restored := strings.HasSuffix(rest, fmt.Sprint(restoredCode))
			ok, stages[id] = before != "" || restored, ""
		case libcontainerd.StatePause, libcontainerd.StateResume:
			ok = before == "up"
		}
		if !ok {
			t.Fatalf("%q after %q, in %q", line, before, m.e.callbacks())
		}
	}
}

var modelIDs = []string{"a", "b", "c"}

func drawID(t *rapid.T) string { return rapid.SampledFrom(modelIDs).Draw(t, "id") }

// draw picks a container in one of states, of which there must be one.
func (m *machine) draw(t *rapid.T, states ...modelState) (string, *modelled) {
	var ids []string
	for id, c := range m.containers {
		if slices.Contains(states, c.state) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		t.Skip("no such container")
	}
	slices.Sort(ids)
	id := rapid.SampledFrom(ids).Draw(t, "container")
	return id, m.containers[id]
}

// known is a container that the client knows, or nil.
func (m *machine) known(id string) *modelled {
	c := m.containers[id]
	if c == nil || c.state == isOrphan {
		return nil
	}
	return c
}

// wantErr fails the test unless err is of the kind; nil stands for success.
func wantErr(t *rapid.T, what string, err error, kind func(error) bool) {
	if kind == nil && err != nil || kind != nil && !kind(err) {
		t.Fatalf("%s: %v", what, err)
	}
}

func (m *machine) event(id, format string, args ...any) {
	m.events[id] = append(m.events[id], fmt.Sprintf(format, args...))
}

func (m *machine) called(id string, ops ...hcstest.Op) {
	for _, op := range ops {
		m.calls[strings.TrimSuffix(string(op)+" "+id, "")]++
	}
}

func (m *machine) maybeCalled(id string, op hcstest.Op) { m.optional[string(op)+" "+id] = true }

// begin models the start of an incarnation.
func (m *machine) begin(id string, c *modelled) {
	m.called(id, hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpStdio)
	m.event(id, "start-container")
	c.state, c.execs = isRunning, nil
	if c.program == "seven" {
		m.called(id, hcstest.OpShutdown)
		m.end(id, c, sevenCode, stoppedCode)
	}
}

// end models the end of an incarnation, with the exit codes of its processes.
func (m *machine) end(id string, c *modelled, code, execCode uint32) {
	for _, x := range c.execs {
		m.event(id, "exit-process/%s %d", x.name, execCode)
		m.called(id, hcstest.OpCloseProcess)
	}
	c.execs = nil
	m.called(id, hcstest.OpCloseProcess, hcstest.OpClose)
	answer := "no"
	if len(c.answers) > 0 {
		answer, c.answers = c.answers[0], c.answers[1:]
	}
	switch answer {
	case "again":
		m.event(id, "restart %d", code)
		m.begin(id, c)
	case "wait":
		m.event(id, "restart %d", code)
		c.state, c.last = isPending, code
	default:
		m.exit(id, code)
	}
}

func (m *machine) exit(id string, code uint32) {
	m.event(id, "exit %d", code)
	delete(m.containers, id)
}

// modelManager answers as the model has drawn it.
type modelManager struct{ c *modelled }

func (r modelManager) answersOf(all []string) []func() (bool, chan error, error) {
	var list []func() (bool, chan error, error)
	for _, a := range all {
		list = append(list, map[string]func() (bool, chan error, error){
			"again": restartWith(nil),
			"no":    func() (bool, chan error, error) { return false, nil, nil },
			"error": func() (bool, chan error, error) { return true, nil, errRefused },
			"wait": func() (bool, chan error, error) {
				r.c.wait = make(chan error, 1)
				return true, r.c.wait, nil
			},
		}[a])
	}
	return list
}

func drawContainer(t *rapid.T) (*modelled, libcontainerd.Spec, []libcontainerd.CreateOption) {
	c := &modelled{
		hyperv:  rapid.Bool().Draw(t, "hyperv"),
		program: rapid.SampledFrom([]string{"idle", "idle", "seven"}).Draw(t, "program"),
		answers: rapid.SliceOfN(rapid.SampledFrom([]string{"again", "wait", "no", "error"}), 0, 2).Draw(t, "answers"),
	}
	s := spec(c.program)
	if c.hyperv {
		s = hyperv(c.program)
	}
	s.Process.Terminal = true
	var options []libcontainerd.CreateOption
	if len(c.answers) > 0 {
		options = append(options, libcontainerd.WithRestartManager(&restartManager{answers: modelManager{c}.answersOf(c.answers)}))
	}
	return c, s, options
}

func (m *machine) create(t *rapid.T) {
	id := drawID(t)
	c, s, options := drawContainer(t)
	err := m.e.Create(id, s, options...)
	switch old := m.containers[id]; {
	case old == nil:
		wantErr(t, "create", err, nil)
		m.containers[id] = c
		m.begin(id, c)
	case old.state == isOrphan:
		m.called(id, hcstest.OpCreate)
		m.called("", hcstest.OpList)
		fallthrough
	default:
		wantErr(t, "create of an id in use", err, errdefs.IsAlreadyExists)
	}
}

// createFails lets one step of a create fail.
func (m *machine) createFails(t *rapid.T) {
	id := drawID(t)
	if m.containers[id] != nil {
		t.Skip("in use")
	}
	_, s, options := drawContainer(t)
	step := rapid.SampledFrom([]string{"create", "create, done", "start", "exec", "stdio", "attach", "event", "spec", "file"}).Draw(t, "step")
	var want error = libcontainerd.CodeTimeout
	upTo := []hcstest.Op{hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpStdio, hcstest.OpTerminate, hcstest.OpCloseProcess, hcstest.OpClose}
	switch step {
	case "create":
		m.hcs.Fail(hcstest.OpCreate, id, want)
		m.called("", hcstest.OpList)
		upTo = upTo[:1]
	case "create, done":
		once(hcstest.OpCreate, hcstest.Fault{Err: want, Done: true})(m.hcs)
		m.called("", hcstest.OpList)
		upTo = []hcstest.Op{hcstest.OpCreate, hcstest.OpOpen, hcstest.OpTerminate, hcstest.OpClose}
	case "start":
		m.hcs.Fail(hcstest.OpStart, id, want)
		upTo = []hcstest.Op{hcstest.OpCreate, hcstest.OpStart, hcstest.OpTerminate, hcstest.OpClose}
	case "exec":
		m.hcs.Fail(hcstest.OpCreateProcess, id, want)
		upTo = slices.Delete(slices.Clone(upTo), 5, 6)
		upTo = slices.Delete(upTo, 3, 4)
	case "stdio":
		m.hcs.Fail(hcstest.OpStdio, id, want)
	case "attach":
		want = errRefused
		m.e.onAttach = func(string, libcontainerd.IOPipe) error { return errRefused }
	case "event":
		want = errRefused
		m.e.onState = func(string, libcontainerd.StateInfo) error { return errRefused }
		m.event(id, "start-container")
	case "spec":
		want = errdefs.ErrInvalidArgument
		s.Process.Args = nil
		upTo = nil
	case "file":
		want = libcontainerd.CodeFileNotFound
		s.Process.Args = []string{"nosuch"}
		upTo = slices.Delete(slices.Clone(upTo), 5, 6)
		upTo = slices.Delete(upTo, 3, 4)
	}
	if s.Process.Args != nil && step != "file" {
		s.Process.Args = []string{"idle"}
	}
	m.called(id, upTo...)
	err := m.e.Create(id, s, options...)
	m.e.onAttach, m.e.onState = nil, nil
	n := len(m.e.callbacks())
	m.failed[n] = append(m.failed[n], id)
	wantErr(t, "create that fails: "+step, err, func(err error) bool { return errors.Is(err, want) })
}

func drawProcess(t *rapid.T) (name string, p libcontainerd.Process) {
	name = rapid.SampledFrom([]string{"x", "y", "x", "y", "init", ""}).Draw(t, "name")
	p = exec(rapid.SampledFrom([]string{"idle", "idle", "seven"}).Draw(t, "program"))
	p.Terminal = true
	return name, p
}

// addable returns how AddProcess must fail, nil if it must not.
func (m *machine) addable(id, name string) func(error) bool {
	c := m.known(id)
	switch {
	case c == nil:
		return errdefs.IsNotFound
	case name == "":
		return errdefs.IsInvalidArgument
	case name == "init" || c.exec(name) >= 0:
		return errdefs.IsAlreadyExists
	case c.state != isRunning:
		return errdefs.IsFailedPrecondition
	}
	return nil
}

func (c *modelled) exec(name string) int {
	return slices.IndexFunc(c.execs, func(x modelledExec) bool { return x.name == name })
}

func (m *machine) addProcess(t *rapid.T) {
	id := drawID(t)
	name, p := drawProcess(t)
	kind := m.addable(id, name)
	wantErr(t, "add process", m.e.AddProcess(id, name, p), kind)
	if kind != nil {
		return
	}
	m.called(id, hcstest.OpCreateProcess, hcstest.OpStdio)
	if p.Args[0] == "seven" {
		m.event(id, "exit-process/%s %d", name, sevenCode)
		m.called(id, hcstest.OpCloseProcess)
		return
	}
	c := m.containers[id]
	c.execs = append(c.execs, modelledExec{name: name})
}

func (m *machine) addFails(t *rapid.T) {
	id, _ := m.draw(t, isRunning)
	name, p := drawProcess(t)
	if m.addable(id, name) != nil {
		t.Skip("fails anyway")
	}
	var want error = libcontainerd.CodeAccessDenied
	m.called(id, hcstest.OpCreateProcess)
	switch rapid.SampledFrom([]string{"exec", "stdio", "attach", "file", "spec"}).Draw(t, "step") {
	case "exec":
		m.hcs.Fail(hcstest.OpCreateProcess, id, want)
	case "stdio":
		m.hcs.Fail(hcstest.OpStdio, id, want)
		m.called(id, hcstest.OpStdio, hcstest.OpKill, hcstest.OpCloseProcess)
	case "attach":
		want = errRefused
		m.e.onAttach = func(string, libcontainerd.IOPipe) error { return errRefused }
		m.called(id, hcstest.OpStdio, hcstest.OpKill, hcstest.OpCloseProcess)
	case "file":
		want = libcontainerd.CodeFileNotFound
		p.Args = []string{"nosuch"}
	case "spec":
		want = errdefs.ErrInvalidArgument
		p.Args = nil
		m.calls = maps.Clone(m.calls)
		delete(m.calls, string(hcstest.OpCreateProcess)+" "+id)
	}
	err := m.e.AddProcess(id, name, p)
	m.e.onAttach = nil
	wantErr(t, "add process that fails", err, func(err error) bool { return errors.Is(err, want) })
}

func drawSignal(t *rapid.T) int {
	return rapid.SampledFrom([]int{0, 9, 9, 15, 15, 1, -1}).Draw(t, "signal")
}

func (m *machine) signal(t *rapid.T) {
	m.signalInit(t, drawID(t), drawSignal(t), m.e.Signal)
}

// signalInit models Signal, and SignalProcess of the init process.
func (m *machine) signalInit(t *rapid.T, id string, sig int, call func(string, int) error) {
	c := m.known(id)
	err := call(id, sig)
	switch {
	case c == nil:
		wantErr(t, "signal to an unknown id", err, errdefs.IsNotFound)
	case sig < 0:
		wantErr(t, "negative signal", err, errdefs.IsInvalidArgument)
	case sig == 0 && c.state == isPending:
		wantErr(t, "signal 0 while a restart is pending", err, errdefs.IsFailedPrecondition)
	default:
		wantErr(t, "signal", err, nil)
		if sig != 0 {
			m.signalled(id, c, sig)
		}
	}
}

// signalled models the effect of a signal.
func (m *machine) signalled(id string, c *modelled, sig int) {
	switch {
	case c.state == isPending:
		m.exit(id, c.last)
	case sig == 9:
		m.called(id, hcstest.OpTerminate)
		m.end(id, c, killedCode, killedCode)
	default:
		if c.state == isPaused {
			m.called(id, hcstest.OpResume)
			m.event(id, "resume")
		}
		m.called(id, hcstest.OpShutdown)
		m.end(id, c, stoppedCode, stoppedCode)
	}
}

// signalFails has HCS refuse a signal.
func (m *machine) signalFails(t *rapid.T) {
	id, _ := m.draw(t, isRunning)
	op, sig := hcstest.OpTerminate, 9
	if rapid.Bool().Draw(t, "graceful") {
		op, sig = hcstest.OpShutdown, 15
	}
	m.hcs.Fail(op, id, libcontainerd.CodeAccessDenied)
	m.called(id, op)
	wantErr(t, "signal that is refused", m.e.Signal(id, sig), errdefs.IsPermissionDenied)
}

func (m *machine) signalProcess(t *rapid.T) {
	id, sig := drawID(t), drawSignal(t)
	name, _ := drawProcess(t)
	if name == libcontainerd.InitFriendlyName {
		m.signalInit(t, id, sig, func(id string, sig int) error { return m.e.SignalProcess(id, name, sig) })
		return
	}
	kind := m.reachable(id, name)
	if c := m.known(id); c != nil && sig < 0 {
		kind = errdefs.IsInvalidArgument
	}
	wantErr(t, "signal to a process", m.e.SignalProcess(id, name, sig), kind)
	if kind == nil && sig != 0 {
		m.called(id, hcstest.OpKill)
		m.execGone(id, name, killedCode)
	}
}

// execGone models the exit of an exec'd process.
func (m *machine) execGone(id, name string, code uint32) {
	c := m.containers[id]
	i := c.exec(name)
	c.execs = slices.Delete(c.execs, i, i+1)
	m.event(id, "exit-process/%s %d", name, code)
	m.called(id, hcstest.OpCloseProcess)
}

// reachable returns how a call on a process must fail, nil if it must not.
func (m *machine) reachable(id, name string) func(error) bool {
	c := m.known(id)
	switch {
	case c == nil:
		return errdefs.IsNotFound
	case c.state == isPending:
		return errdefs.IsFailedPrecondition
	case name != libcontainerd.InitFriendlyName && c.exec(name) < 0:
		return errdefs.IsNotFound
	}
	return nil
}

func (m *machine) resize(t *rapid.T) {
	id := drawID(t)
	name, _ := drawProcess(t)
	width := rapid.SampledFrom([]int{0, 1, 80, 65535, 65536}).Draw(t, "width")
	kind := m.reachable(id, name)
	if m.known(id) != nil && (width == 0 || width > 65535) {
		kind = errdefs.IsInvalidArgument
	}
	wantErr(t, "resize", m.e.Resize(id, name, width, 25), kind)
	if kind == nil {
		m.called(id, hcstest.OpResizeConsole)
	}
}

func (m *machine) pause(t *rapid.T) {
	m.turn(t, m.e.Pause, isRunning, isPaused, hcstest.OpPause, "pause")
}

func (m *machine) resume(t *rapid.T) {
	m.turn(t, m.e.Resume, isPaused, isRunning, hcstest.OpResume, "resume")
}

func (m *machine) turn(t *rapid.T, call func(string) error, from, to modelState, op hcstest.Op, event string) {
	id := drawID(t)
	c := m.known(id)
	var kind func(error) bool
	switch {
	case c == nil:
		kind = errdefs.IsNotFound
	case !c.hyperv:
		kind = errdefs.IsNotImplemented
	case c.state != from:
		kind = errdefs.IsFailedPrecondition
	case rapid.IntRange(0, 3).Draw(t, "refused") == 0:
		kind = errdefs.IsPermissionDenied
		m.hcs.Fail(op, id, libcontainerd.CodeAccessDenied)
		m.called(id, op)
	}
	wantErr(t, event, call(id), kind)
	if kind == nil {
		m.called(id, op)
		m.event(id, "%s", event)
		c.state = to
	}
}

func (m *machine) stats(t *rapid.T) {
	id := drawID(t)
	kind := m.reachable(id, libcontainerd.InitFriendlyName)
	_, err := m.e.Stats(id)
	wantErr(t, "stats", err, kind)
	if kind == nil {
		m.called(id, hcstest.OpStatistics)
	}
}

func (m *machine) info(t *rapid.T) {
	info, err := m.e.Info()
	m.called("", hcstest.OpList)
	if err != nil || info.Build == 0 {
		t.Fatalf("info: %+v, %v", info, err)
	}
}

func (m *machine) summary(t *rapid.T) {
	id := drawID(t)
	list, err := m.e.Summary(id)
	c := m.known(id)
	if c == nil {
		wantErr(t, "summary", err, errdefs.IsNotFound)
		return
	}
	wantErr(t, "summary", err, nil)
	if c.state == isPending {
		if len(list) > 0 {
			t.Fatalf("summary while a restart is pending: %v", list)
		}
		return
	}
	m.called(id, hcstest.OpProcessList)
	want := []uint32{c.pid}
	for _, x := range c.execs {
		want = append(want, x.pid)
	}
	var got []uint32
	for _, s := range list[:min(len(want), len(list))] {
		got = append(got, s.Pid)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("summary begins with %v, want %v", got, want)
	}
}

func (m *machine) update(t *rapid.T) {
	id := drawID(t)
	var resources libcontainerd.Resources
	limited := rapid.Bool().Draw(t, "limited")
	if limited {
		resources.CPU = &libcontainerd.CPU{Shares: new(uint64(5))}
	}
	var kind func(error) bool
	switch {
	case m.known(id) == nil:
		kind = errdefs.IsNotFound
	case limited:
		kind = errdefs.IsNotImplemented
	}
	wantErr(t, "update", m.e.UpdateResources(id, resources), kind)
}

// restore ends an orphan, or reports that there is none.
func (m *machine) restore(t *rapid.T) {
	id := drawID(t)
	err := m.e.Restore(id)
	if m.known(id) != nil {
		wantErr(t, "restore of an id in use", err, errdefs.IsAlreadyExists)
		return
	}
	wantErr(t, "restore", err, nil)
	m.called(id, hcstest.OpOpen)
	if m.containers[id] != nil {
		m.called(id, hcstest.OpTerminate, hcstest.OpClose)
	}
	m.exit(id, restoredCode)
}

// restoreFails has HCS refuse to end an orphan, for a while.
func (m *machine) restoreFails(t *rapid.T) {
	id, _ := m.draw(t, isOrphan)
	refusal := m.hcs.Inject(hcstest.Rule{Op: hcstest.OpTerminate, ID: id, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied}})
	wantErr(t, "restore of what HCS does not end", m.e.Restore(id), nil)
	m.exit(id, restoredCode)
	if exit := m.e.last(id); !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
		t.Fatalf("the exit says %v", exit.Err)
	}
	refusal.Release()
	m.anyCalls = true // it is ended in the background
}

// signalThenResume does as the engine of 2016 does with a paused container.
func (m *machine) signalThenResume(t *rapid.T) {
	id, c := m.draw(t, isPaused)
	m.hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, ID: id, Times: 1, Fault: hcstest.Fault{Delay: time.Minute}})
	wantErr(t, "signal", m.e.Signal(id, 15), nil)
	wantErr(t, "resume after a signal that resumed", m.e.Resume(id), nil)
	m.signalled(id, c, 15)
}

func (m *machine) reattach(t *rapid.T) {
	id, c := m.draw(t, isOrphan)
	s := spec(c.program)
	if c.hyperv {
		s = hyperv(c.program)
	}
	s.Process.Terminal = true
	gone := rapid.IntRange(0, 3).Draw(t, "init is gone") == 0
	if gone {
		m.hcs.ExitProcess(id, c.pid, 3)
	}
	wantErr(t, "reattach", m.e.Restore(id, libcontainerd.WithReattach(s, c.pid)), nil)
	m.called(id, hcstest.OpOpen, hcstest.OpOpenProcess)
	if gone {
		m.called(id, hcstest.OpTerminate, hcstest.OpClose)
		m.exit(id, restoredCode)
		return
	}
	m.called(id, hcstest.OpStdio)
	if c.hyperv {
		m.called("", hcstest.OpList)
	}
	m.event(id, "restore")
	c.state, c.execs, c.answers = isRunning, nil, nil
	if c.paused {
		c.state = isPaused
	}
}

func (m *machine) reconcile(t *rapid.T) {
	ended, err := m.e.Reconcile(t.Context(), libcontainerd.DefaultOwner)
	wantErr(t, "reconcile", err, nil)
	m.called("", hcstest.OpList)
	var got, want []string
	for _, s := range ended {
		got = append(got, s.ID)
	}
	for _, id := range modelIDs {
		if c := m.containers[id]; c != nil && c.state == isOrphan {
			want = append(want, id)
			m.called(id, hcstest.OpOpen, hcstest.OpTerminate, hcstest.OpClose)
			delete(m.containers, id)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("reconcile ended %v, want %v", got, want)
	}
}

// close ends the engine; the next one finds what it left.
func (m *machine) close(t *rapid.T) {
	for id, c := range m.containers {
		switch c.state {
		case isPending:
			delete(m.containers, id)
		case isRunning, isPaused:
			m.called(id, hcstest.OpClose)
			for range 1 + len(c.execs) {
				m.called(id, hcstest.OpCloseProcess)
			}
			c.paused = c.state == isPaused
			c.state, c.execs = isOrphan, nil
		case isOrphan: // of an engine before
		}
	}
	if err := m.e.stop(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	m.checkEvents(t)
	m.checkLives(t)
	m.checkCalls(t)
	if late := m.e.begunLate(); len(late) > 0 {
		t.Fatalf("callbacks that began after Close: %q", late)
	}
	if err := m.e.Create("a", spec("idle")); !errdefs.IsFailedPrecondition(err) {
		t.Fatalf("create on a closed client: %v", err)
	}
	m.engineStarts(t)
}

// initEnds lets an init process end by itself.
func (m *machine) initEnds(t *rapid.T) {
	id, c := m.draw(t, isRunning, isPaused)
	m.hcs.ExitProcess(id, c.pid, 3)
	execCode := stoppedCode
	m.called(id, hcstest.OpShutdown)
	if c.state == isPaused { // it cannot shut down
		m.called(id, hcstest.OpTerminate)
		execCode = killedCode
	}
	m.end(id, c, 3, execCode)
}

func (m *machine) execEnds(t *rapid.T) {
	id, c := m.draw(t, isRunning, isPaused)
	if len(c.execs) == 0 {
		t.Skip("no exec")
	}
	x := rapid.SampledFrom(c.execs).Draw(t, "exec")
	m.hcs.ExitProcess(id, x.pid, 5)
	m.execGone(id, x.name, 5)
}

func (m *machine) crash(t *rapid.T) {
	id, c := m.draw(t, isRunning, isPaused, isOrphan)
	m.hcs.Crash(id, libcontainerd.CodeUnexpectedExit)
	if c.state == isOrphan {
		delete(m.containers, id)
		return
	}
	m.maybeCalled(id, hcstest.OpShutdown)
	m.end(id, c, libcontainerd.UnknownExitCode, libcontainerd.UnknownExitCode)
}

// serviceLost takes the service away for a moment, and all containers with it.
func (m *machine) serviceLost(t *rapid.T) {
	for _, c := range m.containers {
		if len(c.answers) > 0 && c.answers[0] == "again" {
			t.Skip("whether the restart succeeds depends on who comes first")
		}
	}
	m.hcs.LoseService(nil)
	m.hcs.RestoreService()
	for _, id := range modelIDs {
		switch c := m.containers[id]; {
		case c == nil || c.state == isPending:
		case c.state == isOrphan:
			delete(m.containers, id)
		default:
			m.end(id, c, libcontainerd.UnknownExitCode, libcontainerd.UnknownExitCode)
		}
	}
	m.anyCalls, m.lost = true, true
}

// restartGoesOn ends the wait for a restart.
func (m *machine) restartGoesOn(t *rapid.T) {
	id, c := m.draw(t, isPending)
	switch rapid.SampledFrom([]string{"go", "fail", "error"}).Draw(t, "how") {
	case "go":
		close(c.wait)
		m.begin(id, c)
	case "fail":
		m.hcs.Fail(hcstest.OpCreate, id, libcontainerd.CodeImageMismatch)
		close(c.wait)
		m.called(id, hcstest.OpCreate)
		m.called("", hcstest.OpList)
		m.exit(id, libcontainerd.UnknownExitCode)
	case "error":
		c.wait <- errRefused
		m.exit(id, c.last)
	}
}
