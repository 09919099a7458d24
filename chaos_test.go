package libcontainerd_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// weather makes calls of a simulated HCS fail, come late, and do what they were
// asked for without saying so.
type weather struct {
	fine atomic.Bool // no fault happens from now on

	// one call in so many meets the fault; 0: none
	fails, lies, delays, lost int

	serviceLoss time.Duration // between two losses of the service, about; 0: none

	faults, losses atomic.Int64 // that happened
}

// The weathers of a soak.
func calm() *weather  { return &weather{fails: 400, lies: 800, delays: 200, lost: 1000} }
func rough() *weather { return &weather{fails: 40, lies: 80, delays: 20, lost: 100} }
func foul() *weather  { return &weather{fails: 8, lies: 10, delays: 6, lost: 10} }
func wild() *weather {
	return &weather{fails: 40, lies: 80, delays: 20, lost: 100, serviceLoss: 5 * time.Second}
}

// foulCodes are what calls fail with.
var foulCodes = []libcontainerd.Code{
	libcontainerd.CodeAccessDenied, libcontainerd.CodeInvalidState, libcontainerd.CodeNotFound,
	libcontainerd.CodeTimeout, libcontainerd.CodeOperationTimeout, libcontainerd.CodeRPCFailed,
	libcontainerd.CodeBusy, libcontainerd.CodeInvalidHandle, libcontainerd.CodeFail,
}

// react is for hcstest.Service.OnCall.
func (w *weather) react(c hcstest.Call) *hcstest.Fault {
	if w.fine.Load() {
		return nil
	}
	fault := w.fault(c)
	if fault != nil {
		w.faults.Add(1)
	}
	return fault
}

func (w *weather) fault(c hcstest.Call) *hcstest.Fault {
	if c.Op == hcstest.OpHost || c.Op == hcstest.OpPid { // they cannot fail
		return nil
	}
	if c.Op == hcstest.OpWait || c.Op == hcstest.OpWaitProcess {
		switch {
		case oneIn(w.lost):
			return &hcstest.Fault{Hang: true} // the notification is lost
		case oneIn(w.lost):
			return &hcstest.Fault{Delay: someTime(), Err: foulCode()}
		}
		return nil
	}
	switch {
	case oneIn(w.delays):
		return &hcstest.Fault{Delay: someTime(), Done: oneIn(2)}
	case c.Op == hcstest.OpStop || c.Op == hcstest.OpExit:
		return nil // they are late, or lost with their notifications
	case oneIn(w.fails):
		return &hcstest.Fault{Err: foulCode()}
	case oneIn(w.lies):
		return &hcstest.Fault{Err: foulCode(), Done: true, Delay: someTime()}
	}
	return nil
}

func oneIn(n int) bool { return n > 0 && rand.IntN(n) == 0 }

func foulCode() libcontainerd.Code { return foulCodes[rand.IntN(len(foulCodes))] }

// someTime is usually short, and now and then beyond every timeout.
func someTime() time.Duration {
	if oneIn(20) {
		return 10 * time.Minute
	}
	return rand.N(2 * time.Second)
}

// The programs of these containers end with a code that is not 0.
var chaosPrograms = []hcstest.Option{
	hcstest.WithProgram("seven", hcstest.Exit(7)),
	hcstest.WithProgram("idle", nil),
	hcstest.WithProgram("soon", func(p *hcstest.Process) uint32 {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.Killed():
		}
		return 7
	}),
	hcstest.WithProgram("talks", func(p *hcstest.Process) uint32 {
		fmt.Fprintln(p.Stdout, "out")
		fmt.Fprintln(p.Stderr, "err")
		return 7
	}),
}

func someProgram() string { return [...]string{"seven", "idle", "soon", "talks"}[rand.IntN(4)] }

// whim is a restart manager that decides by chance. It restarts a container twice at
// most.
type whim struct {
	mu       sync.Mutex // guards following
	restarts int
}

func (w *whim) ShouldRestart(uint32) (bool, chan error, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.restarts == 2 || oneIn(2) {
		return false, nil, nil
	}
	w.restarts++
	switch rand.IntN(4) {
	case 0:
		return true, nil, errors.New("no idea")
	case 1:
		return true, nil, nil
	case 2:
		return true, closedChannel(), nil
	}
	wait := make(chan error, 1)
	time.AfterFunc(rand.N(time.Second), func() {
		if oneIn(4) {
			wait <- errors.New("not this time")
			return
		}
		close(wait)
	})
	return true, wait, nil
}

func (w *whim) Cancel() error { return nil }

// storm is many containers on a HCS with faults.
type storm struct {
	*weather
	hcs    *hcstest.Service
	lives  int
	atOnce int
	deadly bool // the engine dies in the end, and leaves containers

	inside atomic.Int64 // processes that were added from inside a callback
}

var errWhim = errors.New("refused")

// engine returns a ledger whose Backend refuses and calls back by chance.
func (s *storm) engine(t *testing.T) *ledger {
	t.Helper()
	l, err := newLedger(s.hcs, libcontainerd.WithCallTimeout(time.Minute),
		libcontainerd.WithShutdownTimeout(2*time.Minute), libcontainerd.WithTerminateTimeout(time.Minute))
	must(t, err)
	l.onState = func(id string, info libcontainerd.StateInfo) error {
		if s.fine.Load() {
			return nil
		}
		s.callBack(l, id)
		if info.State == libcontainerd.StateStart && l.first(id) && oneIn(60) {
			panic(errPanicked)
		}
		return sometimes(20, errWhim)
	}
	l.onAttach = func(name string, _ libcontainerd.IOPipe) error {
		if s.fine.Load() {
			return nil
		}
		if (isExec(name) || l.first(name)) && oneIn(60) {
			panic(errPanicked)
		}
		return sometimes(20, errWhim)
	}
	return l
}

// callBack calls the client from inside a callback, now and then.
func (s *storm) callBack(l *ledger, id string) {
	if oneIn(20) {
		l.Summary(id)
	}
	if oneIn(10) {
		l.exec(id, fmt.Sprintf("p-inside-%d", s.inside.Add(1)), exec(someProgram()))
	}
	if oneIn(100) {
		l.Pause(id)
	}
	if oneIn(100) {
		l.Resume(id)
	}
	if oneIn(200) {
		l.Signal(id, 9)
	}
}

// isExec reports whether streams are those of an exec'd process.
func isExec(name string) bool { return strings.HasPrefix(name, "p") }

// first reports whether the container has not run yet, so that what is called back
// now is called by its Create.
func (l *ledger) first(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.accounts[id]
	return ok && a.life == 1
}

// run lives all lives, in a bubble. Then the weather clears, and nothing may be
// left.
func (s *storm) run(t *testing.T) figures {
	t.Helper()
	l := s.engine(t)
	s.hcs.OnCall("", s.react)
	calm := make(chan struct{})
	if s.serviceLoss > 0 {
		go s.loseService(calm)
	}

	var next atomic.Int64
	var living sync.WaitGroup
	for range s.atOnce {
		living.Go(func() {
			for n := next.Add(1); n <= int64(s.lives); n = next.Add(1) {
				id := fmt.Sprintf("c%d", n)
				for over := s.live(l, id); over && oneIn(10); {
					over = s.live(l, id) // the id is free
				}
			}
		})
	}
	living.Wait()
	s.clear(calm)
	left := l.left()
	sum := s.close(t, l)
	if s.deadly {
		next := s.engine(t)
		s.restore(t, next, left)
		sum.add(s.close(t, next))
	}
	if err := s.hcs.Check(); err != nil {
		t.Errorf("left over: %v", err)
	}
	sum.Faults, sum.ServiceLosses = int(s.faults.Load()), int(s.losses.Load())
	return sum
}

// clear ends all faults, and lets what came late be cleaned up.
func (s *storm) clear(calm chan struct{}) {
	close(calm)
	s.fine.Store(true)
	s.hcs.RestoreService()
	s.hcs.Heal()
	time.Sleep(time.Hour)
	synctest.Wait()
}

// close ends an engine and returns its figures.
func (s *storm) close(t *testing.T, l *ledger) figures {
	t.Helper()
	must(t, l.Close())
	l.readers.Wait()
	if err := l.verdict(); err != nil {
		t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.figures.Violations > 0 {
		t.Errorf("%d violations in %d lives", l.figures.Violations, l.figures.Lives)
	}
	return l.figures
}

// loseService takes the HCS service away now and then; half of the containers
// outlive it.
func (s *storm) loseService(calm <-chan struct{}) {
	for {
		timer := time.NewTimer(rand.N(2 * s.serviceLoss))
		select {
		case <-calm:
			timer.Stop()
			return
		case <-timer.C:
		}
		s.losses.Add(1)
		s.hcs.LoseService(func(string) bool { return oneIn(2) })
		time.Sleep(rand.N(time.Second))
		s.hcs.RestoreService()
	}
}

// live creates a container, uses it, and ends it in one way or the other, or leaves it
// to the next engine.
func (s *storm) live(l *ledger, id string) (over bool) {
	a := l.open(id)
	sp := spec(someProgram())
	if oneIn(2) {
		sp = hyperv(someProgram())
	}
	sp.Process.Terminal = oneIn(4)
	var options []libcontainerd.CreateOption
	if oneIn(4) {
		options = append(options, libcontainerd.WithRestartManager(new(whim)))
	}
	if err := l.create(id, sp, options...); err == nil {
		var users sync.WaitGroup
		for user := range 1 + rand.IntN(3) {
			users.Go(func() {
				for n := range rand.IntN(6) {
					l.use(id, fmt.Sprintf("p%d-%d", user, n))
				}
			})
		}
		if s.deadly && oneIn(20) {
			users.Wait()
			return false
		}
		if oneIn(2) {
			users.Wait()
		}
		s.end(l, id, a)
		users.Wait()
	}
	l.settle(id)
	return true
}

// use does something with a container. The answer depends on faults. That an answer
// comes, and which events follow, does not.
func (l *ledger) use(id, name string) {
	switch rand.IntN(10) {
	case 0, 1, 2:
		if l.exec(id, name, exec(someProgram())) != nil || oneIn(2) {
			return
		}
		l.SignalProcess(id, name, 9)
	case 3:
		l.Resize(id, libcontainerd.InitFriendlyName, 80, 25)
	case 4:
		l.Stats(id)
	case 5:
		l.Summary(id)
	case 6:
		l.GetPidsForContainer(id)
	case 7:
		l.Pause(id)
	case 8:
		l.Resume(id)
	case 9:
		l.UpdateResources(id, libcontainerd.Resources{})
	}
}

// end ends a container and waits until the Backend has been told.
func (s *storm) end(l *ledger, id string, a *account) {
	switch rand.IntN(4) {
	case 0:
		s.hcs.Crash(id, libcontainerd.CodeUnexpectedExit)
	case 1:
		l.Signal(id, 15)
	default:
		l.Signal(id, 9)
	}
	for range 20 {
		if l.awaitGone(a, 10*time.Minute) {
			return
		}
		l.Signal(id, 9) // once more: HCS may have refused it
	}
}

// left settles the accounts of the containers that are down, and returns the
// pids of the init processes of the others, which are left to the next engine.
func (l *ledger) left() map[string]uint32 {
	l.mu.Lock()
	pids := make(map[string]uint32)
	var ids []string
	for id, a := range l.accounts {
		if a.stage == down {
			ids = append(ids, id)
			continue
		}
		pids[id] = a.pid
		for _, e := range a.execs {
			if e.added && e.exits == 0 {
				l.figures.ExecsLeft++
			}
		}
	}
	l.mu.Unlock()
	for _, id := range ids {
		l.settle(id)
	}
	return pids
}

// restore takes up, ends, or leaves to Reconcile what a former engine has left.
func (s *storm) restore(t *testing.T, l *ledger, left map[string]uint32) {
	t.Helper()
	for id, pid := range left {
		a := l.open(id)
		switch rand.IntN(3) {
		case 0:
			must(t, l.Restore(id, libcontainerd.WithReattach(spec("idle"), pid)))
			s.end(l, id, a)
		case 1:
			must(t, l.Restore(id))
		}
	}
	ended, err := l.Reconcile(t.Context(), libcontainerd.DefaultOwner)
	must(t, err)
	time.Sleep(time.Minute) // its handles are closed
	l.mu.Lock()
	for _, system := range ended {
		if _, ok := left[system.ID]; !ok {
			l.fault(system.ID, "ended by Reconcile, though it was over for the engine before")
		}
	}
	l.figures.Left, l.figures.Reconciled = len(left), len(ended)
	l.mu.Unlock()
	for id := range left {
		l.settle(id)
	}
}

// Every process that was started has exactly one exit event, at its place, whatever
// HCS does and however many there are.
func TestManyContainersAtOnceWithFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storm{weather: rough(), hcs: newChaosHCS(t), lives: 2000, atOnce: 200}
		f := s.run(t)
		t.Logf("%+v", f)
		if f.Starts == 0 || f.Restarts == 0 || f.ExecExits == 0 || f.FailedCreates == 0 || f.BrokenExits == 0 {
			t.Error("something did not happen at all")
		}
	})
}

func newChaosHCS(t *testing.T, options ...hcstest.Option) *hcstest.Service {
	t.Helper()
	options = append(options, hcstest.WithCallLimit(0))
	return hcstest.New(t, append(options, chaosPrograms...)...)
}
