package libcontainerd_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A container that is being created can do nothing yet, and says so in whatever
// isolation it will run.
func TestContainerThatIsBeingCreatedCannotPause(t *testing.T) {
	for isolation, s := range map[string]libcontainerd.Spec{"process": spec(untilStopped...), "hyperv": hyperv(untilStopped...)} {
		for _, op := range []hcstest.Op{hcstest.OpHost, hcstest.OpLayerID, hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpStdio} {
			t.Run(fmt.Sprintf("%s/%s", isolation, op), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					hung := e.hcs.Hang(op, "")
					created := make(chan error, 1)
					go func() { created <- e.Create("c1", s) }()
					<-hung.Met()
					for name, call := range map[string]func() error{
						"pause":  func() error { return e.Pause("c1") },
						"resume": func() error { return e.Resume("c1") },
						"exec":   func() error { return e.AddProcess("c1", "p1", exec("cmd")) },
					} {
						if err := call(); !errdefs.IsFailedPrecondition(err) || errdefs.IsNotImplemented(err) {
							t.Errorf("%s: %v", name, err)
						}
					}
					hung.Release()
					must(t, <-created)
					must(t, e.Signal("c1", 9))
					e.wantExit(t, "c1", time.Hour)
				})
			})
		}
	}
}

// Whoever uses a container while it is being created, or taken up, reads nothing that
// is being written. Only the race detector sees it.
func TestContainerIsUsedWhileItIsBroughtUp(t *testing.T) {
	hcs := hcstest.New(t)
	e := newEngine(t, hcs)
	s := hyperv(untilStopped...)
	var others sync.WaitGroup
	stop := make(chan struct{})
	for n := range 3 {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				e.AddProcess("c1", fmt.Sprintf("p%d-%d", n, i), exec("cmd", "/c", "exit 0")) // no Cwd
				e.Pause("c1")
				e.Resume("c1")
				e.Summary("c1")
			}
		})
	}
	for range 50 {
		must(t, e.Create("c1", s))
		n := e.count("exit c1 ")
		e.Resume("c1")
		must(t, e.Signal("c1", 9))
		e.await("exit c1 ", n+1)
	}
	close(stop)
	others.Wait()
}

// The handle of an exec that comes just when its container gives it up belongs to one
// of the two. Only the race detector sees it.
func TestHandleOfAnExecThatComesAtTheLastMoment(t *testing.T) {
	const grace = 3 * time.Millisecond
	e := newEngine(t, nil, libcontainerd.WithGrace(grace))
	var delay time.Duration
	e.hcs.OnCall(hcstest.OpCreateProcess, func(c hcstest.Call) *hcstest.Fault {
		if c.Process.CommandLine == "timeout /t -1" {
			return &hcstest.Fault{Delay: delay, Done: true}
		}
		return nil
	})
	for n := range 150 {
		delay = grace - 300*time.Microsecond + time.Duration(n)*10*time.Microsecond
		must(t, e.Create("c1", spec(untilStopped...)))
		added := make(chan error, 1)
		calls := len(e.hcs.Calls(hcstest.OpCreateProcess))
		go func() { added <- e.AddProcess("c1", "p1", exec("timeout", "/t", "-1")) }()
		for len(e.hcs.Calls(hcstest.OpCreateProcess)) == calls {
			time.Sleep(10 * time.Microsecond)
		}
		must(t, e.Signal("c1", 9))
		e.await("exit c1 ", n+1)
		<-added
	}
}
