package libcontainerd_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

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

// A container that was paused is still paused. See lessons_test.go: 57.
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

// Taking up a container again needs nothing that only its creation needed.
func TestReattachNeedsNoDocument(t *testing.T) {
	for name, prepare := range map[string]func(*hcstest.Service){
		"layer ids are refused": inject(hcstest.OpLayerID, hcstest.Fault{Err: libcontainerd.CodeAccessDenied}),
		"layer ids hang":        hang(hcstest.OpLayerID),
		"no utility VM":         inject(hcstest.OpUtilityVM, hcstest.Fault{Err: libcontainerd.CodePathNotFound}),
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

// A signal during a reattach ends the container, as one during a Create does.
func TestSignalDuringAReattachEndsTheContainer(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpOpen, hcstest.OpOpenProcess, hcstest.OpStdio} {
		for _, sig := range []int{9, 15} {
			t.Run(fmt.Sprintf("%s/%d", op, sig), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hcs := hcstest.New(t)
					s := hyperv(untilStopped...)
					pid := orphan(t, hcs, "c1", s)
					e := newEngine(t, hcs)
					hung := hcs.Inject(hcstest.Rule{Op: op, Times: 1, Fault: hcstest.Fault{Hang: true}})
					restored := make(chan error, 1)
					go func() { restored <- e.Restore("c1", libcontainerd.WithReattach(s, pid)) }()
					<-hung.Met()
					must(t, e.Signal("c1", sig))
					hung.Release()
					if err := <-restored; err != nil {
						t.Errorf("restore: %v", err)
					}
					exit := e.wantExit(t, "c1", time.Minute)
					if exit.ExitCode != libcontainerd.RestoreExitCode || exit.Err != nil {
						t.Errorf("exit %+v", exit)
					}
					time.Sleep(time.Minute)
					e.wantEvents(t, "exit c1 2147483648")
					if systems := list(t, hcs); len(systems) > 0 {
						t.Errorf("left: %v", systems)
					}
					if _, err := e.State("c1"); !errdefs.IsNotFound(err) {
						t.Errorf("the id is not free: %v", err)
					}
					endAll(t, hcs)
				})
			})
		}
	}
}
