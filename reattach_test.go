package libcontainerd_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Taking up a container again needs nothing that only its creation needed.
func TestReattachNeedsNoDocument(t *testing.T) {
	for name, prepare := range map[string]func(*hcstest.Service){
		"layer ids cannot be had": inject(hcstest.OpLayerID, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}),
		"layer ids hang":          hang(hcstest.OpLayerID),
		"no utility VM":           inject(hcstest.OpUtilityVM, hcstest.Fault{Err: libcontainerd.CodePathNotFound}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				s := hyperv(untilStopped...)
				s.Windows.HvRuntime.ImagePath = "" // to be looked for
				pid := orphan(t, hcs, "c1", s)
				e := newEngine(t, hcs)
				prepare(hcs)
				if err := e.Restore("c1", libcontainerd.WithReattach(s, pid)); err != nil {
					t.Errorf("restore: %v", err)
					hcs.Heal()
					endAll(t, hcs)
					return
				}
				must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 1")))
				e.hears("exit-process c1/p1 1", 1, time.Minute)
				hcs.Heal()
				must(t, e.Signal("c1", 9))
				e.wantExit(t, "c1", time.Hour)
				e.wantEvents(t, "restore c1", "exit-process c1/p1 1", "exit c1 1067")
			})
		})
	}
}

// A container that was taken up without its streams has all pipes all the same: its
// output has ended, and its input cannot be written.
func TestReattachWithoutStreamsHasPipes(t *testing.T) {
	for name, c := range map[string]struct {
		terminal bool
		prepare  func(*hcstest.Service)
	}{
		"HCS has none":            {false, nil},
		"HCS has none, terminal":  {true, nil},
		"HCS refuses":             {false, inject(hcstest.OpStdio, hcstest.Fault{Err: libcontainerd.CodeNotFound})},
		"HCS refuses, a terminal": {true, inject(hcstest.OpStdio, hcstest.Fault{Err: libcontainerd.CodeNotFound})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				s := spec(untilStopped...)
				s.Process.Terminal = c.terminal
				pid := orphan(t, hcs, "c1", s)
				e := newEngine(t, hcs)
				e.onAttach = func(string, libcontainerd.IOPipe) error { return nil }
				if c.prepare != nil {
					c.prepare(hcs)
				}
				must(t, e.Restore("c1", libcontainerd.WithReattach(s, pid)))
				pipe := e.pipe("c1")
				if pipe.Stdin == nil || pipe.Stdout == nil || pipe.Terminal != c.terminal || (pipe.Stderr == nil) != c.terminal {
					t.Errorf("pipes %+v", pipe)
				}
				for _, r := range []io.Reader{pipe.Stdout, pipe.Stderr} {
					if r == nil {
						continue
					}
					if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("read %d, %v", n, err)
					}
				}
				if pipe.Stdin != nil {
					if _, err := pipe.Stdin.Write([]byte("x")); err == nil || err.Error() == "" {
						t.Errorf("write: %v", err)
					}
					if err := pipe.Stdin.Close(); err != nil {
						t.Errorf("close of stdin: %v", err)
					}
				}
				hcs.Heal()
				must(t, e.Signal("c1", 9))
				e.wantExit(t, "c1", time.Hour)
			})
		})
	}
}

// endEngine is an engine that wants to know when a compute system that might still
// run has ended.
type endEngine struct {
	*engine
	ended chan string
}

func (e *endEngine) ComputeSystemEnded(id string) {
	e.mu.Lock()
	e.beginsLocked("ended " + id)
	e.mu.Unlock()
	e.ended <- id
}

// newEndEngine is newEngine for an endEngine.
func newEndEngine(t *testing.T, hcs *hcstest.Service, options ...libcontainerd.RemoteOption) *endEngine {
	t.Helper()
	e := &endEngine{engine: newEngine(t, hcs), ended: make(chan string, 100)}
	logger, _ := newLog()
	client, err := libcontainerd.NewClient(e, append([]libcontainerd.RemoteOption{
		libcontainerd.WithComputeService(hcs), libcontainerd.WithLogger(logger),
	}, options...)...)
	must(t, err)
	must(t, e.Client.Close())
	e.Client = client
	return e
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

// One refusal of HCS is no reason for an engine to lose sight of a container.
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

// An engine that was told that the compute system of an exit may still be there is
// told when it is not.
func TestEngineIsToldThatTheSystemHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEndEngine(t, hcs)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.Create("c2", spec(untilStopped...)))
		both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeFail}),
			inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeFail}))(hcs)
		hcs.ExitProcess("c1", e.last("c1").Pid, 4)
		exit := e.wantExit(t, "c1", time.Hour)
		if !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
			t.Errorf("exit %+v", exit)
		}
		hcs.Heal()
		time.Sleep(time.Hour)
		if len(e.ended) != 1 || <-e.ended != "c1" {
			t.Error("the engine was not told, or not once")
		}
		must(t, e.Signal("c2", 9))
		e.wantExit(t, "c2", time.Hour)
		time.Sleep(time.Hour)
		if len(e.ended) > 0 {
			t.Error("the engine was told of an end that was no news")
		}
		endAll(t, hcs)
	})
}

// A client that is closed tells nothing of what it had ended in the background.
func TestEngineOfAClosedClientIsToldOfNoEnd(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpList, hcstest.OpOpen, hcstest.OpTerminate, hcstest.OpStop} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				e := newEndEngine(t, hcs)
				must(t, e.Create("c1", spec(untilStopped...)))
				both(inject(hcstest.OpShutdown, hcstest.Fault{Err: libcontainerd.CodeFail}),
					inject(hcstest.OpTerminate, hcstest.Fault{Err: libcontainerd.CodeFail}))(hcs)
				hcs.ExitProcess("c1", e.last("c1").Pid, 4)
				e.wantExit(t, "c1", time.Hour)
				hcs.Heal()
				hung := hcs.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Hang: true}})
				<-hung.Met()
				go func() {
					time.Sleep(time.Second)
					hung.Release()
				}()
				must(t, e.Close())
				time.Sleep(time.Hour)
				if len(e.ended) > 0 {
					t.Error("the engine was told")
				}
				endAll(t, hcs)
			})
		})
	}
}

// The owner whose systems a client ends must have been named.
func TestReconcileWantsAnOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "theirs", spec(untilStopped...))
		e := newEngine(t, hcs)
		ended, err := e.Reconcile(t.Context(), "")
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "WithOwner") || len(ended) > 0 {
			t.Errorf("without an owner: %v, %v", ended, err)
		}
		if systems := list(t, hcs); len(systems) != 1 || systems[0].State != "Running" {
			t.Errorf("systems %v", systems)
		}
		named := newEngine(t, hcs, libcontainerd.WithOwner(libcontainerd.DefaultOwner))
		if _, err := named.Reconcile(t.Context(), ""); err != nil {
			t.Errorf("with WithOwner: %v", err)
		}
		synctest.Wait() // pipes are closed in the background
		if systems := list(t, hcs); len(systems) > 0 {
			t.Errorf("left: %v", systems)
		}
		endAll(t, hcs)
	})
}
