package endtoend

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// limit is how long a call may take with the limits of quick: its own limit, the
// limit of the termination that follows, and time for a slow machine.
const limit = 30 * time.Second

// within fails the test unless f returns in time.
func within(t *testing.T, what string, f func() error) error {
	t.Helper()
	start := time.Now()
	err := f()
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %v", what, took)
	}
	return err
}

type createFault struct {
	fault string
	want  error // nil: the container runs in spite of it
}

// Whichever step of a create fails, the error says why, no event comes, and
// nothing is left.
func TestFaultsDuringCreate(t *testing.T) {
	testCreateFaults(t, []createFault{
		{"HcsCreateComputeSystem=0xC0370101", libcontainerd.CodeImageMismatch},
		{"HcsCreateComputeSystem=0x80070005", errdefs.ErrPermissionDenied},
		{"HcsCreateComputeSystem=slow:300", nil},
		{"HcsCreateComputeSystem=hang", context.DeadlineExceeded},
		{"SystemCreateCompleted=0xC0370109", libcontainerd.CodeTimeout},
		{"SystemCreateCompleted=late:300", nil},
		{"HcsRegisterComputeSystemCallback=0x80070005*1", libcontainerd.CodeAccessDenied},
		{"HcsGetComputeSystemProperties=0x80070005*1", libcontainerd.CodeAccessDenied},
		{"HcsStartComputeSystem=0xC0370102", libcontainerd.CodeHyperVNotInstalled},
		{"HcsStartComputeSystem=hang", context.DeadlineExceeded},
		{"SystemStartCompleted=0xC0370106", libcontainerd.CodeUnexpectedExit},
		{"SystemStartCompleted=late:300", nil},
		{"HcsCreateProcess=0x80070002", errdefs.ErrNotFound},
		{"HcsCreateProcess=crash", libcontainerd.CodeAlreadyStopped},
		{"HcsCreateProcess=hang", context.DeadlineExceeded},
		{"HcsRegisterProcessCallback=0x80070006", libcontainerd.CodeInvalidHandle},
		{"HcsCreateProcess=0x80070002;HcsTerminateComputeSystem=hang", errdefs.ErrNotFound},
	})
}

// Here hcsshim itself waits in vain.
func TestLostNotificationsDuringCreate(t *testing.T) {
	if standIn(t); !impatient(t) {
		return
	}
	testCreateFaults(t, []createFault{
		{"SystemCreateCompleted=lost", context.DeadlineExceeded},
		{"SystemStartCompleted=lost", context.DeadlineExceeded},
		{"HcsStartComputeSystem=crash", libcontainerd.CodeUnexpectedExit},
	})
}

// hcsshim gives up a call without telling HCS, which may still carry it out.
func TestCreateThatHCSGoesOnWith(t *testing.T) {
	if !impatient(t) {
		return
	}
	_, log := standInLosing(t, 1) // the handle comes after the wait for it
	e := newEngine(t, quick()...)
	order(t, "HcsCreateComputeSystem=hang")
	if err := e.Create("web", testSpec("cmd")); !errors.Is(err, libcontainerd.CodeOperationTimeout) {
		t.Errorf("create: %v", err)
	}
	order(t, "")
	eventually(t, "it is ended", func() bool { return log.find("HcsTerminateComputeSystem", "web") != nil })
}

// If hcsshim gives up a pause or a resume, the client asks HCS for the outcome.
func TestPauseThatHcsshimGivesUp(t *testing.T) {
	if standIn(t); !impatient(t) {
		return
	}
	for _, tt := range []struct{ fault, want string }{
		{"SystemPauseCompleted=lost", "start-container, pause, resume, exit init 3221225786"},
		{"SystemResumeCompleted=lost*1", "start-container, pause, resume, exit init 3221225786"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			standIn(t)
			e := newEngine(t, quick()...)
			e.create(t, "web", hyperVSpec(t, "cmd"))
			order(t, tt.fault)
			err := e.Pause("web")
			if err == nil {
				err = e.Resume("web")
			}
			if !errors.Is(err, libcontainerd.CodeOperationTimeout) {
				t.Errorf("%v, want operation timeout", err)
			}
			if err := e.Signal("web", 15); err != nil {
				t.Error(err)
			}
			e.await(t, "web", libcontainerd.StateExit)
			if got := e.trace("web"); got != tt.want {
				t.Errorf("events %q, want %q", got, tt.want)
			}
		})
	}
}

// hcsshim takes the late notification of the first pause for that of the second.
func TestLateNotificationOfAPauseIsNotThatOfTheNext(t *testing.T) {
	if standIn(t); !impatient(t) {
		return
	}
	_, log := standIn(t)
	e := newEngine(t, quick()...)
	e.create(t, "web", hyperVSpec(t, "cmd"))
	order(t, "SystemPauseCompleted=late:3000*1")
	if err := e.Pause("web"); !errors.Is(err, libcontainerd.CodeOperationTimeout) {
		t.Errorf("pause: %v", err)
	}
	eventually(t, "the notification comes", func() bool { return log.find("SystemPauseCompleted", "web") != nil })
	if err := e.Resume("web"); err != nil {
		t.Error(err)
	}
	order(t, "SystemPauseCompleted=0x80070005*1")
	if err := e.Pause("web"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("pause that HCS failed: %v", err)
	}
	order(t, "")
	e.kill(t, "web")
}

func TestIDThatIsNotFreeAtOnce(t *testing.T) {
	standIn(t)
	e := newEngine(t)
	e.create(t, "web", testSpec("cmd"), libcontainerd.WithRestartManager(&restarts{left: 1}))
	order(t, "HcsCreateComputeSystem=0xC037010F*3")
	if err := e.stdin("web").Close(); err != nil {
		t.Error(err)
	}
	e.awaitNth(t, "web", libcontainerd.StateStart, 2)
	e.kill(t, "web")
	want := fmt.Sprintf("start-container, restart init 0, start-container, exit init %d", killedCode)
	if got := e.trace("web"); got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

func testCreateFaults(t *testing.T, faults []createFault) {
	t.Helper()
	for _, tt := range faults {
		t.Run(tt.fault, func(t *testing.T) {
			standIn(t)
			e := newEngine(t, quick()...)
			order(t, tt.fault)
			err := within(t, "create", func() error { return e.Create("web", testSpec("cmd")) })
			if !errors.Is(err, tt.want) {
				t.Errorf("create: %v, want %v", err, tt.want)
			}
			order(t, "")
			if err == nil {
				e.kill(t, "web")
				return
			}
			if got := e.trace("web"); got != "" {
				t.Errorf("events %q, want none", got)
			}
			eventually(t, "the id is free", func() bool { return errdefs.IsNotFound(e.Signal("web", 0)) })
		})
	}
}

// Whatever HCS does when a container ends, there is one exit, within the limits.
func TestFaultsAtTheEnd(t *testing.T) {
	tests := []struct {
		name, fault string
		end         func(e *engine) error // nil: init ends by itself, with 0
		codes       []uint32
		failed      bool // the event has an error
	}{
		{"shutdown refused", "HcsShutdownComputeSystem=0x8007007F", nil, []uint32{0}, false},
		{"shutdown forgotten", "HcsShutdownComputeSystem=lost", nil, []uint32{0}, false},
		{"shutdown hangs", "HcsShutdownComputeSystem=hang", nil, []uint32{0}, false},
		{"stopped already", "HcsShutdownComputeSystem=0xC0370110;HcsTerminateComputeSystem=slow:10", nil, []uint32{0}, false},
		{"stop notified late", "SystemExited=late:500", nil, []uint32{0}, false},
		{"init's exit notified late", "ProcessExited=late:500", nil, []uint32{0}, false},
		{"handles are not closed at once", "HcsCloseProcess=0x800706BA*2;HcsUnregisterComputeSystemCallback=0x800706BA*2;HcsCloseComputeSystem=0x800706BA*2", nil, []uint32{0}, false},
		{"no exit code", "HcsGetProcessProperties=nocode", nil, []uint32{libcontainerd.UnknownExitCode}, true},
		{"init's exit never notified", "ProcessExited=lost", kill, []uint32{libcontainerd.UnknownExitCode}, true},
		{"shutdown and terminate hang", "HcsShutdownComputeSystem=hang*1;HcsTerminateComputeSystem=hang*1", nil, []uint32{0}, false},
		{"terminate always hangs", "HcsShutdownComputeSystem=lost;HcsTerminateComputeSystem=hang", nil, []uint32{0}, true},
		{"system crashes", "HcsShutdownComputeSystem=crash", stop, []uint32{shutdownCode, killedCode, libcontainerd.UnknownExitCode}, true},
		{"service vanishes", "Service=gone", vanish, []uint32{libcontainerd.UnknownExitCode}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			standIn(t)
			e := newEngine(t, quick()...)
			program := []string{"cmd", "/c", "exit 0"}
			if tt.end != nil {
				program = []string{"cmd"}
			} else {
				order(t, tt.fault)
			}
			e.create(t, "web", testSpec(program...))
			if tt.end != nil {
				order(t, tt.fault)
				if err := within(t, "the call", func() error { return tt.end(e) }); err != nil {
					t.Error(err)
				}
			}
			var exit libcontainerd.StateInfo
			_ = within(t, "the exit", func() error { exit = e.await(t, "web", libcontainerd.StateExit); return nil })
			known := false
			for _, code := range tt.codes {
				known = known || exit.ExitCode == code
			}
			if !known || (exit.Err != nil) != tt.failed {
				t.Errorf("exit code %#x, error %v", exit.ExitCode, exit.Err)
			}
			order(t, "")
			if err := e.Signal("web", 0); !errdefs.IsNotFound(err) {
				t.Errorf("signal 0: %v, want not found", err)
			}
		})
	}
}

func kill(e *engine) error   { return e.Signal("web", 9) }
func stop(e *engine) error   { return e.Signal("web", 15) }
func vanish(e *engine) error { return nil }

// A call that HCS does not answer ends at its limit. It disturbs neither the
// other calls on the container nor another container.
func TestCallsThatHang(t *testing.T) {
	tests := []struct {
		fault string
		call  func(e *engine) error
	}{
		{"HcsModifyProcess@web=hang", func(e *engine) error { return e.Resize("web", "init", 80, 25) }},
		{"HcsGetComputeSystemProperties@web=hang", func(e *engine) error { _, err := e.Stats("web"); return err }},
		{"HcsGetComputeSystemProperties@web=hang", func(e *engine) error { _, err := e.Summary("web"); return err }},
		{"HcsCreateProcess@web=hang", func(e *engine) error {
			return e.AddProcess("web", "two", libcontainerd.Process{Args: []string{"cmd", "/c", "exit 0"}})
		}},
		{"HcsPauseComputeSystem@web=hang", func(e *engine) error { return e.Pause("web") }},
		{"HcsShutdownComputeSystem@web=hang;HcsTerminateComputeSystem@web=hang", func(e *engine) error { return e.Signal("web", 9) }},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			standIn(t)
			e := newEngine(t, quick()...)
			spec := hyperVSpec(t, "cmd")
			spec.Process.Terminal = true
			e.create(t, "web", spec)
			e.create(t, "other", spec)
			order(t, tt.fault)
			answer := make(chan error, 1)
			go func() { answer <- within(t, "the call", func() error { return tt.call(e) }) }()
			if err := errors.Join(e.Signal("web", 0), e.Resize("other", "init", 80, 25)); err != nil {
				t.Errorf("meanwhile: %v", err)
			}
			e.kill(t, "other")
			if err := <-answer; err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want deadline exceeded", err)
			}
			order(t, "")
			if err := e.Signal("web", 9); err != nil && !errdefs.IsNotFound(err) {
				t.Error(err)
			}
			e.await(t, "web", libcontainerd.StateExit)
		})
	}
}

// Every container has one exit when the service ends.
func TestServiceThatVanishesEndsEveryContainer(t *testing.T) {
	standIn(t)
	e := newEngine(t, quick()...)
	for _, id := range []string{"one", "two"} {
		e.create(t, id, testSpec("cmd"))
		e.exec(t, id, "exec-"+id, "cmd")
	}
	order(t, "Service=gone")
	for _, id := range []string{"one", "two"} {
		exit := e.await(t, id, libcontainerd.StateExit)
		if !errors.Is(exit.Err, errdefs.ErrUnavailable) {
			t.Errorf("%s: exit %+v, want unavailable", id, exit)
		}
		want := "start-container, exit-process exec-" + id + " 4294967295, exit init 4294967295"
		if got := e.trace(id); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	}
	order(t, "")
	e.create(t, "one", testSpec("cmd", "/c", "exit 0")) // the service is back
	e.awaitNth(t, "one", libcontainerd.StateExit, 2)
}
