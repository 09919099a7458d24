package hcstest_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a test whose failure is recorded only.
type recorder struct {
	failures []string
	cleanups []func()
}

func (*recorder) Helper()            {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// end runs the cleanups, as the end of a test does, and returns the failure.
func (r *recorder) end() string {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		f()
	}
	return strings.Join(r.failures, "\n")
}

func startProcess(t *testing.T, system libcontainerd.ComputeSystem, commandLine string) libcontainerd.ComputeProcess {
	t.Helper()
	process, err := system.CreateProcess(&libcontainerd.ProcessConfig{
		CommandLine:      commandLine,
		CreateStdInPipe:  true,
		CreateStdOutPipe: true,
		CreateStdErrPipe: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return process
}

func TestLeftoversAndViolationsFailTheTest(t *testing.T) {
	terminate := func(t *testing.T, system libcontainerd.ComputeSystem) {
		if err := system.Terminate(); err != nil {
			t.Error(err)
		}
		if err := system.Wait(); err != nil {
			t.Error(err)
		}
	}
	tests := []struct {
		name string
		use  func(*testing.T, *hcstest.Service)
		want string // pids replaced by PID
	}{
		{"nothing", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			run(t, system, libcontainerd.ProcessConfig{CommandLine: "cmd /c exit"}, "")
			stop(t, system)
		}, ""},
		{"a system that never started", func(t *testing.T, svc *hcstest.Service) {
			_ = create(t, svc, "c1", spec()).Close()
		}, "hcstest: left over: compute system c1: not stopped (Created)"},
		{"a system that runs", func(t *testing.T, svc *hcstest.Service) {
			start(t, svc, "c1", spec())
		}, "hcstest: left over: compute system c1: not stopped (Running); open handles: 1"},
		{"a handle", func(t *testing.T, svc *hcstest.Service) {
			terminate(t, create(t, svc, "c1", spec()))
		}, "hcstest: left over: compute system c1: open handles: 1"},
		{"a process handle", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			startProcess(t, system, "cmd /c exit")
			stop(t, system)
		}, "hcstest: left over: compute system c1: process PID (cmd.exe): open handles: 1"},
		{"pipes", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			process := startProcess(t, system, "cmd /c exit")
			if _, stdout, _, err := process.Stdio(); err != nil || stdout.Close() != nil {
				t.Error(err)
			}
			_ = process.Close()
			stop(t, system)
		}, "hcstest: left over: compute system c1: process PID (cmd.exe): stdin is open, stderr is open"},
		{"a program that does not mind being killed", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			process := startProcess(t, system, "stubborn")
			_ = process.Kill()
			_ = process.Close()
			stop(t, system)
		}, "hcstest: left over: compute system c1: process PID (stubborn.exe): has ended, but its program has not returned"},
		{"started twice", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			wantCode(t, "second start", system.Start(), libcontainerd.CodeInvalidState)
			stop(t, system)
		}, "hcstest: protocol violated: Start c1: started twice"},
		{"used after Close", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			stop(t, system)
			wantCode(t, "terminate", system.Terminate(), libcontainerd.CodeInvalidHandle)
		}, "hcstest: protocol violated: Terminate c1: used after Close"},
		{"waited for after Close", func(t *testing.T, svc *hcstest.Service) {
			system := create(t, svc, "c1", spec())
			second, err := svc.OpenComputeSystem("c1")
			if err != nil || second.Close() != nil {
				t.Fatal(err)
			}
			wantCode(t, "wait", second.Wait(), libcontainerd.CodeInvalidHandle)
			stop(t, system)
		}, ""},
		{"closed twice", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			stop(t, system)
			wantCode(t, "second close", system.Close(), libcontainerd.CodeInvalidHandle)
		}, "hcstest: protocol violated: Close c1: closed twice"},
		{"a process closed twice", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			process := startProcess(t, system, "cmd /c exit")
			_, _ = process.Close(), process.Close()
			stop(t, system)
		}, "hcstest: protocol violated: CloseProcess c1/PID: closed twice"},
		{"closed while a call runs", func(t *testing.T, svc *hcstest.Service) {
			system := create(t, svc, "c1", spec())
			hang := svc.Hang(hcstest.OpStart, "c1")
			go func() {
				<-hang.Met()
				if err := system.Close(); err != nil {
					t.Error(err)
				}
			}()
			go func() {
				<-hang.Met()
				synctest.Wait() // Close waits too
				hang.Release()
			}()
			if err := system.Start(); err != nil {
				t.Error(err)
			}
			second, err := svc.OpenComputeSystem("c1")
			if err != nil {
				t.Fatal(err)
			}
			stop(t, second)
		}, "hcstest: protocol violated: Close c1: closed while a call was running"},
		{"the pipes taken twice", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			process := startProcess(t, system, "ping -t localhost")
			stdin, stdout, stderr, err := process.Stdio()
			if err != nil {
				t.Fatal(err)
			}
			for _, pipe := range []io.Closer{stdin, stdout, stderr} {
				_ = pipe.Close()
			}
			if in, out, errs, err := process.Stdio(); in != nil || out != nil || errs != nil || err != nil {
				t.Error("second Stdio:", in, out, errs, err)
			}
			_ = process.Close()
			stop(t, system)
		}, "hcstest: protocol violated: Stdio c1/PID: asked for the pipes twice"},
		{"stdin ended before its pipe", func(t *testing.T, svc *hcstest.Service) {
			system := start(t, svc, "c1", spec())
			process := startProcess(t, system, "more")
			stdin, stdout, stderr, err := process.Stdio()
			if err != nil {
				t.Fatal(err)
			}
			if err := process.CloseStdin(); err != nil {
				t.Error(err)
			}
			_ = stdin.Close()
			if code, err := process.Wait(); code != 0 || err != nil {
				t.Error(code, err)
			}
			_, _, _ = stdout.Close(), stderr.Close(), process.Close()
			stop(t, system)
		}, "hcstest: protocol violated: CloseStdin c1/PID: called before the pipe was closed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				rec := &recorder{}
				svc := hcstest.New(rec, hcstest.WithProgram("stubborn.exe", func(*hcstest.Process) uint32 {
					<-release
					return 0
				}))
				test.use(t, svc)
				if diff := cmp.Diff(test.want, hidePids(rec.end())); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// hidePids replaces numbers of four digits.
func hidePids(text string) string {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	for _, f := range fields {
		if len(f) == 4 {
			text = strings.ReplaceAll(text, f, "PID")
		}
	}
	return text
}

func wantCode(t *testing.T, what string, err error, code libcontainerd.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("%s: got %v, want %v", what, err, code)
	}
}

func TestLeftoversMayVanishAfterTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		svc := hcstest.New(rec)
		system := start(t, svc, "c1", spec())
		go func() {
			time.Sleep(10 * time.Second)
			stop(t, system)
		}()
		if failure := rec.end(); failure != "" {
			t.Error(failure)
		}
	})
}

func TestManyViolationsAreCounted(t *testing.T) {
	svc := hcstest.NewService()
	system := create(t, svc, "c1", spec())
	stop(t, system)
	for range 103 {
		_ = system.Close()
	}
	err := svc.Check()
	if err == nil || !strings.HasSuffix(err.Error(), "protocol violated 3 times more") {
		t.Error(err)
	}
}
