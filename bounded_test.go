package libcontainerd_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// The limits of the client under test. Their sums differ, whichever are added.
const (
	callLimit      = time.Minute
	shutdownLimit  = 7 * time.Minute
	terminateLimit = 31 * time.Minute
	graceLimit     = 10 * time.Second
)

// boundedMethod is a method of Client, and how long it may take, as its
// documentation says, whichever call into HCS hangs.
type boundedMethod struct {
	name  string
	limit time.Duration
	call  func(e *engine) error
	asks  []hcstest.Op // what it asks of the container "busy" or of HCS itself
}

// everything stands for all operations.
const everything hcstest.Op = ""

// execs are the calls that start a process.
var execs = []hcstest.Op{hcstest.OpCreateProcess, hcstest.OpPid, hcstest.OpStdio}

func boundedMethods(t *testing.T, busyPid uint32) []boundedMethod {
	t.Helper()
	const (
		undo   = terminateLimit + 2*graceLimit
		undone = callLimit + undo
	)
	return []boundedMethod{
		{"Create", undone, func(e *engine) error { return e.Create("new", hyperv("idle")) }, nil},
		{"Signal 0", 0, func(e *engine) error { return e.Signal("busy", 0) }, nil},
		{"Signal 15", callLimit, func(e *engine) error { return e.Signal("busy", 15) }, []hcstest.Op{hcstest.OpShutdown}},
		{"Signal 15 of a paused container", 2 * callLimit, func(e *engine) error { return e.Signal("paused", 15) }, nil},
		{"Signal 9", 2 * terminateLimit, func(e *engine) error { return e.Signal("busy", 9) }, []hcstest.Op{hcstest.OpTerminate}},
		{"SignalProcess", callLimit, func(e *engine) error { return e.SignalProcess("busy", "p1", 9) }, []hcstest.Op{hcstest.OpKill}},
		{"AddProcess", 2*callLimit + 2*graceLimit, func(e *engine) error { return e.AddProcess("busy", "p2", exec("idle")) }, execs},
		{"Resize", callLimit, func(e *engine) error { return e.Resize("busy", "init", 80, 25) }, []hcstest.Op{hcstest.OpResizeConsole}},
		{"Pause", callLimit, func(e *engine) error { return e.Pause("busy") }, []hcstest.Op{hcstest.OpPause}},
		{"Resume", callLimit, func(e *engine) error { return e.Resume("paused") }, nil},
		{"Restore", callLimit + terminateLimit + graceLimit, func(e *engine) error { return e.Restore("left") }, nil},
		{"Restore, reattaching", undone, func(e *engine) error {
			return e.Restore("left", libcontainerd.WithReattach(hyperv("idle"), busyPid))
		}, nil},
		{"Reconcile", callLimit + terminateLimit + graceLimit, func(e *engine) error {
			_, err := e.Reconcile(t.Context(), libcontainerd.DefaultOwner)
			return err
		}, []hcstest.Op{hcstest.OpList}},
		{"Stats", callLimit, func(e *engine) error { _, err := e.Stats("busy"); return err }, []hcstest.Op{hcstest.OpStatistics}},
		{"GetPidsForContainer", 0, func(e *engine) error { _, err := e.GetPidsForContainer("busy"); return err }, nil},
		{"Summary", callLimit, func(e *engine) error { _, err := e.Summary("busy"); return err }, []hcstest.Op{hcstest.OpProcessList}},
		{"UpdateResources", 0, func(e *engine) error { return e.UpdateResources("busy", libcontainerd.Resources{}) }, nil},
		{"Info", callLimit, func(e *engine) error { _, err := e.Info(); return err }, []hcstest.Op{hcstest.OpHost, hcstest.OpList}},
		{"close of stdin", callLimit, func(e *engine) error { return e.pipe("busy").Stdin.Close() }, []hcstest.Op{hcstest.OpCloseStdin}},
	}
}

// With any call into HCS hung for ever, every method comes back within its
// limit. Other containers, and other calls on the same container, notice nothing.
// When the call comes back late, the client undoes what it did.
func TestEveryMethodIsBoundedWhicheverCallHangs(t *testing.T) {
	for _, method := range boundedMethods(t, 0) {
		for _, op := range append(hcstest.Operations(), hcstest.OpStop, hcstest.OpExit, everything) {
			t.Run(fmt.Sprintf("%s/%s", method.name, op), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testBounded(t, method.name, op) })
			})
		}
	}
}

func testBounded(t *testing.T, name string, op hcstest.Op) {
	t.Helper()
	hcs := hcstest.New(t, chaosPrograms...)
	pid := orphan(t, hcs, "left", hyperv("idle"))
	e := newEngine(t, hcs,
		libcontainerd.WithCallTimeout(callLimit), libcontainerd.WithShutdownTimeout(shutdownLimit),
		libcontainerd.WithTerminateTimeout(terminateLimit), libcontainerd.WithGrace(graceLimit))
	terminal := hyperv("idle")
	terminal.Process.Terminal = true
	for _, id := range []string{"busy", "paused", "other"} {
		must(t, e.Create(id, terminal))
		console := exec("idle")
		console.Terminal = true
		must(t, e.AddProcess(id, map[string]string{"busy": "p1", "paused": "p3", "other": "p4"}[id], console))
	}
	must(t, e.Pause("paused"))
	synctest.Wait()

	hung := hcs.Hang(op, "")
	methods := boundedMethods(t, pid)
	method := methods[slices.IndexFunc(methods, func(m boundedMethod) bool { return m.name == name })]
	answered := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(answered)
		method.call(e) // with an error or without
	}()
	synctest.Wait()

	if op != everything {
		testOthersMeanwhile(t, e, methods, name, op)
	}
	if took := time.Since(began); took != 0 {
		t.Errorf("other calls were held up for %v", took)
	}

	<-answered
	if took := time.Since(began); took > method.limit {
		t.Errorf("it took %v, its limit is %v", took, method.limit)
	}

	hung.Release()
	time.Sleep(time.Hour)
	for _, id := range []string{"new", "busy", "paused", "other", "left"} {
		e.Signal(id, 9)
	}
	time.Sleep(time.Hour)
	e.Reconcile(t.Context(), libcontainerd.DefaultOwner)
	synctest.Wait()
	for _, s := range list(t, hcs) {
		t.Errorf("left: %v", s)
	}
	e.checkExits(t)
}

// testOthersMeanwhile makes calls on the same container and on another one, none
// of which asks HCS for what hangs.
func testOthersMeanwhile(t *testing.T, e *engine, methods []boundedMethod, name string, op hcstest.Op) {
	t.Helper()
	for _, m := range methods {
		if m.name == name || !m.harmless() || slices.Contains(m.asks, op) {
			continue
		}
		if err := m.call(e); err != nil && !slices.Contains([]string{"Signal 15", "Signal 9"}, name) {
			t.Errorf("%s meanwhile: %v", m.name, err)
		}
	}
	if runs := !slices.Contains([]string{"Signal 9", "Signal 15", "Pause"}, name); runs && !slices.Contains(execs, op) {
		must(t, e.AddProcess("busy", "p5", exec("idle")))
		must(t, e.SignalProcess("busy", "p5", 0))
	}
	other := func(what string, op2 hcstest.Op, call func() error) {
		if op == op2 {
			return
		}
		if err := call(); err != nil {
			t.Errorf("%s of another container meanwhile: %v", what, err)
		}
	}
	other("stats", hcstest.OpStatistics, func() error { _, err := e.Stats("other"); return err })
	other("resize", hcstest.OpResizeConsole, func() error { return e.Resize("other", "p4", 80, 25) })
	other("signal", hcstest.OpTerminate, func() error { return e.Signal("other", 9) })
}

// harmless reports whether calling the method changes nothing for other methods.
func (m boundedMethod) harmless() bool {
	return slices.Contains([]string{"Signal 0", "Resize", "Stats", "GetPidsForContainer", "Summary", "UpdateResources"}, m.name)
}
