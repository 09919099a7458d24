package endtoend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// TestConformance proves that HCS, through hcsshim, behaves as the client relies
// on.
func TestConformance(t *testing.T) {
	h := anyHCS(t)
	service, err := libcontainerd.HostService()
	if err != nil {
		t.Fatal(err)
	}
	spec := h.spec(t, "hcstest")
	config := hcstest.SuiteConfig{
		Spec: &spec,
		Commands: hcstest.SuiteCommands{
			Copy: h.inside(t, "copy"),
			Run:  "cmd", // it waits for a command
		},
	}
	if !h.isReal() {
		hyperV := hyperVSpec(t)
		config.HyperV, config.Timeout = &hyperV, 30*time.Second
	}
	if err := hcstest.TestComputeService(service, config); err != nil {
		t.Error(err)
	}
}

func testSpec(args ...string) libcontainerd.Spec {
	return libcontainerd.Spec{
		Hostname: "endtoend",
		Process:  libcontainerd.Process{Args: args, Cwd: `C:\`},
		Root:     libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{
			LayerFolder: `C:\endtoend\scratch`,
			LayerPaths:  []string{`C:\endtoend\base`},
		},
	}
}

func hyperVSpec(t *testing.T, args ...string) libcontainerd.Spec {
	t.Helper()
	layer := t.TempDir()
	if err := os.Mkdir(filepath.Join(layer, "UtilityVM"), 0o777); err != nil {
		t.Fatal(err)
	}
	spec := testSpec(args...)
	spec.Root.Path = ""
	spec.Windows.LayerPaths = []string{layer}
	spec.Windows.HvRuntime = &libcontainerd.HvRuntime{}
	return spec
}

// createSystem makes a created compute system that the test ends.
func createSystem(t *testing.T, service libcontainerd.ComputeService, id string) libcontainerd.ComputeSystem {
	t.Helper()
	document, err := libcontainerd.Configuration(id, testSpec(), service)
	if err != nil {
		t.Fatal(err)
	}
	system, err := service.CreateComputeSystem(id, document)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Unsetenv("VMCOMPUTE_FAULTS")
		if err := system.Terminate(); err != nil {
			t.Error(err)
		}
		_ = system.Wait()
		if err := system.Close(); err != nil {
			t.Error(err)
		}
	})
	return system
}

// startProcess starts a command. A cmd without arguments waits for its input.
func startProcess(t *testing.T, system libcontainerd.ComputeSystem, commandLine string) libcontainerd.ComputeProcess {
	t.Helper()
	process, err := system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: commandLine, CreateStdInPipe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Close(); err != nil {
			t.Error(err)
		}
	})
	return process
}

// The failure of each call, in whichever shape hcsshim returns it, becomes an
// *Error with the code, its kind, and the events that HCS sent with it.
func TestFailuresOfEveryCall(t *testing.T) {
	type subject struct {
		service libcontainerd.ComputeService
		system  libcontainerd.ComputeSystem
		process libcontainerd.ComputeProcess
	}
	tests := []struct {
		fault string
		call  func(subject) error
		code  libcontainerd.Code
		kind  error
		quiet bool // the call cannot return events
	}{
		{"NameToGuid=0x80070057", func(s subject) error { _, err := s.service.LayerID("layer"); return err }, libcontainerd.CodeInvalidParameter, errdefs.ErrInvalidArgument, true},
		{"HcsCreateComputeSystem=0xC0370101", func(s subject) error {
			document, _ := libcontainerd.Configuration("failing", testSpec(), s.service)
			_, err := s.service.CreateComputeSystem("failing", document)
			return err
		}, libcontainerd.CodeImageMismatch, errdefs.ErrFailedPrecondition, false},
		{"SystemCreateCompleted=0xC0370109", func(s subject) error {
			document, _ := libcontainerd.Configuration("late", testSpec(), s.service)
			_, err := s.service.CreateComputeSystem("late", document)
			os.Unsetenv("VMCOMPUTE_FAULTS")
			left, e := s.service.OpenComputeSystem("late") // HCS has made it
			if e == nil {
				e = errors.Join(left.Terminate(), left.Wait(), left.Close())
			}
			return errors.Join(err, e)
		}, libcontainerd.CodeTimeout, nil, true},
		{"HcsOpenComputeSystem=0x8037011B", func(s subject) error { _, err := s.service.OpenComputeSystem("x"); return err }, libcontainerd.CodeHCSAccessDenied, errdefs.ErrPermissionDenied, false},
		{"HcsEnumerateComputeSystems=0x800706BA", func(s subject) error { _, err := s.service.ComputeSystems("x"); return err }, 0x6ba, errdefs.ErrUnavailable, false},
		{"HcsShutdownComputeSystem=0x8007007F", func(s subject) error { return s.system.Shutdown() }, libcontainerd.CodeProcNotFound, nil, false},
		{"HcsTerminateComputeSystem=0x80070005", func(s subject) error { return s.system.Terminate() }, libcontainerd.CodeAccessDenied, errdefs.ErrPermissionDenied, false},
		{"HcsGetComputeSystemProperties=0x80070006", func(s subject) error { _, err := s.system.Statistics(); return err }, libcontainerd.CodeInvalidHandle, nil, false},
		{"HcsGetComputeSystemProperties=0xC0370105", func(s subject) error { _, err := s.system.ProcessList(); return err }, libcontainerd.CodeInvalidState, nil, false},
		{"HcsCreateProcess=0x80070003", func(s subject) error {
			_, err := s.system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: "cmd"})
			return err
		}, libcontainerd.CodePathNotFound, errdefs.ErrNotFound, false},
		{"HcsOpenProcess=0x80070490", func(s subject) error { _, err := s.system.OpenProcess(4); return err }, libcontainerd.CodeNotFound, errdefs.ErrNotFound, false},
		{"HcsModifyProcess=0x80070490", func(s subject) error { return s.process.ResizeConsole(80, 25) }, libcontainerd.CodeNotFound, nil, false},
		{"HcsModifyProcess=0xC0370105", func(s subject) error { return s.process.CloseStdin() }, libcontainerd.CodeInvalidState, nil, false},
		{"HcsGetProcessInfo=0x80070490", func(s subject) error {
			stdin, _, _, err := s.process.Stdio() // the first pipes are there from the start
			if err == nil {
				err = stdin.Close()
			}
			if err == nil {
				_, _, _, err = s.process.Stdio()
			}
			return err
		}, libcontainerd.CodeNotFound, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			service, _ := standIn(t)
			system := createSystem(t, service, "subject")
			if err := system.Start(); err != nil {
				t.Fatal(err)
			}
			process := startProcess(t, system, "cmd")

			order(t, tt.fault)
			err := tt.call(subject{service, system, process})
			var e *libcontainerd.Error
			if !errors.As(err, &e) || !errors.Is(err, tt.code) {
				t.Fatalf("%v is not an *Error with code %#x", err, uint32(tt.code))
			}
			if tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("%v is not of kind %v", err, tt.kind)
			}
			if !tt.quiet && !slices.ContainsFunc(e.Events, func(event string) bool { return strings.Contains(event, "stand-in") }) {
				t.Errorf("events %q lack the one that HCS sent", e.Events)
			}
			if strings.Contains(e.Error(), "\n") {
				t.Errorf("not one line: %q", e.Error())
			}
		})
	}
}

// hcsshim's Kill terminates the whole system if it cannot open it again.
func TestKillDoesNotTakeTheSystemAlong(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "kill")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	process := startProcess(t, system, "cmd")

	order(t, "HcsOpenComputeSystem=0x80070005")
	if err := process.Kill(); !errors.Is(err, libcontainerd.CodeAccessDenied) {
		t.Errorf("kill: %v, want access denied", err)
	}
	order(t, "")
	if list, err := system.ProcessList(); err != nil || len(list) != 1 {
		t.Errorf("processes %v, %v, want the one that was there", list, err)
	}
}

func TestKillOfAProcess(t *testing.T) {
	tests := []struct {
		name, fault string
		ok          bool
		ends        bool
	}{
		{"that runs", "", true, true},
		{"that another is ending", "HcsTerminateProcess=0x80070005", true, false},
		{"that has just ended", "HcsTerminateProcess=0x8037011F", true, false},
		{"that HCS does not find", "HcsOpenProcess=0x80070490", true, false},
		{"that HCS refuses to end", "HcsTerminateProcess=0x800706BE", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			service, _ := standIn(t)
			system := createSystem(t, service, "kill")
			if err := system.Start(); err != nil {
				t.Fatal(err)
			}
			process := startProcess(t, system, "cmd")
			order(t, tt.fault)
			if err := process.Kill(); (err == nil) != tt.ok || err != nil && !errdefs.IsUnknown(err) {
				t.Errorf("kill: %v", err)
			}
			if !tt.ends {
				return
			}
			if code, err := process.Wait(); code != 1067 || err != nil {
				t.Errorf("exit code %d, %v, want 1067", code, err)
			}
		})
	}
}

// After a system has stopped, HCS may answer that its state is invalid.
func TestKillOfAProcessWhoseSystemHasStopped(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "kill")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	process := startProcess(t, system, "cmd")
	order(t, "HcsOpenProcess=0xC0370105")
	if err := process.Kill(); !errors.Is(err, libcontainerd.CodeInvalidState) {
		t.Errorf("kill while the system runs: %v", err)
	}
	if err := errors.Join(system.Terminate(), system.Wait()); err != nil {
		t.Error(err)
	}
	if err := process.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
}

func TestTerminationIsNoUnexpectedExit(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "terminate")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	order(t, "SystemExited=0xC0370106")
	if err := errors.Join(system.Terminate(), system.Wait()); err != nil {
		t.Error(err)
	}
}

func TestConcurrentKillsAreOne(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "kill")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	process := startProcess(t, system, "cmd")
	killed := make(chan error)
	for range 8 {
		go func() { killed <- process.Kill() }()
	}
	for range 8 {
		if err := <-killed; err != nil {
			t.Error(err)
		}
	}
	if _, err := process.Wait(); err != nil {
		t.Error(err)
	}
}

// hcsshim reports the end of a system once: to a start, or to a wait.
func TestStartAndWaitBothHearOfTheEnd(t *testing.T) {
	if standIn(t); !impatient(t) {
		return // hcsshim's own start is still waiting, and so is the close
	}
	tests := []struct {
		name  string
		start string // faults during the start
		then  string // faults after it
		want  error
	}{
		{"a crash", "HcsStartComputeSystem=crash", "", libcontainerd.CodeUnexpectedExit},
		{"the service vanishes", "SystemStartCompleted=lost", "Service=gone", errdefs.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			service, log := standIn(t)
			for i := range 10 { // chance decides which one gets the report
				id := fmt.Sprint("end", i)
				system := createSystem(t, service, id)
				order(t, tt.start)
				started, waited := make(chan error, 1), make(chan error, 1)
				go func() { started <- system.Start() }()
				go func() { waited <- system.Wait() }()
				if tt.then != "" {
					eventually(t, "it starts", func() bool { return log.find("HcsStartComputeSystem", id) != nil })
					order(t, tt.then)
				}
				if err := <-started; !errors.Is(err, tt.want) {
					t.Errorf("start: %v, want %v", err, tt.want)
				}
				if err := <-waited; !errors.Is(err, tt.want) {
					t.Errorf("wait: %v, want %v", err, tt.want)
				}
				order(t, "")
			}
		})
	}
}

func TestStopThatWasRefusedIsNoStop(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "stop")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []string{"0xC0370110", "0x80370110", "0xC037010E", "0x80070490"} {
		order(t, "HcsShutdownComputeSystem="+fault)
		if err := system.Shutdown(); err != nil {
			t.Errorf("shutdown, HCS says %s: %v", fault, err)
		}
	}
	order(t, "HcsShutdownComputeSystem=0x8007007F") // a procedure that is missing, not a system
	if err := system.Shutdown(); !errors.Is(err, libcontainerd.CodeProcNotFound) {
		t.Errorf("shutdown without the procedure: %v", err)
	}
}

func TestExitCodeThatHCSDoesNotHave(t *testing.T) {
	for _, fault := range []string{"HcsGetProcessProperties=nocode", "HcsGetProcessProperties=0x80070006"} {
		t.Run(fault, func(t *testing.T) {
			service, _ := standIn(t)
			system := createSystem(t, service, "code")
			if err := system.Start(); err != nil {
				t.Fatal(err)
			}
			order(t, fault)
			process := startProcess(t, system, "cmd /c exit 0")
			if code, err := process.Wait(); err == nil || code != libcontainerd.UnknownExitCode {
				t.Errorf("exit code %d, %v, want an error", code, err)
			}
		})
	}
}

func TestCloseEndsWaits(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "close")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	second, err := service.OpenComputeSystem("close")
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	waited := make(chan error, 1)
	go func() { waited <- second.Wait() }()
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waited; !errors.Is(err, libcontainerd.CodeInvalidHandle) {
		t.Errorf("wait on a handle that was closed: %v", err)
	}
	eventually(t, "no goroutine waits any more", func() bool { return runtime.NumGoroutine() <= before })
}

func TestServiceThatVanishes(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "vanish")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	process := startProcess(t, system, "cmd")
	order(t, "Service=gone")
	if _, err := process.Wait(); !errors.Is(err, libcontainerd.CodeServiceDisconnect) {
		t.Errorf("wait for the process: %v", err)
	}
	if err := system.Wait(); !errors.Is(err, errdefs.ErrUnavailable) {
		t.Errorf("wait for the system: %v", err)
	}
	if _, err := service.ComputeSystems(""); !errors.Is(err, errdefs.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
}

// Output is read to its end after the process has gone and its handle is closed.
func TestStreamsAreWhole(t *testing.T) {
	service, _ := standIn(t)
	system := createSystem(t, service, "streams")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	process, err := system.CreateProcess(&libcontainerd.ProcessConfig{
		CommandLine: insideLine("copy"), CreateStdInPipe: true, CreateStdOutPipe: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	stdin, stdout, stderr, err := process.Stdio()
	if err != nil || stderr != nil {
		t.Fatalf("stdio: stderr %v, %v", stderr, err)
	}
	text := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		if _, err := io.WriteString(stdin, text); err != nil {
			t.Error(err)
		}
		if err := errors.Join(stdin.Close(), process.CloseStdin()); err != nil {
			t.Error(err)
		}
	}()
	got, err := io.ReadAll(stdout)
	if err != nil || string(got) != text {
		t.Errorf("read %d of %d bytes back, %v", len(got), len(text), err)
	}
	if code, err := process.Wait(); code != 0 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if err := errors.Join(stdout.Close(), process.Close()); err != nil {
		t.Error(err)
	}
}
