package libcontainerd_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
	fine atomic.Bool // no faults any more

	// one call in so many meets the fault; 0: none
	fails, lies, delays, losses int
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
	switch c.Op {
	case hcstest.OpHost, hcstest.OpPid:
		return nil // they cannot fail
	case hcstest.OpWait, hcstest.OpWaitProcess:
		if oneIn(w.losses) {
			return &hcstest.Fault{Hang: true} // the notification is lost
		}
		if oneIn(w.losses) {
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

// whim is a restart manager that decides by chance, and no more than twice for
// a restart.
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

// live is one container's life: it is created, used and ended, one way or the
// other.
func (l *ledger) live(hcs *hcstest.Service, id string) {
	a := l.open(id)
	defer l.settle(id)
	s := spec(someProgram())
	if oneIn(2) {
		s = hyperv(someProgram())
	}
	s.Process.Terminal = oneIn(4)
	var options []libcontainerd.CreateOption
	if oneIn(4) {
		options = append(options, libcontainerd.WithRestartManager(new(whim)))
	}
	if err := l.create(id, s, options...); err != nil {
		return
	}
	for n := range rand.IntN(6) {
		l.use(id, fmt.Sprintf("p%d", n))
	}
	l.end(hcs, id, a)
}

// use does something with a container. What it answers depends on faults; that
// it answers, and what is heard of it, does not.
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

// end ends a container and waits until that is heard of.
func (l *ledger) end(hcs *hcstest.Service, id string, a *account) {
	switch rand.IntN(4) {
	case 0:
		hcs.Crash(id, libcontainerd.CodeUnexpectedExit)
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

// storm lives lives containers' lives, so many at once, on a HCS with faults, in
// a bubble. Then the weather clears, and nothing may be left that HCS does not
// refuse to end.
func storm(t *testing.T, w *weather, lives, atOnce int, hcs *hcstest.Service) figures {
	t.Helper()
	l, err := newLedger(hcs, libcontainerd.WithCallTimeout(time.Minute),
		libcontainerd.WithShutdownTimeout(2*time.Minute), libcontainerd.WithTerminateTimeout(time.Minute))
	must(t, err)
	refusal := errors.New("refused")
	l.onState = func(string, libcontainerd.StateInfo) error {
		if oneIn(50) && !w.fine.Load() {
			return refusal
		}
		return nil
	}
	l.onAttach = func(string, libcontainerd.IOPipe) error {
		if oneIn(50) && !w.fine.Load() {
			return refusal
		}
		return nil
	}
	hcs.OnCall("", w.react)

	var next atomic.Int64
	var living sync.WaitGroup
	for range atOnce {
		living.Go(func() {
			for n := next.Add(1); n <= int64(lives); n = next.Add(1) {
				l.live(hcs, fmt.Sprintf("c%d", n))
			}
		})
	}
	living.Wait()

	w.fine.Store(true)
	hcs.Heal()
	time.Sleep(time.Hour) // what came late is cleaned up
	synctest.Wait()
	if err := hcs.Check(); err != nil {
		t.Errorf("left over: %v", err)
	}
	must(t, l.Close())
	l.readers.Wait()
	if err := l.verdict(); err != nil {
		t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.figures
}

// Every process that was started has exactly one exit event, in order, whatever
// HCS does and however many there are.
func TestManyContainersAtOnceWithFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &weather{fails: 40, lies: 80, delays: 20, losses: 100}
		f := storm(t, w, 2000, 200, hcstest.New(t, append(chaosPrograms, hcstest.WithCallLimit(0))...))
		t.Logf("%+v", f)
		if f.Starts == 0 || f.Restarts == 0 || f.ExecExits == 0 || f.FailedCreates == 0 || f.BrokenExits == 0 {
			t.Error("something did not happen at all")
		}
	})
}
