package libcontainerd_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
)

// logHook keeps what was logged.
type logHook struct{ *test.Hook }

// about returns the warnings and errors whose cause is cause.
func (h logHook) about(cause error) []*logrus.Entry {
	var entries []*logrus.Entry
	for _, entry := range h.AllEntries() {
		err, _ := entry.Data[logrus.ErrorKey].(error)
		if entry.Level <= logrus.WarnLevel && errors.Is(err, cause) {
			entries = append(entries, entry)
		}
	}
	return entries
}

// newLog returns a logger for everything, and what was logged to it.
func newLog() (*logrus.Entry, logHook) {
	logger, hook := test.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	return logrus.NewEntry(logger), logHook{hook}
}

// An engine of 2016 does not read StateInfo.Err: why a container, an exec'd process
// or a restart ended is in the log, once for each exit.
func TestExitWithAnErrorIsOneWarning(t *testing.T) {
	restarts := func() libcontainerd.CreateOption {
		return libcontainerd.WithRestartManager(&restartManager{
			answers: []func() (bool, chan error, error){restartWith(closedChannel())},
		})
	}
	for name, c := range map[string]struct {
		options []libcontainerd.CreateOption
		prepare func(*engine)
		end     func(*engine)
		cause   error
		process string // "": the container
		code    uint32
	}{
		"crash": {
			end:   func(e *engine) { e.hcs.Crash("c1", libcontainerd.CodeUnexpectedExit) },
			cause: libcontainerd.CodeUnexpectedExit, code: libcontainerd.UnknownExitCode,
		},
		"exit code that HCS does not return": {
			prepare: func(e *engine) { e.hcs.Fail(hcstest.OpWaitProcess, "", libcontainerd.CodeInvalidHandle) },
			end:     func(*engine) {},
			cause:   libcontainerd.CodeInvalidHandle, code: libcontainerd.UnknownExitCode,
		},
		"exec whose exit code HCS does not return": {
			end: func(e *engine) {
				e.hcs.Fail(hcstest.OpWaitProcess, "", libcontainerd.CodeInvalidHandle)
				e.AddProcess("c1", "p1", exec(untilStopped...))
				e.hears("exit-process c1/p1", 1, time.Hour)
				e.Signal("c1", 9)
			},
			cause: libcontainerd.CodeInvalidHandle, process: "p1", code: libcontainerd.UnknownExitCode,
		},
		"restart that fails": {
			options: []libcontainerd.CreateOption{restarts()},
			prepare: func(e *engine) { e.hcs.Fail(hcstest.OpCreate, "", nil, libcontainerd.CodeImageMismatch) },
			end:     func(e *engine) { e.hcs.ExitProcess("c1", e.last("c1").Pid, 4) },
			cause:   libcontainerd.CodeImageMismatch, code: libcontainerd.UnknownExitCode,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger, hook := newLog()
				e := newEngine(t, nil, libcontainerd.WithLogger(logger))
				if c.prepare != nil {
					c.prepare(e)
				}
				must(t, e.Create("c1", spec(untilStopped...), c.options...))
				synctest.Wait() // its end is waited for
				c.end(e)
				e.wantExit(t, "c1", time.Hour)
				time.Sleep(time.Hour)
				entries := hook.about(c.cause)
				if len(entries) != 1 {
					t.Fatalf("%d warnings of the cause, want 1: %v", len(entries), entries)
				}
				data := entries[0].Data
				if entries[0].Level != logrus.WarnLevel || data["container"] != "c1" {
					t.Errorf("logged %v %q, %v", entries[0].Level, entries[0].Message, data)
				}
				if process, _ := data["process"].(string); c.process != "" && process != c.process {
					t.Errorf("process %q in the log, want %q", process, c.process)
				}
			})
		})
	}
}

// An exit without an error warns of nothing.
func TestOrderlyExitIsNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hook := newLog()
		e := newEngine(t, nil, libcontainerd.WithLogger(logger))
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 3")))
		e.hears("exit-process c1/p1 3", 1, time.Hour)
		must(t, e.Signal("c1", 9))
		e.wantExit(t, "c1", time.Hour)
		for _, entry := range hook.AllEntries() {
			if entry.Level <= logrus.WarnLevel {
				t.Errorf("logged %q, %v", entry.Message, entry.Data)
			}
		}
	})
}

// Containers that run when the client is closed have not ended: it logs no warning.
func TestCloseWarnsOfNoExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		logger, hook := newLog()
		e := newEngine(t, hcs, libcontainerd.WithLogger(logger))
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec(untilStopped...)))
		must(t, e.Close())
		for _, entry := range hook.AllEntries() {
			if entry.Level <= logrus.WarnLevel {
				t.Errorf("warning: %s %v", entry.Message, entry.Data)
			}
		}
		must(t, newEngine(t, hcs).Restore("c1"))
	})
}

// If a handle cannot be closed, the log names its container and process.
func TestHandleThatCannotBeClosedIsNamed(t *testing.T) {
	for op, process := range map[hcstest.Op]string{hcstest.OpClose: "", hcstest.OpCloseProcess: "init"} {
		synctest.Test(t, func(t *testing.T) {
			logger, hook := newLog()
			e := newEngine(t, nil, libcontainerd.WithLogger(logger))
			inject(op, hcstest.Fault{Err: libcontainerd.CodeInvalidParameter})(e.hcs)
			must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
			e.wantExit(t, "c1", time.Hour)
			time.Sleep(time.Hour)
			entries := hook.about(libcontainerd.CodeInvalidParameter)
			if len(entries) == 0 {
				t.Fatalf("%s: nothing is logged", op)
			}
			if data := entries[0].Data; data["container"] != "c1" {
				t.Errorf("%s: logged %q, %v", op, entries[0].Message, data)
			}
			if data := entries[0].Data; process != "" && data["process"] != process {
				t.Errorf("%s: logged %q, %v", op, entries[0].Message, data)
			}
			e.hcs.Abandon()
		})
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

// If a Backend answers anything but a start with an error, the error is logged. See
// lessons_test.go: D44.
func TestRefusedEventIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hook := test.NewNullLogger()
		e := newEngine(t, nil, libcontainerd.WithLogger(logrus.NewEntry(logger)))
		must(t, e.Create("c1", spec(untilStopped...)))
		e.onState = func(string, libcontainerd.StateInfo) error { return errRefused }
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		synctest.Wait()
		entry := hook.LastEntry()
		if entry == nil {
			t.Fatal("nothing is logged")
		}
		refusal, _ := entry.Data[logrus.ErrorKey].(error)
		if entry.Level != logrus.ErrorLevel || entry.Data["container"] != "c1" ||
			entry.Data["state"] != libcontainerd.StateExit || !errors.Is(refusal, errRefused) {
			t.Errorf("logged %+v", entry)
		}
	})
}

// The 2016 client logged the whole spec.
func TestSecretsAreNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "hush"
		var log strings.Builder
		logger := logrus.New()
		logger.SetOutput(&log)
		logger.SetLevel(logrus.TraceLevel)
		e := newEngine(t, nil, libcontainerd.WithLogger(logrus.NewEntry(logger)))
		s := spec("cmd", "/c", "exit 1")
		s.Process.Env = []string{"PASSWORD=" + secret, "PASSWORD=again " + secret}
		s.Windows.CredentialSpec = `{"secret":"` + secret + `"}`
		s.Windows.FirstStart = true
		must(t, e.Create("c1", s, libcontainerd.WithRestartManager(&restartManager{})))
		e.awaitExit("c1")
		e.hcs.Fail(hcstest.OpCreate, "", libcontainerd.CodeInvalidJSON)
		if err := e.Create("c1", s); err == nil || strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("got %+v", err)
		}
		e.hcs.Fail(hcstest.OpCreateProcess, "", libcontainerd.CodeFileNotFound)
		if err := e.Create("c1", s); err == nil || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("got %+v", err)
		}
		if text := log.String(); text == "" || strings.Contains(text, secret) {
			t.Errorf("log: %s", text)
		}
	})
}
