package hcstest_test

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestFail(t *testing.T) {
	svc := hcstest.New(t)
	other := create(t, svc, "c2", spec())
	defer stop(t, other)
	system := create(t, svc, "c1", spec())
	defer stop(t, system)
	svc.Fail(hcstest.OpStart, "c1", libcontainerd.CodeTimeout, nil, syscall.Errno(5))

	if err := other.Start(); err != nil {
		t.Error("another container fails:", err)
	}
	err := system.Start()
	wantCode(t, "first start", err, libcontainerd.CodeTimeout)
	var typed *libcontainerd.Error
	if !errors.As(err, &typed) || typed.ContainerID != "c1" || typed.Op != "start" {
		t.Errorf("a bare code became %#v", err)
	}
	if err := system.Start(); err != nil {
		t.Error("second start:", err)
	}
	if err := system.Start(); err != syscall.Errno(5) { //nolint:errorlint // it comes as it was
		t.Error("third start:", err)
	}
	want := []string{"Start c2 <nil>", "Start c1 timeout", "Start c1 <nil>", "Start c1 " + syscall.Errno(5).Error()}
	var got []string
	for _, c := range svc.Calls(hcstest.OpStart) {
		if errors.Is(c.Err, libcontainerd.CodeTimeout) {
			got = append(got, c.String()+" timeout")
			continue
		}
		got = append(got, fmt.Sprint(c, " ", c.Err))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestInject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		system := create(t, svc, "c1", spec())
		defer stop(t, system)
		took := func(call func() error) (time.Duration, error) {
			begin := time.Now()
			err := call()
			return time.Since(begin), err
		}

		// Skip and Times.
		in := svc.Inject(hcstest.Rule{Op: hcstest.OpShutdown, Skip: 1, Times: 2, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied}})
		for i, want := range []libcontainerd.Code{
			libcontainerd.CodeInvalidState, libcontainerd.CodeAccessDenied, libcontainerd.CodeAccessDenied, libcontainerd.CodeInvalidState,
		} {
			wantCode(t, fmt.Sprint("shutdown ", i), system.Shutdown(), want)
		}
		if in.Hits() != 2 {
			t.Error("hits", in.Hits())
		}

		// Delayed before it is done.
		svc.Inject(hcstest.Rule{Op: hcstest.OpStart, Times: 1, Fault: hcstest.Fault{Delay: time.Minute}})
		go func() {
			time.Sleep(time.Second)
			wantState(t, svc, "c1", "Created")
		}()
		if d, err := took(system.Start); d != time.Minute || err != nil {
			t.Error(d, err)
		}

		// Done, but the answer is an error.
		svc.Inject(hcstest.Rule{Op: hcstest.OpCreate, ID: "c2", Times: 1, Fault: hcstest.Fault{Done: true, Err: libcontainerd.CodeTimeout}})
		_, err := svc.CreateComputeSystem("c2", configuration(t, svc, "c2", spec()))
		wantCode(t, "create", err, libcontainerd.CodeTimeout)
		left, err := svc.OpenComputeSystem("c2")
		if err != nil {
			t.Fatal(err)
		}
		stop(t, left)

		svc.Inject(hcstest.Rule{Op: hcstest.OpCreateProcess, Times: 1, Fault: hcstest.Fault{Done: true, Err: libcontainerd.CodeTimeout}})
		_, err = system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: "ping -t localhost", CreateStdOutPipe: true})
		wantCode(t, "create process", err, libcontainerd.CodeTimeout)
		if list, err := system.ProcessList(); err != nil || list[len(list)-1].ImageName != "ping.exe" {
			t.Error(list, err)
		}

		// Done, but answered late.
		svc.Inject(hcstest.Rule{Op: hcstest.OpCreate, ID: "c3", Fault: hcstest.Fault{Done: true, Delay: time.Hour}})
		go func() {
			time.Sleep(time.Second)
			wantState(t, svc, "c3", "Created")
		}()
		d, err := took(func() error {
			stop(t, create(t, svc, "c3", spec()))
			return nil
		})
		if d != time.Hour || err != nil {
			t.Error(d, err)
		}
	})
}

func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, release := range []struct {
			name string
			do   func(*hcstest.Service, *hcstest.Injection)
		}{
			{"release", func(_ *hcstest.Service, hang *hcstest.Injection) { hang.Release() }},
			{"heal", func(svc *hcstest.Service, _ *hcstest.Injection) { svc.Heal() }},
			{"loss", func(svc *hcstest.Service, _ *hcstest.Injection) { svc.LoseService(nil) }},
		} {
			svc := hcstest.New(t)
			system := create(t, svc, "c1", spec())
			hang := svc.Hang(hcstest.OpStart, "")
			started := make(chan error, 1)
			go func() { started <- system.Start() }()
			<-hang.Met()
			synctest.Wait()
			if len(started) > 0 {
				t.Errorf("%s: Start did not hang", release.name)
			}
			release.do(svc, hang)
			if err := <-started; (err != nil) != (release.name == "loss") {
				t.Errorf("%s: %v", release.name, err)
			}
			_ = system.Terminate()
			_ = system.Close()
		}
	})
}

// target is what calls are made on.
type target struct {
	svc     *hcstest.Service
	system  libcontainerd.ComputeSystem
	process libcontainerd.ComputeProcess
}

func (x target) takePipes() {
	stdin, stdout, stderr, err := x.process.Stdio()
	if err != nil {
		return
	}
	for _, pipe := range []io.Closer{stdin, stdout, stderr} {
		_ = pipe.Close()
	}
}

// TestEveryCallCanHang covers "Bounded" of the reliability work: each call of the
// interfaces meets its faults.
func TestEveryCallCanHang(t *testing.T) {
	calls := map[hcstest.Op]func(target){
		hcstest.OpHost:          func(x target) { x.svc.Host() },
		hcstest.OpLayerID:       func(x target) { _, _ = x.svc.LayerID("x") },
		hcstest.OpUtilityVM:     func(x target) { _, _ = x.svc.UtilityVM(nil) },
		hcstest.OpCreate:        func(x target) { _, _ = x.svc.CreateComputeSystem("c1", "") },
		hcstest.OpOpen:          func(x target) { _, _ = x.svc.OpenComputeSystem("") },
		hcstest.OpList:          func(x target) { _, _ = x.svc.ComputeSystems("") },
		hcstest.OpStart:         func(x target) { _ = x.system.Start() },
		hcstest.OpShutdown:      func(x target) { _ = x.system.Shutdown() },
		hcstest.OpTerminate:     func(x target) { _ = x.system.Terminate() },
		hcstest.OpWait:          func(x target) { _ = x.system.Wait() },
		hcstest.OpPause:         func(x target) { _ = x.system.Pause() },
		hcstest.OpResume:        func(x target) { _ = x.system.Resume() },
		hcstest.OpStatistics:    func(x target) { _, _ = x.system.Statistics() },
		hcstest.OpProcessList:   func(x target) { _, _ = x.system.ProcessList() },
		hcstest.OpCreateProcess: func(x target) { _, _ = x.system.CreateProcess(nil) },
		hcstest.OpOpenProcess:   func(x target) { _, _ = x.system.OpenProcess(1) },
		hcstest.OpClose:         func(x target) { _ = x.system.Close() },
		hcstest.OpPid:           func(x target) { x.process.Pid() },
		hcstest.OpStdio:         func(x target) { x.takePipes() },
		hcstest.OpCloseStdin:    func(x target) { _ = x.process.CloseStdin() },
		hcstest.OpResizeConsole: func(x target) { _ = x.process.ResizeConsole(1, 1) },
		hcstest.OpKill:          func(x target) { _ = x.process.Kill() },
		hcstest.OpWaitProcess:   func(x target) { _, _ = x.process.Wait() },
		hcstest.OpCloseProcess:  func(x target) { _ = x.process.Close() },
	}
	for _, op := range hcstest.Operations() {
		synctest.Test(t, func(t *testing.T) {
			svc := hcstest.NewService()
			system := start(t, svc, "c1", spec())
			process := startProcess(t, system, "ping -t localhost")
			hang := svc.Hang(op, "")
			returned := make(chan struct{})
			go func() {
				defer close(returned)
				calls[op](target{svc, system, process})
			}()
			synctest.Wait()
			select {
			case <-returned:
				t.Errorf("%s did not hang", op)
			default:
			}
			hang.Release()
			svc.Crash("c1", libcontainerd.CodeUnexpectedExit) // ends the waits
			<-returned
			if hang.Hits() != 1 {
				t.Errorf("%s met its fault %d times", op, hang.Hits())
			}
		})
	}
}

func TestLostAndLateNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		lost := create(t, svc, "lost", spec())
		late := create(t, svc, "late", spec())
		svc.Inject(hcstest.Rule{Op: hcstest.OpWait, ID: "lost", Times: 1, Fault: hcstest.Fault{Hang: true}})
		svc.Inject(hcstest.Rule{Op: hcstest.OpWait, ID: "late", Fault: hcstest.Fault{Done: true, Delay: time.Minute}})
		waited := make(chan error, 1)
		go func() { waited <- lost.Wait() }()
		synctest.Wait()

		begin := time.Now()
		stop(t, late)
		if d := time.Since(begin); d != time.Minute {
			t.Error("the late notification took", d)
		}
		if err := lost.Terminate(); err != nil {
			t.Error(err)
		}
		second, err := svc.OpenComputeSystem("lost")
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Wait(); err != nil {
			t.Error("a second handle was told of the stop:", err)
		}
		if len(waited) > 0 {
			t.Error("the lost notification came")
		}
		if err := errors.Join(lost.Close(), second.Close()); err != nil {
			t.Error(err)
		}
		wantCode(t, "Close ends the wait", <-waited, libcontainerd.CodeInvalidHandle)
	})
}

func TestStopsAndExitsThatDoNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t, hcstest.WithRawStops())
		system := start(t, svc, "c1", spec())
		process := startProcess(t, system, "ping -t localhost")
		svc.Inject(hcstest.Rule{Op: hcstest.OpExit, Times: 1, Fault: hcstest.Fault{Delay: time.Minute}})
		begin := time.Now()
		if err := process.Kill(); err != nil {
			t.Error(err)
		}
		wantCode(t, "kill of a dying process", process.Kill(), libcontainerd.CodeAccessDenied)
		if code, err := process.Wait(); code != 1067 || err != nil || time.Since(begin) != time.Minute {
			t.Error(code, err, time.Since(begin))
		}

		hang := svc.Inject(hcstest.Rule{Op: hcstest.OpStop, Times: 1, Fault: hcstest.Fault{Hang: true}})
		if err := system.Shutdown(); err != nil {
			t.Error(err)
		}
		<-hang.Met()
		synctest.Wait()
		wantState(t, svc, "c1", "Running")
		_ = process.Close()
		stop(t, system) // Terminate ends what Shutdown could not
	})
}

func TestCrash(t *testing.T) {
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	process := startProcess(t, system, "ping -t localhost")
	if !svc.Crash("c1", libcontainerd.CodeUnexpectedExit) || svc.Crash("c1", 1) || svc.Crash("c2", 1) {
		t.Error("Crash reports wrongly what it did")
	}
	wantCode(t, "wait", system.Wait(), libcontainerd.CodeUnexpectedExit)
	code, err := process.Wait()
	wantCode(t, "wait for the process", err, libcontainerd.CodeUnexpectedExit)
	if code != 0xffffffff {
		t.Errorf("exit code %#x", code)
	}
	if err := errors.Join(system.Terminate(), process.Kill(), process.Close(), system.Close()); err != nil {
		t.Error(err)
	}
}

func TestLoseService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		dies := start(t, svc, "dies", spec())
		lives := start(t, svc, "lives", spec())
		process := startProcess(t, lives, "ping -t localhost")
		waits := make(chan error, 3)
		go func() { waits <- dies.Wait() }()
		go func() { waits <- lives.Wait() }()
		go func() {
			_, err := process.Wait()
			waits <- err
		}()
		synctest.Wait()
		svc.LoseService(func(id string) bool { return id == "lives" })
		for range cap(waits) {
			wantCode(t, "wait", <-waits, libcontainerd.CodeServiceDisconnect)
		}
		_, err := svc.ComputeSystems("")
		wantCode(t, "list", err, libcontainerd.CodeServiceNotAvailable)
		wantCode(t, "kill", process.Kill(), libcontainerd.CodeServiceNotAvailable)
		if _, err := svc.LayerID("x"); err != nil {
			t.Error("a layer id needs no service:", err)
		}

		svc.RestoreService()
		wantCode(t, "terminate by an old handle", lives.Terminate(), libcontainerd.CodeServiceNotAvailable)
		_, err = svc.OpenComputeSystem("nosuch")
		wantCode(t, "open", err, libcontainerd.CodeSystemNotFound)
		again, err := svc.OpenComputeSystem("lives")
		if err != nil {
			t.Fatal(err)
		}
		reopened, err := again.OpenProcess(process.Pid())
		if err != nil {
			t.Fatal(err)
		}
		stop(t, again)
		if err := errors.Join(reopened.Close(), process.Close(), dies.Close(), lives.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestAbandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		system := start(t, svc, "c1", spec())
		taken := startProcess(t, system, "more")
		if _, _, _, err := taken.Stdio(); err != nil {
			t.Fatal(err)
		}
		untaken := startProcess(t, system, "cmd /c echo kept& ping -t localhost")
		waited := make(chan error, 1)
		go func() { waited <- system.Wait() }()
		synctest.Wait()
		svc.Abandon()
		wantCode(t, "wait", <-waited, libcontainerd.CodeInvalidHandle)
		wantCode(t, "terminate", system.Terminate(), libcontainerd.CodeInvalidHandle)
		wantCode(t, "close", system.Close(), libcontainerd.CodeInvalidHandle)

		again, err := svc.OpenComputeSystem("c1")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, err = again.OpenProcess(taken.Pid())
		wantCode(t, "the one whose input broke has ended", err, libcontainerd.CodeNotFound)
		process, err := again.OpenProcess(untaken.Pid())
		if err != nil {
			t.Fatal(err)
		}
		stdin, stdout, stderr, err := process.Stdio()
		if err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 6)
		if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "kept\r\n" {
			t.Errorf("%q %v", line, err)
		}
		if err := errors.Join(stdin.Close(), stdout.Close(), stderr.Close(), process.Close()); err != nil {
			t.Error(err)
		}
		stop(t, again)
	})
}

func TestKeepStopped(t *testing.T) {
	svc := hcstest.New(t)
	svc.KeepStopped("c1")
	stop(t, create(t, svc, "c1", spec()))
	wantState(t, svc, "c1", "Stopped")
	_, err := svc.CreateComputeSystem("c1", configuration(t, svc, "c1", spec()))
	wantCode(t, "create", err, libcontainerd.CodeSystemAlreadyExists)
	remnant, err := svc.OpenComputeSystem("c1")
	if err != nil {
		t.Fatal(err)
	}
	stop(t, remnant)
	stop(t, create(t, svc, "c1", spec()))
}

func TestOnCall(t *testing.T) {
	svc := hcstest.New(t)
	var seen atomic.Int64
	svc.OnCall("", func(hcstest.Call) *hcstest.Fault {
		seen.Add(1)
		return nil
	})
	svc.OnCall(hcstest.OpCreateProcess, func(c hcstest.Call) *hcstest.Fault {
		if c.Process.CommandLine == "cmd /c evil" {
			return &hcstest.Fault{Err: libcontainerd.CodeAccessDenied}
		}
		return nil
	})
	system := start(t, svc, "c1", spec())
	_, err := system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: "cmd /c evil"})
	wantCode(t, "exec", err, libcontainerd.CodeAccessDenied)
	stop(t, system)
	// LayerID, Host, Create, Start, CreateProcess, Terminate, Stop, Wait, Close at least.
	if n := seen.Load(); n < 8 {
		t.Error("calls seen:", n)
	}
}

func TestCallsAreRecordedInOrder(t *testing.T) {
	lives := func(svc *hcstest.Service, ids ...string) {
		for _, id := range ids {
			stop(t, start(t, svc, id, spec()))
		}
	}
	tests := []struct {
		name    string
		options []hcstest.Option
		want    []string
	}{
		{"all", nil, []string{
			"Create c1", "Start c1", "Terminate c1", "Close c1",
			"Create c2", "Start c2", "Terminate c2", "Close c2",
		}},
		{"the newest", []hcstest.Option{hcstest.WithCallLimit(3)}, []string{"Start c2", "Terminate c2", "Close c2"}},
		{"none", []hcstest.Option{hcstest.WithCallLimit(0)}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			svc := hcstest.New(t, test.options...)
			lives(svc, "c1", "c2")
			var got []string
			for _, c := range svc.Calls() {
				got = append(got, c.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
