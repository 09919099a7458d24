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
// order all callbacks begin, those of AttachStreams included. Whatever is not as it
// must be becomes an entry of errs.
type ledger struct {
	libcontainerd.Client

	// onState and onAttach are called besides, with no lock held; nil: nothing. They
	// may panic where the caller of the client recovers.
	onState  func(id string, info libcontainerd.StateInfo) error
	onAttach func(name string, pipe libcontainerd.IOPipe) error

	readers sync.WaitGroup // that read output

	mu       sync.Mutex // guards following
	accounts map[string]*account
	errs     []error
	figures  figures
	closing  bool // Close has begun: exits are no longer owed
	closed   bool // Close has returned: no callback may begin
	overdue  int  // callbacks that began all the same
}

// figures count what happened.
type figures struct {
	Lives, FailedCreates, Starts, Restarts, Exits, BrokenExits int
	Execs, FailedExecs, ExecExits                              int
	Left, ExecsLeft, Restored, Reattached, Reconciled          int // by the death of an engine, and what became of it
	Faults, ServiceLosses, Switches, Panics, Violations        int
}

func (f *figures) add(g figures) {
	sum, part := reflect.ValueOf(f).Elem(), reflect.ValueOf(g)
	for i := range sum.NumField() {
		sum.Field(i).SetInt(sum.Field(i).Int() + part.Field(i).Int())
	}
}

// account is what the ledger knows of one container.
type account struct {
	crowd  bool // several create it at a time: what Create answers tells nothing of the stage
	stage  stage
	life   int    // counts those that have begun, restarts included
	paused bool   //
	pid    uint32 // of the init process
	starts int
	again  bool // this life follows a restart, so that an exit ends it in any case
	inside int  // the life of which a callback of StateChanged runs, 0: none does
	execs  map[string]*entry
	gone   chan struct{} // closed by StateExit, new with each StateStart
}

// stage is where the callbacks have brought a container.
type stage string

const (
	down    stage = "down"
	handed  stage = "about to start" // its streams are handed over
	up      stage = "up"
	refused stage = "refused" // streams or start: the end of Create or of the restart follows
	pending stage = "to be restarted"
)

// entry is one exec'd process.
type entry struct {
	added    bool // AddProcess returned nil
	attached bool
	life     int // in which it was attached
	exits    int
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

// create is Create, whose result must agree with the callbacks.
func (l *ledger) create(id string, spec libcontainerd.Spec, options ...libcontainerd.CreateOption) error {
	err := l.recovered(func() error { return l.Create(id, spec, options...) })
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	if a.crowd {
		return err
	}
	l.figures.Lives++
	switch {
	case err == nil && a.starts == 0:
		l.fault(id, "create returned before the start was reported")
	case err == nil:
	case a.stage == down, a.stage == handed, a.stage == refused:
		l.checkOwed(id, a, "the failure of create")
		a.stage = down
		l.figures.FailedCreates++
	case !l.closing:
		l.fault(id, "create failed, but the container is %s: %v", a.stage, err)
	}
	return err
}

// errPanicked is what a call of the client comes to whose callback panicked.
var errPanicked = errors.New("the backend panicked")

// recovered calls f as an engine does that recovers from its own panics.
func (l *ledger) recovered(f func() error) (err error) {
	defer func() {
		switch what := recover(); what {
		case nil:
		case errPanicked:
			l.mu.Lock()
			l.figures.Panics++
			l.mu.Unlock()
			err = errPanicked
		default:
			panic(what)
		}
	}()
	return f()
}

// exec is AddProcess; a name is used only once in the lives of a container.
func (l *ledger) exec(id, name string, process libcontainerd.Process) error {
	e := new(entry)
	l.mu.Lock()
	a, ok := l.accounts[id]
	if !ok {
		l.mu.Unlock()
		return errWhim // it is settled
	}
	a.execs[name] = e
	l.mu.Unlock()
	err := l.recovered(func() error { return l.AddProcess(id, name, process) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.figures.FailedExecs++
		if e.exits > 0 {
			l.fault(id, "process %s was not added but has %d exits: %v", name, e.exits, err)
		}
		return err
	}
	e.added = true
	l.figures.Execs++
	over := a.life != e.life || a.stage != handed && a.stage != up && a.stage != refused
	if e.exits == 0 && over && !l.closing {
		l.fault(id, "process %s was added but has no exit, and its container is over", name)
	}
	return nil
}

// checkOwed faults the exits that should have come before what; l.mu is held.
func (l *ledger) checkOwed(id string, a *account, what string) {
	for name, e := range a.execs {
		switch {
		case e.added && e.exits == 0 && !l.closing:
			l.fault(id, "%s before the exit of %s", what, name)
			delete(a.execs, name) // once is enough
		case e.added && e.exits == 1:
			if a.crowd {
				delete(a.execs, name) // there are too many
			}
		}
	}
}

// Close closes the client, after which no callback may begin.
func (l *ledger) Close() error {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	err := l.Client.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return err
}

// settle ends the account of a container that is down. Each event that comes later is
// one too many.
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
	l.figures.Violations++
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

func (l *ledger) StateChanged(id string, info libcontainerd.StateInfo) (err error) {
	life, gone := l.enter(id, info)
	err = errPanicked // if onState does not return
	defer func() { l.leave(id, info, life, gone, err) }()
	if l.onState == nil {
		err = nil
		return err
	}
	err = l.onState(id, info)
	return err
}

// begin finds the account of a callback that begins, nil if there is none; l.mu is
// held.
func (l *ledger) begin(id, what string) *account {
	if l.closed {
		l.overdue++
		l.fault(id, "%s after Close had returned", what)
	}
	a, ok := l.accounts[id]
	if !ok {
		l.fault(id, "%s when all was settled", what)
	}
	return a
}

// enter books an event, and returns the life that it is of, and what is closed when
// its callback has returned if it is the exit.
func (l *ledger) enter(id string, info libcontainerd.StateInfo) (life int, gone chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.begin(id, info.State)
	if a == nil {
		return 0, nil
	}
	if a.isRestores(info) {
		a.life++ // it may be called from inside the exit of the former one
	}
	if a.inside == a.life {
		l.fault(id, "%s while another callback runs", info.State)
	}
	a.inside = a.life
	l.book(id, a, info)
	if info.State == libcontainerd.StateExit {
		gone = a.gone
	}
	return a.life, gone
}

// isRestores reports whether an event is the exit that Restore reports of a container
// which it does not take up.
func (a *account) isRestores(info libcontainerd.StateInfo) bool {
	idle := a.stage == down || !a.again && (a.stage == handed || a.stage == refused)
	return idle && info.State == libcontainerd.StateExit && info.Pid == 0 && info.ExitCode == libcontainerd.RestoreExitCode
}

// book is the part of enter that tells the states apart; l.mu is held.
func (l *ledger) book(id string, a *account, info libcontainerd.StateInfo) {
	switch info.State {
	case libcontainerd.StateStart, libcontainerd.StateRestore:
		l.started(id, a, info)
	case libcontainerd.StateExit, libcontainerd.StateRestart:
		l.ended(id, a, info)
	case libcontainerd.StateExitProcess:
		l.execEnded(id, a, info)
	case libcontainerd.StatePause, libcontainerd.StateResume:
		l.switched(id, a, info)
	default:
		l.fault(id, "state %q", info.State)
	}
}

// started books a start; l.mu is held.
func (l *ledger) started(id string, a *account, info libcontainerd.StateInfo) {
	if a.stage != handed {
		l.fault(id, "%s of a container that is %s", info.State, a.stage)
	}
	if info.Pid == 0 {
		l.fault(id, "%s without a pid", info.State)
	}
	if !a.again {
		a.gone = make(chan struct{})
	}
	a.stage, a.pid, a.paused = up, info.Pid, false
	a.starts++
	if info.State == libcontainerd.StateStart {
		l.figures.Starts++
	} else {
		l.figures.Reattached++
	}
}

// switched books a pause or a resume; l.mu is held.
func (l *ledger) switched(id string, a *account, info libcontainerd.StateInfo) {
	l.figures.Switches++
	pauses := info.State == libcontainerd.StatePause
	switch {
	case a.stage != up && a.stage != refused:
		l.fault(id, "%s of a container that is %s", info.State, a.stage)
	case info.Pid != a.pid:
		l.fault(id, "%s of pid %d, want %d", info.State, info.Pid, a.pid)
	case a.paused == pauses:
		l.fault(id, "%s of a container whose last was the same", info.State)
	}
	a.paused = pauses
}

// ended books the end of one incarnation; l.mu is held.
func (l *ledger) ended(id string, a *account, info libcontainerd.StateInfo) {
	l.checkOwed(id, a, info.State)
	switch {
	case a.isRestores(info):
		l.figures.Restored++
		a.stage = down
		return
	case a.stage == down, !a.again && (a.stage == handed || a.stage == refused):
		l.fault(id, "%s of a container that is %s: %+v", info.State, a.stage, info)
	case a.stage != up && info.State == libcontainerd.StateRestart:
		l.fault(id, "restart without a start")
	case a.stage == up && info.Pid != a.pid:
		l.fault(id, "%s of pid %d, want %d", info.State, info.Pid, a.pid)
	}
	if info.ProcessID != libcontainerd.InitFriendlyName {
		l.fault(id, "%s of process %q", info.State, info.ProcessID)
	}
	l.checkCode(id, info)
	if info.State == libcontainerd.StateRestart {
		a.stage = pending
		l.figures.Restarts++
		return
	}
	a.stage, a.pid, a.again = down, 0, false
	l.figures.Exits++
	if info.Err != nil {
		l.figures.BrokenExits++
	}
}

// execEnded books the exit of an exec'd process; l.mu is held.
func (l *ledger) execEnded(id string, a *account, info libcontainerd.StateInfo) {
	l.figures.ExecExits++
	if a.stage != up && a.stage != handed && a.stage != refused {
		l.fault(id, "exit of %s in a container that is %s", info.ProcessID, a.stage)
	}
	e, ok := a.execs[info.ProcessID]
	if !ok {
		l.fault(id, "exit of %s, which nobody added", info.ProcessID)
		return
	}
	if !e.attached {
		l.fault(id, "exit of %s before its streams", info.ProcessID)
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

// leave ends a callback of StateChanged, of that life.
func (l *ledger) leave(id string, info libcontainerd.StateInfo, life int, gone chan struct{}, refusal error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.accounts[id]
	if !ok {
		return
	}
	if a.inside == life {
		a.inside = 0
	}
	if info.State == libcontainerd.StateStart && refusal != nil && a.life == life && a.stage == up {
		a.stage = refused
	}
	if gone != nil && !isShut(gone) { // else the exit was one too many
		close(gone)
	}
}

func isShut(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// AttachStreams reads all output of an init process, unless onAttach refuses.
func (l *ledger) AttachStreams(id string, pipe libcontainerd.IOPipe) error {
	l.mu.Lock()
	life := 0
	if a := l.begin(id, "streams"); a != nil {
		switch a.stage {
		case up, pending, down:
			if a.stage == up {
				l.fault(id, "streams of the next life in a container that is up")
			}
			a.again = a.stage == pending
		case handed, refused:
			if !a.crowd {
				l.fault(id, "streams of the next life in a container that is %s", a.stage)
			}
			l.checkOwed(id, a, "the next life")
			a.again = false
		}
		a.stage = handed
		a.life++
		life = a.life
	}
	l.mu.Unlock()
	err := l.attach(id, pipe, func() {
		if a := l.accounts[id]; a != nil && a.life == life && a.stage == handed {
			a.stage = refused
		}
	})
	return err
}

// AttachProcessStreams reads all output of an exec'd process, unless onAttach
// refuses.
func (l *ledger) AttachProcessStreams(id, name string, _ uint32, pipe libcontainerd.IOPipe) error {
	l.mu.Lock()
	if a := l.begin(id, "streams of "+name); a != nil {
		if a.stage == down || a.stage == pending {
			l.fault(id, "streams of %s in a container that is %s", name, a.stage)
		}
		e, ok := a.execs[name]
		switch {
		case !ok:
			l.fault(id, "streams of %s, which nobody adds", name)
		case e.attached:
			l.fault(id, "streams of %s for the second time", name)
		default:
			e.attached, e.life = true, a.life
		}
	}
	l.mu.Unlock()
	return l.attach(name, pipe, func() {})
}

// attach reads all output, unless onAttach refuses or panics: then refused is called,
// with l.mu held.
func (l *ledger) attach(name string, pipe libcontainerd.IOPipe, refused func()) (err error) {
	err = errPanicked // if onAttach does not return
	defer func() {
		if err != nil {
			l.mu.Lock()
			refused()
			l.mu.Unlock()
		}
	}()
	if l.onAttach != nil {
		if err = l.onAttach(name, pipe); err != nil {
			return err
		}
	}
	for _, r := range []io.Reader{pipe.Stdout, pipe.Stderr} {
		if r != nil {
			l.readers.Go(func() { io.Copy(io.Discard, r) })
		}
	}
	err = nil
	return err
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
