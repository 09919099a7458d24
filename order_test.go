package libcontainerd_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// stressTime is how long each of the tests in real time goes on: STRESS_SECONDS, if
// set.
func stressTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("STRESS_SECONDS")
	if text == "" {
		return 3 * time.Second
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("STRESS_SECONDS is %q", text)
	}
	return time.Duration(n) * time.Second
}

// stress runs workers until the time is over, and then closes the ledger's client.
// The workers do not sleep: the scheduler varies the order.
func stress(t *testing.T, l *ledger, workers ...func(n int)) {
	t.Helper()
	end := time.Now().Add(stressTime(t))
	var working sync.WaitGroup
	for _, work := range workers {
		working.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				work(n)
			}
		})
	}
	working.Wait()
	l.shut(t)
}

// shut closes the client and fails the test with what the ledger has found.
func (l *ledger) shut(t *testing.T) {
	t.Helper()
	err := l.Close()
	for errdefs.IsDeadlineExceeded(err) { // the call limit of a test may be short
		err = l.Close()
	}
	must(t, err)
	l.readers.Wait()
	if err := l.verdict(); err != nil {
		t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%+v", l.figures)
}

// newStressLedger returns a ledger on a simulated HCS that takes latency for each call.
func newStressLedger(t *testing.T, latency time.Duration) (*ledger, *hcstest.Service) {
	t.Helper()
	hcs := newChaosHCS(t)
	if latency > 0 {
		hcs.OnCall("", func(c hcstest.Call) *hcstest.Fault {
			if c.Op == hcstest.OpWait || c.Op == hcstest.OpWaitProcess {
				return nil
			}
			return &hcstest.Fault{Delay: latency}
		})
	}
	l, err := newLedger(hcs)
	must(t, err)
	return l, hcs
}

// The Backend is told of pauses and resumes in the order in which they happened,
// however many goroutines pause and resume.
func TestPausesAndResumesAreHeardOfInTheirOrder(t *testing.T) {
	for _, latency := range []time.Duration{0, time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			l, hcs := newStressLedger(t, latency)
			var workers []func(int)
			for n := range 8 {
				id := fmt.Sprintf("c%d", n)
				l.open(id)
				must(t, l.create(id, hyperv("idle")))
				workers = append(workers, func(int) { l.Pause(id); l.Resume(id) }, func(int) { l.Resume(id); l.Pause(id) })
			}
			stress(t, l, workers...)
			endAll(t, hcs)
		})
	}
}

// The same with a HCS whose answers come now and then when the client has given up.
func TestPausesAndResumesThatAreAnsweredLateAreHeardOfInTheirOrder(t *testing.T) {
	const limit = 2 * time.Millisecond
	hcs := newChaosHCS(t)
	late := new(atomic.Bool)
	react := func(hcstest.Call) *hcstest.Fault {
		if !late.Load() {
			return nil
		}
		switch rand.IntN(4) {
		case 0:
			return &hcstest.Fault{Delay: rand.N(2 * limit), Done: oneIn(2)}
		case 1:
			return &hcstest.Fault{Err: libcontainerd.CodeOperationTimeout, Done: oneIn(2), Delay: rand.N(limit)}
		}
		return nil
	}
	hcs.OnCall(hcstest.OpPause, react)
	hcs.OnCall(hcstest.OpResume, react)
	l, err := newLedger(hcs, libcontainerd.WithCallTimeout(limit))
	must(t, err)
	var workers []func(int)
	for n := range 4 {
		id := fmt.Sprintf("c%d", n)
		l.open(id)
		for l.create(id, hyperv("idle")) != nil { // the limit is short
			l.open(id)
		}
		workers = append(workers, func(int) { l.Pause(id); l.Resume(id) }, func(int) { l.Resume(id); l.Pause(id) })
	}
	late.Store(true)
	stress(t, l, workers...)
	endAll(t, hcs)
}

// hasty is a restart manager that decides by chance and lets no time pass.
type hasty struct{}

func (hasty) ShouldRestart(uint32) (bool, chan error, error) { return oneIn(2), nil, nil }

func (hasty) Cancel() error { return nil }

// The Backend is told of no pause and no resume of a life after its exit or restart.
func TestPausesAndResumesBelongToTheirLife(t *testing.T) {
	l, hcs := newStressLedger(t, 0)
	var workers []func(int)
	for n := range 4 {
		id := fmt.Sprintf("c%d", n)
		a := l.open(id)
		workers = append(workers, func(int) {
			var options []libcontainerd.CreateOption
			if oneIn(2) {
				options = append(options, libcontainerd.WithRestartManager(hasty{}))
			}
			if l.create(id, hyperv("idle"), options...) != nil {
				return
			}
			for n := range 5 {
				time.Sleep(rand.N(200 * time.Microsecond))
				switch n % 2 {
				case 0:
					hcs.Crash(id, libcontainerd.CodeUnexpectedExit)
				case 1:
					l.Signal(id, 9)
				}
			}
			for !l.awaitGone(a, 10*time.Millisecond) {
				l.Signal(id, 9)
			}
		}, func(int) {
			if l.Pause(id) != nil {
				time.Sleep(rand.N(50 * time.Microsecond))
			}
		}, func(int) {
			if l.Resume(id) != nil {
				time.Sleep(rand.N(50 * time.Microsecond))
			}
		})
	}
	stress(t, l, workers...)
}

// The first callback of a life never begins before the exit of the former life has.
func TestLivesOfAnIDFollowEachOther(t *testing.T) {
	for latency, ids := range map[time.Duration]int{0: 1, time.Millisecond: 20, 10 * time.Millisecond: 100} {
		t.Run(latency.String(), func(t *testing.T) {
			l, hcs := newStressLedger(t, latency)
			l.onState = func(string, libcontainerd.StateInfo) error { return sometimes(20, errWhim) }
			l.onAttach = func(string, libcontainerd.IOPipe) error { return sometimes(20, errWhim) }
			var workers []func(int)
			for n := range ids {
				workers = append(workers, l.crowd(hcs, fmt.Sprintf("c%d", n), latency)...)
			}
			stress(t, l, workers...)
			endAll(t, hcs)
		})
	}
}

// sometimes is err once in n times.
func sometimes(n int, err error) error {
	if oneIn(n) {
		return err
	}
	return nil
}

// crowd are those who use one id beside each other: three create it, others add
// processes, pause it, and end it.
func (l *ledger) crowd(hcs *hcstest.Service, id string, latency time.Duration) []func(int) {
	l.open(id).crowd = true
	moment := func() time.Duration { return latency + rand.N(50*time.Microsecond) }
	creator := func(int) {
		var options []libcontainerd.CreateOption
		if oneIn(4) {
			options = append(options, libcontainerd.WithRestartManager(hasty{}))
		}
		program := [...]string{"seven", "idle", "talks", "nosuch"}[rand.IntN(4)]
		if errdefs.IsAlreadyExists(l.create(id, hyperv(program), options...)) {
			time.Sleep(moment())
		}
	}
	var adds atomic.Int64
	adder := func(int) {
		if l.exec(id, fmt.Sprintf("p%d", adds.Add(1)), exec("seven")) != nil {
			time.Sleep(moment())
		}
	}
	ender := func(int) {
		time.Sleep(rand.N(60*latency + 200*time.Microsecond))
		switch rand.IntN(3) {
		case 0:
			l.Signal(id, 9)
		case 1:
			l.Signal(id, 15)
		case 2:
			hcs.Crash(id, libcontainerd.CodeUnexpectedExit)
		}
	}
	switcher := func(int) {
		if l.Pause(id) != nil || l.Resume(id) != nil {
			time.Sleep(moment())
		}
	}
	return []func(int){creator, creator, creator, adder, ender, switcher}
}

// The same with the id used again from inside the callback of the exit.
func TestNextLifeFromInsideTheExit(t *testing.T) {
	l, hcs := newStressLedger(t, 0)
	l.open("c1").crowd = true
	over := make(chan struct{})
	l.onState = func(id string, info libcontainerd.StateInfo) error {
		if info.State != libcontainerd.StateExit {
			return nil
		}
		select {
		case <-over:
		default:
			l.create(id, spec("seven"))
		}
		return nil
	}
	stopping := sync.OnceFunc(func() { close(over) })
	end := time.Now().Add(stressTime(t))
	stress(t, l, func(int) {
		l.create("c1", spec("seven"))
		time.Sleep(rand.N(20 * time.Microsecond))
		if time.Now().Add(100 * time.Millisecond).After(end) {
			stopping()
		}
	}, func(int) { l.create("c1", spec("seven")) }, func(int) {
		l.Restore("c1")
		time.Sleep(rand.N(time.Millisecond))
	})
	stopping()
	endAll(t, hcs)
}

// No callback begins after Close has returned, whatever goes on meanwhile.
func TestNoCallbackBeginsAfterCloseUnderLoad(t *testing.T) {
	end := time.Now().Add(stressTime(t))
	hcs := newChaosHCS(t)
	rounds := 0
	for ; time.Now().Before(end); rounds++ {
		l, err := newLedger(hcs)
		must(t, err)
		var working sync.WaitGroup
		over := make(chan struct{})
		for n := range 8 {
			id := fmt.Sprintf("c%d-%d", rounds, n)
			l.open(id)
			working.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-over:
						return
					default:
					}
					switch rand.IntN(8) {
					case 0, 1, 2:
						l.Create(id, hyperv(someProgram()), libcontainerd.WithRestartManager(new(whim)))
					case 3, 4:
						l.AddProcess(id, fmt.Sprintf("p%d", n), exec("seven"))
					case 5:
						l.Pause(id)
						l.Resume(id)
					case 6:
						l.Restore(id)
					case 7:
						l.Signal(id, 9)
					}
				}
			})
		}
		time.Sleep(rand.N(2 * time.Millisecond))
		must(t, l.Close())
		time.Sleep(time.Millisecond)
		close(over)
		working.Wait()
		l.readers.Wait()
		l.mu.Lock()
		if l.overdue > 0 {
			t.Errorf("round %d: %d callbacks began after Close had returned", rounds, l.overdue)
		}
		l.mu.Unlock()
		endAll(t, hcs)
		if t.Failed() {
			break
		}
	}
	t.Logf("%d rounds", rounds)
}
