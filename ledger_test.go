package libcontainerd_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/sirupsen/logrus"
)

// ledger is a Backend that keeps the books of many containers and forgets those
// that are settled: which process owes an exit, which has had it, and in which
// order. Whatever is not as it must be becomes an entry of errs.
type ledger struct {
	libcontainerd.Client

	// onState and onAttach are called besides, with no lock held; nil: nothing.
	onState  func(id string, info libcontainerd.StateInfo) error
	onAttach func(name string, pipe libcontainerd.IOPipe) error

	readers sync.WaitGroup // that read output

	mu       sync.Mutex // guards following
	accounts map[string]*account
	errs     []error
	figures  figures
}

// figures count what happened.
type figures struct {
	Lives, FailedCreates, Starts, Restarts, Exits, BrokenExits int
	Execs, FailedExecs, ExecExits                              int
	Left, ExecsLeft, Restored, Reattached, Reconciled          int // by the death of an engine, and what became of it
	Faults, ServiceLosses                                      int
}

func (f *figures) add(g figures) {
	sum, part := reflect.ValueOf(f).Elem(), reflect.ValueOf(g)
	for i := range sum.NumField() {
		sum.Field(i).SetInt(sum.Field(i).Int() + part.Field(i).Int())
	}
}

// account is what the ledger knows of one container.
type account struct {
	stage  stage
	pid    uint32 // of the init process
	starts int
	inside bool // a callback runs
	execs  map[string]*entry
	gone   chan struct{} // closed by StateExit, new with each StateStart
}

// stage is where the events have brought a container.
type stage string

const (
	down    stage = "down"
	up      stage = "up"
	pending stage = "to be restarted"
)

// entry is one exec'd process.
type entry struct {
	added bool // AddProcess returned nil
	exits int
}

// newLedger returns a ledger whose client uses service, with a logger that keeps
// silent.
func newLedger(service libcontainerd.ComputeService, options ...libcontainerd.RemoteOption) (*ledger, error) {
	l := &ledger{accounts: make(map[string]*account)}
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	client, err := libcontainerd.NewClient(l, append([]libcontainerd.RemoteOption{
		libcontainerd.WithComputeService(service),
		libcontainerd.WithLogger(logrus.NewEntry(silent)),
	}, options...)...)
	l.Client = client
	return l, err
}

// open begins the account of a container, before its Create.
func (l *ledger) open(id string) *account {
	a := &account{stage: down, execs: make(map[string]*entry), gone: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts[id] = a
	return a
}

// create is Create, whose result must agree with the events.
func (l *ledger) create(id string, spec libcontainerd.Spec, options ...libcontainerd.CreateOption) error {
	err := l.Create(id, spec, options...)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	l.figures.Lives++
	switch {
	case err != nil && a.stage == down:
		l.figures.FailedCreates++
	case err != nil && a.stage == up && a.pid == 0: // the start was refused
		a.stage = down
		l.figures.FailedCreates++
	case err != nil:
		l.fault(id, "create failed, but the container is %s: %v", a.stage, err)
	case a.starts == 0:
		l.fault(id, "create returned before the start was heard of")
	}
	return err
}

// exec is AddProcess; a name is used only once in the life of a container.
func (l *ledger) exec(id, name string, process libcontainerd.Process) error {
	e := new(entry)
	l.mu.Lock()
	l.accounts[id].execs[name] = e
	l.mu.Unlock()
	err := l.AddProcess(id, name, process)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		e.added = true
		l.figures.Execs++
	} else {
		l.figures.FailedExecs++
	}
	return err
}

// settle ends the account of a container that is down. Every event of its that
// may come later is one too many.
func (l *ledger) settle(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	if a.stage != down {
		l.fault(id, "lost: it never exited, and is %s", a.stage)
	}
	for name, e := range a.execs {
		switch {
		case e.added && e.exits != 1:
			l.fault(id, "process %s has %d exits, want 1", name, e.exits)
		case !e.added && e.exits != 0:
			l.fault(id, "process %s was not added but has %d exits", name, e.exits)
		}
	}
	delete(l.accounts, id)
}

// fault is called with l.mu held.
func (l *ledger) fault(id, format string, args ...any) {
	const most = 50
	if len(l.errs) < most {
		l.errs = append(l.errs, fmt.Errorf("%s: "+format, slices.Insert(args, 0, any(id))...))
	}
}

// verdict is all that was not as it must be.
func (l *ledger) verdict() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

func (l *ledger) StateChanged(id string, info libcontainerd.StateInfo) error {
	l.enter(id, info)
	var err error
	if l.onState != nil {
		err = l.onState(id, info)
	}
	l.leave(id, info, err)
	return err
}

// enter books an event.
func (l *ledger) enter(id string, info libcontainerd.StateInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.accounts[id]
	if !ok {
		l.fault(id, "%s when all was settled: %+v", info.State, info)
		return
	}
	if a.inside {
		l.fault(id, "%s while another callback runs", info.State)
	}
	a.inside = true
	switch info.State {
	case libcontainerd.StateStart, libcontainerd.StateRestore:
		if a.stage == up {
			l.fault(id, "%s of a container that runs", info.State)
		}
		if info.Pid == 0 {
			l.fault(id, "%s without a pid", info.State)
		}
		if a.stage == down {
			a.gone = make(chan struct{})
		}
		a.stage, a.pid = up, info.Pid
		a.starts++
		if info.State == libcontainerd.StateStart {
			l.figures.Starts++
		} else {
			l.figures.Reattached++
		}
	case libcontainerd.StateExit, libcontainerd.StateRestart:
		l.ended(id, a, info)
	case libcontainerd.StateExitProcess:
		l.execEnded(id, a, info)
	case libcontainerd.StatePause, libcontainerd.StateResume:
		if a.stage != up {
			l.fault(id, "%s of a container that is %s", info.State, a.stage)
		}
	default:
		l.fault(id, "state %q", info.State)
	}
}

// ended books the end of one incarnation; l.mu is held.
func (l *ledger) ended(id string, a *account, info libcontainerd.StateInfo) {
	switch {
	case a.stage == down && info.Pid == 0 && info.ExitCode == 1<<31: // that is Restore's
		l.figures.Restored++
		return
	case a.stage == down:
		l.fault(id, "%s of a container that is down: %+v", info.State, info)
	case a.stage == pending && info.State == libcontainerd.StateRestart:
		l.fault(id, "restart without a start")
	case a.stage == up && info.Pid != a.pid:
		l.fault(id, "%s of pid %d, want %d", info.State, info.Pid, a.pid)
	}
	if info.ProcessID != libcontainerd.InitFriendlyName {
		l.fault(id, "%s of process %q", info.State, info.ProcessID)
	}
	for name, e := range a.execs {
		if e.added && e.exits == 0 {
			l.fault(id, "%s before the exit of %s", info.State, name)
		}
	}
	l.checkCode(id, info)
	if info.State == libcontainerd.StateRestart {
		a.stage = pending
		l.figures.Restarts++
		return
	}
	a.stage, a.pid = down, 0
	l.figures.Exits++
	if info.Err != nil {
		l.figures.BrokenExits++
	}
}

// execEnded books the exit of an exec'd process; l.mu is held.
func (l *ledger) execEnded(id string, a *account, info libcontainerd.StateInfo) {
	l.figures.ExecExits++
	if a.stage != up {
		l.fault(id, "exit of %s in a container that is %s", info.ProcessID, a.stage)
	}
	e, ok := a.execs[info.ProcessID]
	if !ok {
		l.fault(id, "exit of %s, which nobody added", info.ProcessID)
		return
	}
	e.exits++
	if e.exits > 1 {
		l.fault(id, "exit %d of %s", e.exits, info.ProcessID)
	}
	l.checkCode(id, info)
}

// checkCode checks an exit code: none of the programs used here succeeds, so a 0
// would be made up. l.mu is held.
func (l *ledger) checkCode(id string, info libcontainerd.StateInfo) {
	switch {
	case info.ExitCode == 0:
		l.fault(id, "false success of %s: %+v", info.ProcessID, info)
	case info.ExitCode == libcontainerd.UnknownExitCode && info.Err == nil:
		l.fault(id, "exit of %s is unknown for no reason: %+v", info.ProcessID, info)
	case info.ExitedAt.IsZero():
		l.fault(id, "exit of %s at no time: %+v", info.ProcessID, info)
	}
}

// leave ends a callback.
func (l *ledger) leave(id string, info libcontainerd.StateInfo, refusal error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.accounts[id]
	if !ok {
		return
	}
	a.inside = false
	switch {
	case info.State == libcontainerd.StateStart && refusal != nil:
		a.pid = 0
	case info.State == libcontainerd.StateExit && a.stage == down:
		select {
		case <-a.gone: // the exit was one too many
		default:
			close(a.gone)
		}
	}
}

// AttachStreams reads all output, unless onAttach refuses.
func (l *ledger) AttachStreams(name string, pipe libcontainerd.IOPipe) error {
	if l.onAttach != nil {
		if err := l.onAttach(name, pipe); err != nil {
			return err
		}
	}
	for _, r := range []io.Reader{pipe.Stdout, pipe.Stderr} {
		if r != nil {
			l.readers.Go(func() { io.Copy(io.Discard, r) })
		}
	}
	return nil
}

// awaitGone waits for StateExit, for no longer than limit.
func (l *ledger) awaitGone(a *account, limit time.Duration) bool {
	l.mu.Lock()
	gone := a.gone
	l.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-gone:
		return true
	case <-timer.C:
		return false
	}
}
