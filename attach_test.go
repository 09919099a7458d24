package libcontainerd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// The streams of an exec that comes late are not handed over once its container has
// exited, be there a next life of the id or not.
func TestNoStreamsAreHandedOverAfterTheExit(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpCreateProcess, hcstest.OpPid, hcstest.OpStdio} {
		for _, end := range []string{"exit", "next life", "restart"} {
			t.Run(fmt.Sprintf("%s/%s", op, end), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					var options []libcontainerd.CreateOption
					if end == "restart" {
						options = append(options, libcontainerd.WithRestartManager(&restartManager{
							answers: []func() (bool, chan error, error){restartWith(closedChannel())},
						}))
					}
					must(t, e.Create("c1", spec(untilStopped...), options...))
					hung := e.hcs.Inject(hcstest.Rule{Op: op, ID: "c1", Times: 1, Fault: hcstest.Fault{Hang: true, Done: true}})
					added := make(chan error, 1)
					go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
					<-hung.Met()
					must(t, e.Signal("c1", 9))
					switch end {
					case "restart":
						e.hears("start-container c1", 2, time.Hour)
					case "next life":
						e.wantExit(t, "c1", time.Hour)
						must(t, e.Create("c1", spec(untilStopped...)))
					default:
						e.wantExit(t, "c1", time.Hour)
					}
					hung.Release()
					if err := <-added; err == nil {
						t.Error("exec in a container that has ended")
					}
					if slices.Contains(e.callbacks(), "attach p1") {
						t.Errorf("callbacks %q", e.callbacks())
					}
					if end != "exit" {
						must(t, e.Signal("c1", 9))
						e.wantExit(t, "c1", time.Hour)
					}
				})
			})
		}
	}
}

// An exec that was added while a start was being announced has its exit though the
// start fails: before Create returns, or before the exit that a failed restart is.
func TestExecOfAStartThatFailsHasItsExit(t *testing.T) {
	add := func(e *engine) error { return e.AddProcess("c1", "p1", exec("ping", "-t", "localhost")) }
	addEnding := func(e *engine) error { return e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 3")) }
	inAttach := func(add func(e *engine) error, late time.Duration, prepare func(*engine)) func(*testing.T, *engine, int) {
		return func(t *testing.T, e *engine, failing int) {
			n := 0
			e.onAttach = func(name string, _ libcontainerd.IOPipe) error {
				if name != "c1" {
					return nil
				}
				if n++; n != failing {
					return nil
				}
				must(t, add(e))
				time.Sleep(late)
				if prepare != nil {
					prepare(e)
				}
				return errRefused
			}
		}
	}
	inStart := func(add func(e *engine) error, late time.Duration, prepare func(*engine)) func(*testing.T, *engine, int) {
		return func(t *testing.T, e *engine, failing int) {
			e.onState = func(_ string, info libcontainerd.StateInfo) error {
				if info.State != libcontainerd.StateStart || e.count("start-container") != failing {
					return nil
				}
				must(t, add(e))
				time.Sleep(late)
				if prepare != nil {
					prepare(e)
				}
				return errRefused
			}
		}
	}
	hides := func(e *engine) { hang(hcstest.OpWaitProcess)(e.hcs) }
	for name, fail := range map[string]func(*testing.T, *engine, int){
		"added in AttachStreams, which fails":              inAttach(add, 0, nil),
		"added in AttachStreams, which fails, has ended":   inAttach(addEnding, time.Second, nil),
		"added in the start, which is refused":             inStart(add, 0, nil),
		"added in the start, which is refused, has ended":  inStart(addEnding, time.Second, nil),
		"added in the start, HCS does not tell of its end": inStart(add, 0, hides),
		"added in the start, its container crashes": inStart(add, 0, func(e *engine) {
			e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit)
		}),
		"added in the start, its container is killed": inStart(add, 0, func(e *engine) { e.Signal("c1", 9) }),
		"added in AttachStreams, then the start is refused": func(t *testing.T, e *engine, failing int) {
			n := 0
			e.onAttach = func(name string, _ libcontainerd.IOPipe) error {
				if name == "c1" {
					if n++; n == failing {
						must(t, add(e))
					}
				}
				return nil
			}
			e.onState = func(_ string, info libcontainerd.StateInfo) error {
				if info.State == libcontainerd.StateStart && e.count("start-container") == failing {
					return errRefused
				}
				return nil
			}
		},
	} {
		t.Run("create: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				fail(t, e, 1)
				if err := e.Create("c1", spec(untilStopped...)); !is(errRefused)(err) {
					t.Errorf("create: %v", err)
				}
				if n := e.count("exit-process c1/p1 "); n != 1 {
					t.Errorf("when Create returned the exec had %d exits: events %q", n, e.events())
				}
				time.Sleep(time.Hour)
				if n := e.count("exit-process c1/p1 "); n != 1 {
					t.Errorf("in the end the exec has %d exits", n)
				}
				if n := e.count("exit c1"); n != 0 {
					t.Errorf("a container that never ran exits: events %q", e.events())
				}
				e.hcs.Heal()
			})
		})
		t.Run("restart: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				fail(t, e, 2)
				rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
				must(t, e.Create("c1", spec(untilStopped...), libcontainerd.WithRestartManager(rm)))
				e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
				e.wantExit(t, "c1", 2*time.Hour)
				time.Sleep(time.Hour)
				events := e.events()
				i := slices.IndexFunc(events, func(line string) bool { return strings.HasPrefix(line, "exit-process c1/p1 ") })
				j := slices.IndexFunc(events, func(line string) bool { return strings.HasPrefix(line, "exit c1 ") })
				if n := e.count("exit-process c1/p1 "); n != 1 || i > j {
					t.Errorf("events %q", events)
				}
				e.hcs.Heal()
			})
		})
	}
}

// AddProcess answers nil if and only if an exit follows, whatever ends the container
// meanwhile.
func TestExecThatWasAddedHasOneExit(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*engine)
		end     func(*engine)
	}{
		"killed while it is attached":  {end: func(e *engine) { e.Signal("c1", 9) }},
		"crashes while it is attached": {end: func(e *engine) { e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit) }},
		"init ends while it is attached": {end: func(e *engine) {
			e.hcs.ExitProcess("c1", e.last("c1").Pid, 4)
		}},
		"killed, HCS does not tell": {
			prepare: func(e *engine) { hang(hcstest.OpWaitProcess)(e.hcs) },
			end:     func(e *engine) { e.Signal("c1", 9) },
		},
	} {
		for _, hold := range []time.Duration{0, time.Second, libcontainerd.DefaultGrace, time.Minute} {
			t.Run(fmt.Sprintf("%s/%v", name, hold), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					if c.prepare != nil {
						c.prepare(e)
					}
					must(t, e.Create("c1", spec(untilStopped...)))
					attaching := make(chan bool)
					e.onAttach = func(string, libcontainerd.IOPipe) error {
						close(attaching)
						time.Sleep(hold)
						return nil
					}
					added := make(chan error, 1)
					go func() { added <- e.AddProcess("c1", "p1", exec(untilStopped...)) }()
					<-attaching
					c.end(e)
					err := <-added
					e.wantExit(t, "c1", time.Hour)
					time.Sleep(time.Hour)
					want := 0
					if err == nil {
						want = 1
					}
					if n := e.count("exit-process c1/p1 "); n != want {
						t.Errorf("exec answered %v and has %d exits: %q", err, n, e.events())
					}
					if events := e.events(); !strings.HasPrefix(events[len(events)-1], "exit c1 ") {
						t.Errorf("something follows the exit: %q", events)
					}
					e.hcs.Heal()
				})
			})
		}
	}
}

// The kill of an exec that comes too late is repeated until it succeeds, and a
// failure of it is logged.
func TestFailedKillOfALateExecIsLoggedAndRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hook := newLog()
		e := newEngine(t, nil, libcontainerd.WithLogger(logger))
		must(t, e.Create("c1", spec(untilStopped...)))
		hung := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpCreateProcess, Times: 1, Fault: hcstest.Fault{Hang: true}})
		if err := e.AddProcess("c1", "p1", exec("timeout", "/t", "-1")); err == nil {
			t.Error("exec that hangs succeeded")
		}
		e.hcs.Fail(hcstest.OpKill, "c1", libcontainerd.CodeRPCFailed)
		hung.Release()
		time.Sleep(time.Hour)
		if entries := hook.about(libcontainerd.CodeRPCFailed); len(entries) == 0 {
			t.Error("the failure is not logged")
		} else if entries[0].Data["container"] != "c1" || entries[0].Data["process"] != "p1" {
			t.Errorf("logged %v", entries[0].Data)
		}
		summaries, err := e.Summary("c1")
		must(t, err)
		for _, s := range summaries {
			if strings.HasPrefix(s.ImageName, "timeout") {
				t.Errorf("it runs: %+v", s)
			}
		}
		must(t, e.Signal("c1", 9))
		e.wantExit(t, "c1", time.Hour)
	})
}
