package libcontainerd_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// orphan leaves a running container of an engine that died, and returns the pid
// of its init process.
func orphan(t *testing.T, hcs *hcstest.Service, id string, s libcontainerd.Spec) uint32 {
	t.Helper()
	dead := newEngine(t, hcs)
	must(t, dead.Create(id, s))
	synctest.Wait()
	must(t, dead.Close())
	dead.wantEvents(t, "start-container "+id)
	return dead.last(id).Pid
}

// Lessons 38, 54, D43, P2: a container of a former engine is ended, waited for, and
// reported.
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

// What became of a container that HCS does not open is not known.
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

func TestReattachTakesUpARunningContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		s := spec(untilStopped...)
		pid := orphan(t, hcs, "c1", s)
		e := newEngine(t, hcs)
		must(t, e.Restore("c1", libcontainerd.WithReattach(s, pid)))
		if info := e.last("c1"); info.State != libcontainerd.StateRestore || info.Pid != pid {
			t.Errorf("got %+v", info)
		}
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 1")))
		e.await("exit-process c1/p1 1", 1)
		pids, err := e.GetPidsForContainer("c1")
		if err != nil || len(pids) != 1 || pids[0] != int(pid) {
			t.Errorf("pids %v, %v", pids, err)
		}
		must(t, e.Signal("c1", 15))
		exit := e.awaitExit("c1")
		if exit.Pid != pid || exit.ExitCode != 0xc000013a {
			t.Errorf("exit %+v", exit)
		}
		e.wantEvents(t, "restore c1", "exit-process c1/p1 1", "exit c1 3221225786")
	})
}

// Lesson 15: of several options each one holds.
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

// Lesson 57: a container that was paused is paused still.
func TestReattachTakesUpAPausedContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		s := hyperv(untilStopped...)
		dead := newEngine(t, hcs)
		must(t, dead.Create("c1", s))
		must(t, dead.Pause("c1"))
		must(t, dead.Close())
		e := newEngine(t, hcs)
		must(t, e.Restore("c1", libcontainerd.WithReattach(s, dead.last("c1").Pid)))
		must(t, e.Resume("c1"))
		must(t, e.Signal("c1", 15))
		e.awaitExit("c1")
		e.wantEvents(t, "restore c1", "resume c1", "exit c1 3221225786")
	})
}

// Streams that nobody had taken are still there.
func TestReattachGetsTheStreamsThatHCSStillHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		s := spec("more")
		system, err := hcs.CreateComputeSystem("c1", document(t, hcs, "c1", s))
		must(t, err)
		must(t, system.Start())
		process, err := system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: "more", CreateStdInPipe: true, CreateStdOutPipe: true})
		must(t, err)
		pid := process.Pid()
		hcs.Abandon() // the engine dies before it took them
		e := newEngine(t, hcs)
		must(t, e.Restore("c1", libcontainerd.WithReattach(s, pid)))
		stdin := e.pipe("c1").Stdin
		if stdin == nil {
			t.Fatal("no stdin")
		}
		io.WriteString(stdin, "still here\r\n")
		stdin.Close()
		e.awaitExit("c1")
	})
}

func TestReattachThatFails(t *testing.T) {
	t.Run("init is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			hcs := hcstest.New(t)
			pid := orphan(t, hcs, "c1", spec(untilStopped...))
			hcs.ExitProcess("c1", pid, 0)
			e := newEngine(t, hcs)
			must(t, e.Restore("c1", libcontainerd.WithReattach(spec(untilStopped...), pid)))
			e.wantEvents(t, "exit c1 2147483648")
		})
	})
	for name, c := range map[string]struct {
		prepare func(*engine)
		want    error
	}{
		"open process": {func(e *engine) { e.hcs.Fail(hcstest.OpOpenProcess, "", libcontainerd.CodeAccessDenied) }, libcontainerd.CodeAccessDenied},
		"refused":      {func(e *engine) { e.onState = func(string, libcontainerd.StateInfo) error { return errRefused } }, errRefused},
	} {
		t.Run(name+": it is left as it was", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				s := spec(untilStopped...)
				pid := orphan(t, hcs, "c1", s)
				e := newEngine(t, hcs)
				c.prepare(e)
				if err := e.Restore("c1", libcontainerd.WithReattach(s, pid)); !errors.Is(err, c.want) {
					t.Errorf("got %v", err)
				}
				if left := list(t, hcs); len(left) != 1 || left[0].State != "Running" {
					t.Errorf("systems %v", left)
				}
				e.onState = nil
				must(t, e.Restore("c1"))
			})
		})
	}
}

// Containers of a client that is closed run on.
func TestReconcileEndsNoContainerOfAClientThatIsClosed(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpList, hcstest.OpOpen} {
		synctest.Test(t, func(t *testing.T) {
			hcs := hcstest.New(t)
			orphan(t, hcs, "zombie", spec(untilStopped...))
			e := newEngine(t, hcs)
			must(t, e.Create("ours", spec(untilStopped...)))
			hung := hcs.Hang(op, "")
			reconciled := make(chan error)
			go func() {
				_, err := e.Reconcile(t.Context(), libcontainerd.DefaultOwner)
				reconciled <- err
			}()
			<-hung.Met()
			go e.Close()
			synctest.Wait()
			hung.Release()
			if err := <-reconciled; !errdefs.IsFailedPrecondition(err) {
				t.Errorf("got %v", err)
			}
			for _, id := range []string{"ours", "zombie"} {
				terminate(t, hcs, id)
			}
		})
	}
}

// Lesson 47: no restart of an engine leaves a zombie.
func TestReconcileEndsWhatNobodyClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "zombie1", spec(untilStopped...))
		orphan(t, hcs, "zombie2", hyperv(untilStopped...))
		other := newEngine(t, hcs, libcontainerd.WithOwner("somebody else"))
		must(t, other.Create("theirs", spec(untilStopped...)))
		e := newEngine(t, hcs)
		must(t, e.Create("ours", spec(untilStopped...)))

		ended, err := e.Reconcile(t.Context(), libcontainerd.DefaultOwner)
		must(t, err)
		var ids []string
		for _, s := range ended {
			ids = append(ids, s.ID)
		}
		if diff := cmp.Diff([]string{"zombie1", "zombie2"}, ids); diff != "" {
			t.Errorf("ended (-want +got):\n%s", diff)
		}
		must(t, e.Signal("ours", 0))
		must(t, other.Signal("theirs", 0))

		hung := hcs.Hang(hcstest.OpTerminate, "")
		orphan(t, hcs, "zombie3", spec(untilStopped...))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Reconcile(ctx, "docker"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		hung.Release()
		synctest.Wait()
		must(t, e.Signal("ours", 9))
		must(t, other.Signal("theirs", 9))
		e.awaitExit("ours")
		other.awaitExit("theirs")
	})
}
