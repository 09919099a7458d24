package libcontainerd_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Restore ends a container of a former engine, waits for its end, and reports the
// exit. See lessons_test.go: 38, 54, D43, P2.
func TestRestoreEndsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "c1", spec(untilStopped...))
		e := newEngine(t, hcs)
		e.onState = func(id string, info libcontainerd.StateInfo) error {
			if info.State == libcontainerd.StateExit && info.ExitCode == 1<<31 && id == "c1" {
				return e.Create(id, spec("cmd", "/c", "exit 0")) // the id is free
			}
			return nil
		}
		const stop = time.Minute
		slow(hcstest.OpStop, stop)(hcs)
		began := time.Now()
		must(t, e.Restore("c1"))
		if took := time.Since(began); took != stop {
			t.Errorf("restore did not wait for the end: %v", took)
		}
		hcs.Heal()
		e.await("exit c1 0", 1)
		e.wantEvents(t, "exit c1 2147483648", "start-container c1", "exit c1 0")

		must(t, e.Restore("unknown"))
		if info := e.last("unknown"); info.State != libcontainerd.StateExit || info.ExitCode != 1<<31 {
			t.Errorf("unknown container: %+v", info)
		}
		e.onState = func(string, libcontainerd.StateInfo) error { return errRefused }
		if err := e.Restore("unknown"); !errors.Is(err, errRefused) {
			t.Errorf("refusal of the backend: %v", err)
		}
	})
}

// If HCS does not open a container, its end is unknown: Restore fails and reports no
// exit.
func TestRestoreThatFailsReportsNoExit(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*hcstest.Service)
		kind    func(error) bool
	}{
		"open is refused": {inject(hcstest.OpOpen, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}), errdefs.IsPermissionDenied},
		"open hangs":      {hang(hcstest.OpOpen), errdefs.IsDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				orphan(t, hcs, "c1", spec(untilStopped...))
				e := newEngine(t, hcs)
				c.prepare(hcs)
				if err := e.Restore("c1"); !c.kind(err) {
					t.Errorf("got %v", err)
				}
				e.wantEvents(t)
				hcs.Heal()
				must(t, e.Restore("c1"))
				e.wantEvents(t, "exit c1 2147483648")
			})
		})
	}
}

// Each of several options takes effect. See lessons_test.go: 15.
func TestEveryOptionOfARestoreHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		s := spec(untilStopped...)
		pid := orphan(t, hcs, "c1", s)
		rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(nil)}}
		e := newEngine(t, hcs)
		must(t, e.Restore("c1", libcontainerd.WithRestartManager(rm), libcontainerd.WithReattach(s, pid)))
		hcs.ExitProcess("c1", pid, 4)
		e.await("start-container c1", 1)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "restore c1", "restart c1 4", "start-container c1", "exit c1 1067")
	})
}

// An engine of 2016 knows no other end of a Restore than an exit. Where HCS does not
// end the container the exit comes within the grace, with the error, and what is left
// is ended as soon as it can be.
func TestRestoreReportsAnExitThoughHCSDoesNotEndTheContainer(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(*hcstest.Service)
		accepted bool // the termination: its end is waited for
	}{
		"terminate is refused": {inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}), false},
		"terminate fails":      {inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeFail}), false},
		"terminate hangs":      {hang(hcstest.OpTerminate), false},
		"its stop never comes": {hang(hcstest.OpStop), true},
		"its wait fails": {both(hang(hcstest.OpStop),
			inject(hcstest.OpWait, hcstest.Fault{Err: libcontainerd.CodeInvalidHandle})), false},
	} {
		for _, grace := range []time.Duration{libcontainerd.DefaultGrace, time.Minute} {
			t.Run(fmt.Sprintf("%s/%v", name, grace), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hcs := hcstest.New(t)
					orphan(t, hcs, "c1", spec(untilStopped...))
					e := newEndEngine(t, hcs, libcontainerd.WithGrace(grace))
					c.prepare(hcs)
					began := time.Now()
					if err := e.Restore("c1"); err != nil {
						t.Errorf("restore: %v", err)
					}
					limit := grace
					if c.accepted {
						limit = libcontainerd.DefaultTerminateTimeout
					}
					if took := time.Since(began); took > limit+time.Second {
						t.Errorf("restore took %v", took)
					}
					exit := e.wantExit(t, "c1", time.Second)
					if exit.ExitCode != libcontainerd.RestoreExitCode || !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
						t.Errorf("exit %+v", exit)
					}
					time.Sleep(time.Hour)
					if len(e.ended) > 0 {
						t.Error("the engine was told of an end that has not come")
					}
					hcs.Heal()
					time.Sleep(time.Hour)
					if systems := list(t, hcs); len(systems) > 0 {
						t.Errorf("left: %v", systems)
					}
					if n := len(e.ended); n != 1 {
						t.Errorf("the engine was told %d times that it has ended", n)
					}
					e.wantEvents(t, "exit c1 2147483648")
					endAll(t, hcs)
				})
			})
		}
	}
}

// If HCS refuses once, the engine does not lose the container.
func TestRestoreOutlivesOneRefusal(t *testing.T) {
	for _, code := range []libcontainerd.Code{
		libcontainerd.CodeAccessDenied, libcontainerd.CodeRPCFailed, libcontainerd.CodeTimeout, libcontainerd.CodeInvalidState, libcontainerd.CodeFail,
	} {
		t.Run(fmt.Sprintf("%#x", uint32(code)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				orphan(t, hcs, "c1", spec(untilStopped...))
				e := newEngine(t, hcs)
				hcs.Fail(hcstest.OpTerminate, "c1", code)
				began := time.Now()
				if err := e.Restore("c1"); err != nil {
					t.Errorf("restore: %v", err)
				}
				if took := time.Since(began); took > libcontainerd.DefaultGrace+time.Second {
					t.Errorf("restore took %v", took)
				}
				systems := list(t, hcs)
				exit := e.wantExit(t, "c1", time.Second)
				if exit.ExitCode != libcontainerd.RestoreExitCode {
					t.Errorf("exit %+v", exit)
				}
				if len(systems) > 0 && !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
					t.Errorf("with %v left the exit says %v", systems, exit.Err)
				}
				time.Sleep(time.Hour)
				if systems := list(t, hcs); len(systems) > 0 {
					t.Errorf("left in the end: %v", systems)
				}
				endAll(t, hcs)
			})
		})
	}
}

// A container that a Restore could not end is waited for by the next Create of its id.
func TestCreateAfterARestoreThatCouldNotEndTheContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "c1", spec(untilStopped...))
		e := newEngine(t, hcs)
		refusal := hcs.Inject(hcstest.Rule{Op: hcstest.OpTerminate, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied}})
		if err := e.Restore("c1"); err != nil {
			t.Errorf("restore: %v", err)
		}
		e.wantExit(t, "c1", time.Minute)
		refusal.Release()
		if err := e.Create("c1", spec(untilStopped...)); err != nil {
			t.Errorf("create: %v", err)
			endAll(t, hcs)
			return
		}
		must(t, e.Signal("c1", 9))
		if !e.hears("exit c1 1067", 1, time.Hour) {
			t.Errorf("events %q", e.events())
		}
	})
}
