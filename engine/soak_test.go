package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// TestSoak uses an engine at random from many goroutines, with contexts that end at
// any moment, on an HCS that is slow and fails. Nothing is lost, doubled or left
// over. ENGINE_SOAK sets how many calls each round makes; there is one round per
// 2,000 calls.
func TestSoak(t *testing.T) {
	const perRound = 2000
	calls := perRound
	if text := os.Getenv("ENGINE_SOAK"); text != "" {
		var err error
		calls, err = strconv.Atoi(text)
		must(t, err)
	}
	for round := range (calls + perRound - 1) / perRound {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) { soak(t, seed, perRound) })
		})
		if t.Failed() {
			return
		}
	}
}

const soakWorkers, soakIDs = 8, 5

func soak(t *testing.T, seed uint64, calls int) {
	svc := hcstest.New(t, forever(), hcstest.WithCallLimit(0))
	eng := newEngine(t, svc)
	svc.OnCall("", faults(seed))
	heard := make(chan *soakLedger)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { heard <- readEvents(ctx, t, eng) }()
	var workers sync.WaitGroup
	for i := range soakWorkers {
		w := &soakWorker{t: t, eng: eng, rand: rand.New(rand.NewPCG(seed, uint64(i+1))), logs: t.TempDir()}
		workers.Go(func() {
			for range calls / soakWorkers {
				w.act()
			}
		})
	}
	workers.Wait()
	svc.Heal()
	svc.OnCall("", func(hcstest.Call) *hcstest.Fault { return nil })
	for _, c := range eng.Containers() {
		if err := c.Kill(t.Context()); err != nil && !errors.Is(err, libcontainerd.ErrMayStillRun) {
			t.Errorf("kill of %s: %v", c.ID(), err)
		}
		mustWait(t, c)
	}
	time.Sleep(time.Hour) // what was given up is undone
	for _, c := range eng.Containers() {
		if phase := c.Status().Phase; phase != engine.PhaseExited {
			t.Errorf("%s is %v", c.ID(), phase)
		}
	}
	cancel()
	ledger := <-heard
	for id, state := range ledger.up {
		t.Errorf("%s was left as %q", id, state)
	}
	for name := range ledger.execs {
		t.Errorf("the exit of %s is missing", name)
	}
	if ledger.lives < 10 {
		t.Errorf("only %d lives", ledger.lives)
	}
	if err := svc.Settle(time.Hour); err != nil {
		t.Error(err)
	}
}

// faults makes HCS slow, and fail now and then.
func faults(seed uint64) func(hcstest.Call) *hcstest.Fault {
	var mu sync.Mutex // guards following
	r := rand.New(rand.NewPCG(seed, 0))
	return func(call hcstest.Call) *hcstest.Fault {
		switch call.Op {
		case hcstest.OpWait, hcstest.OpWaitProcess, hcstest.OpClose, hcstest.OpCloseProcess, hcstest.OpHost, hcstest.OpPid, hcstest.OpList:
			return nil
		default:
		}
		mu.Lock()
		defer mu.Unlock()
		fault := &hcstest.Fault{Delay: time.Duration(r.IntN(100)) * time.Millisecond}
		switch r.IntN(60) {
		case 0:
			fault.Err = libcontainerd.CodeAccessDenied
		case 1:
			fault.Delay = time.Duration(r.IntN(60)) * time.Second
		}
		return fault
	}
}

// soakLedger is what the events have told.
type soakLedger struct {
	up    map[string]engine.EventType // containers that have started and not exited
	execs map[string]bool             // exec'd processes that run
	lives int
}

// readEvents follows the events, and finds those that may not come.
func readEvents(ctx context.Context, t *testing.T, eng *engine.Engine) *soakLedger {
	l := &soakLedger{up: make(map[string]engine.EventType), execs: make(map[string]bool)}
	last := eng.LastEvent()
	for event := range eng.Events(ctx, last+1) {
		if event.Seq != last+1 {
			t.Errorf("event %d follows %d", event.Seq, last)
		}
		last = event.Seq
		l.note(t, event)
	}
	return l
}

func (l *soakLedger) note(t *testing.T, event engine.Event) {
	state, up := l.up[event.ContainerID]
	wrong := false
	switch event.Type {
	case engine.EventStart:
		wrong = up && state != engine.EventRestart
		l.up[event.ContainerID] = event.Type
		l.lives++
	case engine.EventPause:
		wrong = state != engine.EventStart && state != engine.EventResume
		l.up[event.ContainerID] = event.Type
	case engine.EventResume:
		wrong = state != engine.EventPause
		l.up[event.ContainerID] = event.Type
	case engine.EventRestart:
		wrong = !up || state == engine.EventRestart
		l.up[event.ContainerID] = event.Type
	case engine.EventExit: // also of one that could not be started
		delete(l.up, event.ContainerID)
	case engine.EventRemove:
		wrong = up
	case engine.EventExecStart, engine.EventExecExit:
		name := event.ContainerID + "/" + event.Process
		start := event.Type == engine.EventExecStart
		wrong = l.execs[name] == start || start && !up
		if delete(l.execs, name); start {
			l.execs[name] = true
		}
	default: // the others say nothing of a run
	}
	if wrong {
		t.Errorf("%s %s/%s comes after %q", event.Type, event.ContainerID, event.Process, state)
	}
}

// soakWorker makes random calls.
type soakWorker struct {
	t    *testing.T
	eng  *engine.Engine
	rand *rand.Rand
	logs string // their folder
	runs int
}

func (w *soakWorker) act() {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(w.rand.IntN(1500))*time.Millisecond)
	defer cancel()
	id := fmt.Sprint("c", w.rand.IntN(soakIDs))
	c, err := w.eng.Container(id)
	if err != nil || w.rand.IntN(4) == 0 {
		w.run(ctx, id)
		return
	}
	switch w.rand.IntN(12) {
	case 0:
		w.check("stop", c.Stop(ctx, time.Duration(w.rand.IntN(3)-1)*time.Second))
	case 1:
		w.check("kill", c.Kill(ctx))
	case 2:
		w.check("pause", c.Pause(ctx))
		w.check("resume", c.Resume(ctx))
	case 3, 4, 5:
		w.exec(ctx, c)
	case 6:
		_, err = c.Stats(ctx)
		w.check("stats", err)
	case 7:
		_, err = c.Processes(ctx)
		w.check("processes", err)
	case 8:
		_, err = c.Wait(ctx)
		w.check("wait", err)
	case 9:
		w.check("remove", c.Remove(ctx))
	case 10:
		for _, err := range c.Logs(ctx, engine.LogQuery{Tail: 3, Follow: true}) {
			w.check("logs", err)
		}
	case 11:
		w.check("resize", c.Resize(ctx, 80, 25))
	}
}

func (w *soakWorker) run(ctx context.Context, id string) {
	args := [][]string{{"forever"}, {"cmd", "/c", "echo hello& exit 3"}, {"cmd", "/c", "exit 0"}, idle}
	s := spec(args[w.rand.IntN(len(args))]...)
	if w.rand.IntN(2) == 0 {
		s = hyperv(args[w.rand.IntN(len(args))]...)
	}
	policies := []engine.RestartPolicy{engine.Never(), engine.OnFailure(2), engine.UnlessStopped(), engine.Always()}
	options := []engine.RunOption{engine.WithRestart(policies[w.rand.IntN(len(policies))])}
	if w.rand.IntN(2) == 0 {
		options = append(options, engine.WithAutoRemove())
	}
	if w.rand.IntN(2) == 0 {
		w.runs++ // each container has another log file
		path := filepath.Join(w.logs, strconv.Itoa(w.runs))
		options = append(options, engine.WithLogFile(path, engine.LogOptions{MaxSize: 200, MaxFiles: 2}))
	}
	var output bytes.Buffer
	options = append(options, engine.WithStdio(nil, &output, &output))
	_, err := w.eng.Run(ctx, id, s, options...)
	w.check("run", err)
}

func (w *soakWorker) exec(ctx context.Context, c *engine.Container) {
	var output bytes.Buffer
	options := []engine.RunOption{engine.WithStdio(nil, &output, &output)}
	if w.rand.IntN(3) == 0 {
		options = append(options, engine.WithName("health"))
	}
	args := [][]string{{"forever"}, {"cmd", "/c", "echo hello& exit 3"}}
	p, err := c.Exec(ctx, libcontainerd.Process{Args: args[w.rand.IntN(2)]}, options...)
	w.check("exec", err)
	if err != nil {
		return
	}
	switch w.rand.IntN(3) {
	case 0:
		w.check("kill of a process", p.Kill(ctx))
	case 1:
		if exit, err := p.Wait(ctx); err == nil && exit.Code == 3 && exit.Err == nil && output.String() != "hello\r\n" {
			w.t.Errorf("output %q of %+v", &output, exit)
		}
	}
}

// check accepts the errors that a caller must expect here.
func (w *soakWorker) check(what string, err error) {
	switch {
	case err == nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, libcontainerd.CodeAccessDenied),
		errors.Is(err, libcontainerd.ErrMayStillRun),
		errdefs.IsAlreadyExists(err), errdefs.IsNotFound(err), errdefs.IsFailedPrecondition(err),
		errdefs.IsNotImplemented(err), errdefs.IsAborted(err), what == "resize" && errdefs.IsInvalidArgument(err):
		return
	}
	w.t.Errorf("%s: %v", what, err)
}
