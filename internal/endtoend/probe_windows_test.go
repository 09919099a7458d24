package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// A probe asks a question that only a real host can answer, and writes the answer
// down as JSON. A probe fails only if it cannot ask.
//
// probe returns a function that writes the answer.
func probe(t *testing.T) (h *host, write func(answer any)) {
	t.Helper()
	folder := os.Getenv("LIBCONTAINERD_PROBES")
	if folder == "" {
		t.Skip("LIBCONTAINERD_PROBES=FOLDER says where the answers go")
	}
	h = anyHCS(t)
	return h, func(answer any) {
		t.Helper()
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "\t")
		if err := encoder.Encode(answer); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, t.Name()+".json"), text.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", text.String())
	}
}

// message is the text of an error in an answer.
func message(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%+v", err)
}

// ending is how a process ended.
type ending struct {
	Code    string
	Name    string `json:",omitempty"`
	Error   string `json:",omitempty"`
	Seconds float64
}

func endingOf(info libcontainerd.StateInfo, since time.Time) ending {
	return ending{
		Code:    fmt.Sprintf("0x%08X", info.ExitCode),
		Name:    libcontainerd.ExitName(info.ExitCode),
		Error:   message(info.Err),
		Seconds: time.Since(since).Seconds(),
	}
}

// TestProbeLayerIDs: which ids NameToGuid gives for fixed names. If the rule were
// known, the simulator and the client could compute them.
func TestProbeLayerIDs(t *testing.T) {
	_, write := probe(t)
	service, err := libcontainerd.HostService()
	if err != nil {
		t.Fatal(err)
	}
	answer := make(map[string]string)
	for _, name := range []string{
		"a", "A", "base", "layer", "Layer", "web1", "with blank", "é", `C:\layers\base`, strings.Repeat("x", 300),
		"66d1ef4c-7a00-11e6-8948-00155ddbef9d", "{66d1ef4c-7a00-11e6-8948-00155ddbef9d}",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	} {
		id, err := service.LayerID(name)
		if err != nil {
			id = message(err)
		}
		answer[name] = id
	}
	write(answer)
}

// TestProbeEndings: which exit codes Windows gives to processes that are ended
// from outside, and how long the end takes.
func TestProbeEndings(t *testing.T) {
	h, write := probe(t)
	e := newEngine(t)
	answer := make(map[string]ending)
	for name, signal := range map[string]int{"terminated": libcontainerd.SignalKill, "shut-down": libcontainerd.SignalTerminate} {
		e.create(t, name, h.spec(t, name, "cmd"))
		e.exec(t, name, name+"-exec", "cmd")
		asked := time.Now()
		if err := e.Signal(name, signal); err != nil {
			t.Error(err)
		}
		answer[name] = endingOf(e.await(t, name, libcontainerd.StateExit), asked)
		answer[name+", an exec"] = endingOf(e.await(t, name, libcontainerd.StateExitProcess), asked)
	}
	e.create(t, "killed", h.spec(t, "killed", "cmd"))
	e.exec(t, "killed", "exec", "cmd")
	asked := time.Now()
	if err := e.SignalProcess("killed", "exec", libcontainerd.SignalKill); err != nil {
		t.Error(err)
	}
	answer["killed exec"] = endingOf(e.await(t, "killed", libcontainerd.StateExitProcess), asked)
	e.kill(t, "killed")
	write(answer)
}

// TestProbeClosedTerminal: what happens to a program with a terminal whose input
// is closed at once, as docker run -t without -i and -d closes it.
func TestProbeClosedTerminal(t *testing.T) {
	h, write := probe(t)
	e := newEngine(t)
	type outcome struct {
		ending
		Output string
	}
	answer := make(map[string]outcome)
	for name, terminal := range map[string]bool{"terminal": true, "pipes": false} {
		spec := h.spec(t, name, "cmd")
		spec.Process.Terminal = terminal
		spec.Process.InitialConsoleSize = [2]int{25, 80}
		e.create(t, name, spec)
		asked := time.Now()
		if err := e.stdin(name).Close(); err != nil {
			t.Log(err)
		}
		if !e.hasExited(name, 20*time.Second) {
			answer[name] = outcome{ending: ending{Error: "it runs on"}}
			e.kill(t, name)
			continue
		}
		info := e.await(t, name, libcontainerd.StateExit)
		answer[name] = outcome{endingOf(info, asked), e.output(name)}
	}
	write(answer)
}

// hasExited waits a while for the exit of a container, and reports whether it came.
func (e *engine) hasExited(id string, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if strings.Contains(e.trace(id), libcontainerd.StateExit+" ") {
			return true
		}
	}
	return false
}

// TestProbeCallTimes: how long each call into HCS takes, one container at a time.
func TestProbeCallTimes(t *testing.T) {
	h, write := probe(t)
	var mu sync.Mutex // guards following
	times := make(map[string][]time.Duration)
	e := newEngine(t, libcontainerd.WithObserver(func(op libcontainerd.Operation) {
		mu.Lock()
		defer mu.Unlock()
		name := op.Op
		if op.Err != nil {
			name += ", failed"
		}
		times[name] = append(times[name], op.Duration)
	}))
	for i := range 10 {
		id := fmt.Sprint("timed", i)
		began := time.Now()
		spec, unmount := h.mount(t, id, "cmd")
		mu.Lock()
		times["mount of the layers"] = append(times["mount of the layers"], time.Since(began))
		mu.Unlock()
		e.create(t, id, spec)
		e.exec(t, id, "exec-"+id, "cmd", "/c", "exit 0")
		e.await(t, id, libcontainerd.StateExitProcess)
		_, statsErr := e.Stats(id)
		_, listErr := e.Summary(id)
		if err := errors.Join(statsErr, listErr); err != nil {
			t.Error(err)
		}
		if i%2 == 0 {
			e.kill(t, id)
		} else if err := e.Signal(id, libcontainerd.SignalTerminate); err != nil {
			t.Error(err)
		}
		e.await(t, id, libcontainerd.StateExit)
		unmount()
	}
	mu.Lock()
	defer mu.Unlock()
	answer := make(map[string]map[string]any)
	for op, all := range times {
		slices.Sort(all)
		answer[op] = map[string]any{
			"calls": len(all), "least": all[0].String(), "median": all[len(all)/2].String(), "most": all[len(all)-1].String(),
		}
	}
	write(answer)
}

// TestProbeSharedStatistics: how often HCS is asked when many ask for the
// statistics of one container at the same time, and how long one answer takes.
func TestProbeSharedStatistics(t *testing.T) {
	h, write := probe(t)
	var mu sync.Mutex // guards following
	asked := 0
	e := newEngine(t, libcontainerd.WithObserver(func(op libcontainerd.Operation) {
		mu.Lock()
		defer mu.Unlock()
		if op.Op == libcontainerd.OpStats {
			asked++
		}
	}))
	e.create(t, "web", h.spec(t, "web", "cmd"))
	const askers, questions = 50, 10
	var all sync.WaitGroup
	start := time.Now()
	for range askers {
		all.Go(func() {
			for range questions {
				if _, err := e.Stats("web"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	e.kill(t, "web")
	mu.Lock()
	defer mu.Unlock()
	write(map[string]any{"questions": askers * questions, "asked of HCS": asked, "all took": took.String()})
}

// TestProbeDeadEngine: what happens to a container and its streams when the
// process of its engine is killed. The engine is a second process of the test
// binary. The program in the container writes the results of its writes into a
// folder of the host.
func TestProbeDeadEngine(t *testing.T) {
	h, write := probe(t)
	if file := os.Getenv(engineOrders); file != "" {
		beAnEngine(t, file)
	}
	shared := t.TempDir()
	id := "dead-engine"
	spec := h.spec(t, id)
	folder := shared
	if h.isReal() {
		folder = `C:\shared`
		spec.Mounts = append(spec.Mounts, libcontainerd.Mount{Source: shared, Destination: folder})
	}
	spec.Process.Args = []string{h.inside(t, "talk") + " " + filepath.Join(folder, "writes.txt")}
	orders := filepath.Join(shared, "orders.json")
	writeOrders(t, orders, engineOrder{id, spec})

	engine := exec.Command(executable(t), "-test.run=^TestProbeDeadEngine$", "-test.v")
	engine.Env = append(os.Environ(), engineOrders+"="+orders)
	var said strings.Builder
	engine.Stdout, engine.Stderr = &said, &said
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	answer := map[string]any{}
	answer["container wrote before"] = eventuallyWritten(filepath.Join(shared, "writes.txt"), 30*time.Second)
	if err := engine.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = engine.Wait()
	answer["the engine said"] = said.String()
	time.Sleep(5 * time.Second)
	writes, err := os.ReadFile(filepath.Join(shared, "writes.txt"))
	answer["what its writes came to"], answer["no record"] = strings.Split(strings.TrimSpace(string(writes)), "\n"), message(err)
	answer["what is left of it"] = leftOfIt(t, id)
	write(answer)
}

const engineOrders = "LIBCONTAINERD_PROBE_ORDERS"

// engineOrder says what the engine that dies runs.
type engineOrder struct {
	ID   string
	Spec libcontainerd.Spec
}

func writeOrders(t *testing.T, file string, order engineOrder) {
	t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

// beAnEngine runs a container until the process is ended.
func beAnEngine(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var order engineOrder
	if err := json.Unmarshal(text, &order); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t)
	e.create(t, order.ID, order.Spec)
	e.await(t, order.ID, libcontainerd.StateExit)
	t.Fatalf("the container has ended first: %s", e.output(order.ID))
}

func eventuallyWritten(file string, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
			return true
		}
	}
	return false
}

// leftOfIt inspects a container that an engine left, reads its output, and ends it.
func leftOfIt(t *testing.T, id string) map[string]any {
	t.Helper()
	service, err := libcontainerd.HostService()
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[string]any)
	system, err := service.OpenComputeSystem(id)
	if err != nil {
		left["open"] = message(err)
		return left
	}
	defer system.Close()
	processes, err := system.ProcessList()
	left["processes"], left["no list"] = processes, message(err)
	for _, p := range processes {
		left[fmt.Sprintf("streams of %d %s", p.Pid, p.ImageName)] = readLeftOver(system, p.Pid)
	}
	left["terminate"] = message(system.Terminate())
	left["wait"] = message(system.Wait())
	return left
}

// readLeftOver opens a process and reads its stdout for a second.
func readLeftOver(system libcontainerd.ComputeSystem, pid uint32) string {
	process, err := system.OpenProcess(pid)
	if err != nil {
		return message(err)
	}
	defer process.Close()
	stdin, stdout, stderr, err := process.Stdio()
	if err != nil {
		return message(err)
	}
	for _, end := range []io.Closer{stdin, stderr} {
		if end != nil {
			defer end.Close()
		}
	}
	if stdout == nil {
		return "no stdout"
	}
	timer := time.AfterFunc(time.Second, func() { stdout.Close() })
	defer timer.Stop()
	text, err := io.ReadAll(io.LimitReader(stdout, 1000))
	return fmt.Sprintf("%q %s", text, message(err))
}
