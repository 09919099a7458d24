package libcontainerd_test

import (
	"errors"
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

// newLog returns a logger for everything, and what was logged to it.
func newLog() (*logrus.Entry, logHook) {
	logger, hook := test.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	return logrus.NewEntry(logger), logHook{hook}
}

// about are the entries from the level of warnings upwards whose error is cause.
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
		"exit code that cannot be had": {
			prepare: func(e *engine) { e.hcs.Fail(hcstest.OpWaitProcess, "", libcontainerd.CodeInvalidHandle) },
			end:     func(*engine) {},
			cause:   libcontainerd.CodeInvalidHandle, code: libcontainerd.UnknownExitCode,
		},
		"exec whose exit code cannot be had": {
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

// What cannot be closed is named.
func TestHandleThatCannotBeClosedIsNamed(t *testing.T) {
	for op, process := range map[hcstest.Op]string{hcstest.OpClose: "", hcstest.OpCloseProcess: "init"} {
		synctest.Test(t, func(t *testing.T) {
			logger, hook := newLog()
			e := newEngine(t, nil, libcontainerd.WithLogger(logger))
			e.hcs.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Err: libcontainerd.CodeInvalidParameter}})
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
