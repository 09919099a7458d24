package hcstest

import (
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// behaviours is the suite, in the order of a container's life.
var behaviours = []behaviour{
	{name: "a layer's id is a GUID that depends on its name alone", show: showLayerID},
	{name: "no layer has a utility VM: not found", show: showNoUtilityVM},
	{name: "an unknown id is not found", show: showUnknownID},
	{name: "an invalid document creates nothing", show: showInvalidDocument},
	{name: "an id in use is refused and its system unharmed", show: showIDInUse},
	{name: "a system is listed with its owner and its state", show: showList},
	{name: "a system that never started can be terminated", show: showTerminateCreated},
	{name: "a wait holds from creation on", show: showEarlyWait},
	{name: "a program's output is read to its end, and its exit code had", show: showOutput},
	{name: "output stays readable after the exit", show: showLateRead},
	{name: "stderr is separate from stdout", show: showErrors},
	{name: "a program reads its input to the end", show: showInput},
	{name: "pipes that were not asked for are nil", show: showNoPipes},
	{name: "exit codes are whole", show: showWholeExitCode},
	{name: "a missing program is file not found", show: showMissingProgram},
	{name: "the end of the first process does not stop the system", show: showInitEnds},
	{name: "pids differ, and the process list has them", show: showProcessList},
	{name: "statistics are there while the system runs", show: showStatistics},
	{name: "a console can be resized", show: showResize},
	{name: "a process is opened by its pid while it runs", show: showOpenProcess},
	{name: "every wait for a process ends with its exit", show: showProcessWaiters},
	{name: "a process can be killed, and killed again", show: showKill},
	{name: "closing a process ends its wait and leaves it alone", show: showCloseProcess},
	{name: "closing a system ends its wait and leaves it alone", show: showCloseSystem},
	{name: "process isolation cannot be paused", show: showNoPause},
	{name: "Hyper-V isolation can be paused and resumed", hyperV: true, show: showPause},
	{name: "a shutdown ends processes, streams and waits, and may be repeated", show: showShutdown},
	{name: "a terminate ends processes, streams and waits, and may be repeated", show: showTerminate},
	{name: "a stopped system refuses work", show: showStoppedRefuses},
	{name: "an id is free when its system has stopped and is closed", show: showIDFree},
}

func showLayerID(t *trial) {
	one, err := t.svc.LayerID("one")
	t.must("layer id", err)
	again, err := t.svc.LayerID("one")
	t.must("layer id", err)
	two, err := t.svc.LayerID("two")
	t.must("layer id", err)
	if !isGUID(one) || one != again || one == two {
		t.errorf("ids of one, one and two: %q, %q, %q", one, again, two)
	}
}

func showNoUtilityVM(t *trial) {
	if folder, err := t.svc.UtilityVM(nil); !errdefs.IsNotFound(err) {
		t.errorf("got %q, %v", folder, err)
	}
}

func showUnknownID(t *trial) {
	_, err := t.svc.OpenComputeSystem(t.id)
	t.mustBe("open", err, libcontainerd.CodeSystemNotFound)
}

func showInvalidDocument(t *trial) {
	system, err := t.svc.CreateComputeSystem(t.id, `{"SystemType":`)
	if err == nil {
		_ = system.Terminate()
		_ = system.Close()
		t.fatalf("it was created")
	}
	_, err = t.svc.OpenComputeSystem(t.id)
	t.mustBe("open", err, libcontainerd.CodeSystemNotFound)
}

func showIDInUse(t *trial) {
	system := t.created()
	_, err := t.svc.CreateComputeSystem(t.id, t.document(t.config.Spec))
	t.mustBe("second create", err, libcontainerd.CodeSystemAlreadyExists)
	t.must("start of the first", system.Start())
}

func showList(t *trial) {
	t.running()
	all, err := t.svc.ComputeSystems("")
	t.must("list", err)
	i := slices.IndexFunc(all, t.isMine)
	if i < 0 {
		t.fatalf("it is not in the list of all")
	}
	if all[i].State != stateRunning {
		t.errorf("its state is %q", all[i].State)
	}
	owned, err := t.svc.ComputeSystems(all[i].Owner)
	t.must("list", err)
	if !slices.ContainsFunc(owned, t.isMine) {
		t.errorf("it is not in the list of its owner %q", all[i].Owner)
	}
	others, err := t.svc.ComputeSystems("nobody-" + t.id)
	t.must("list", err)
	if len(others) > 0 {
		t.errorf("somebody else owns %v", others)
	}
}

func (t *trial) isMine(info libcontainerd.ComputeSystemInfo) bool { return info.ID == t.id }

func showTerminateCreated(t *trial) {
	system := t.created()
	t.must("terminate", system.Terminate())
	t.must("wait", system.Wait())
}

func showEarlyWait(t *trial) {
	system := t.created()
	first, second := waitSystem(system), waitSystem(system)
	t.must("start", system.Start())
	select {
	case err := <-first:
		t.fatalf("it ended while the system ran: %v", err)
	default:
	}
	t.must("terminate", system.Terminate())
	t.must("first wait", <-first)
	t.must("second wait", <-second)
	t.must("wait after the stop", system.Wait())
}

func showOutput(t *trial) {
	p := t.exec(t.running(), t.config.Commands.Print)
	if got := t.readAll("stdout", p.stdout); got != "hello\n" {
		t.errorf("stdout is %q", got)
	}
	if got := t.readAll("stderr", p.stderr); got != "" {
		t.errorf("stderr is %q", got)
	}
	if code := t.wait(p); code != 7 {
		t.errorf("exit code %d, want 7", code)
	}
}

func showLateRead(t *trial) {
	p := t.exec(t.running(), t.config.Commands.Print)
	t.wait(p)
	t.must("close the process", p.Close())
	if got := t.readAll("stdout", p.stdout); got != "hello\n" {
		t.errorf("stdout is %q", got)
	}
}

func showErrors(t *trial) {
	p := t.exec(t.running(), t.config.Commands.Errors)
	if got := t.readAll("stderr", p.stderr); strings.TrimSpace(got) != "oops" {
		t.errorf("stderr is %q", got)
	}
	if got := t.readAll("stdout", p.stdout); got != "" {
		t.errorf("stdout is %q", got)
	}
	t.wait(p)
}

func showInput(t *trial) {
	p := t.exec(t.running(), t.config.Commands.Copy)
	_, err := p.stdin.Write([]byte("one\r\ntwo\r\n"))
	t.must("write", err)
	t.endInput(p)
	if got := t.readAll("stdout", p.stdout); got != "one\ntwo\n" {
		t.errorf("stdout is %q", got)
	}
	if code := t.wait(p); code != 0 {
		t.errorf("exit code %d", code)
	}
}

func showNoPipes(t *trial) {
	p := t.execConfig(t.running(), libcontainerd.ProcessConfig{
		CommandLine:      t.config.Commands.Print,
		CreateStdOutPipe: true,
	})
	if p.stdin != nil || p.stderr != nil {
		t.errorf("stdin is %v, stderr is %v", p.stdin, p.stderr)
	}
	if p.stdout == nil {
		t.fatalf("stdout is nil")
	}
	t.readAll("stdout", p.stdout)
	t.wait(p)
}

func showWholeExitCode(t *trial) {
	p := t.exec(t.running(), t.config.Commands.Exit)
	if code := t.wait(p); code != shutdownExit {
		t.errorf("exit code %#x, want %#x", code, uint32(shutdownExit))
	}
}

func showMissingProgram(t *trial) {
	system := t.running()
	_, err := system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: t.config.Commands.Missing})
	t.mustBe("create process", err, libcontainerd.CodeFileNotFound)
	t.wait(t.exec(system, t.config.Commands.Print))
}

func showInitEnds(t *trial) {
	system := t.running()
	t.wait(t.exec(system, t.config.Commands.Print))
	t.wait(t.exec(system, t.config.Commands.Print))
	_, err := system.Statistics()
	t.must("statistics", err)
}

func showProcessList(t *trial) {
	system := t.running()
	one := t.exec(system, t.config.Commands.Run)
	two := t.exec(system, t.config.Commands.Run)
	if one.Pid() == 0 || one.Pid() == two.Pid() {
		t.errorf("pids %d and %d", one.Pid(), two.Pid())
	}
	list, err := system.ProcessList()
	t.must("process list", err)
	for _, p := range []*suiteProcess{one, two} {
		i := slices.IndexFunc(list, func(info libcontainerd.ProcessInfo) bool { return info.Pid == p.Pid() })
		if i < 0 {
			t.errorf("pid %d is not in the list", p.Pid())
		} else if list[i].ImageName == "" {
			t.errorf("pid %d has no image name", p.Pid())
		}
	}
}

func showStatistics(t *trial) {
	system := t.running()
	stats, err := system.Statistics()
	t.must("statistics", err)
	if stats.Timestamp.IsZero() || stats.Uptime < 0 {
		t.errorf("timestamp %v, uptime %v", stats.Timestamp, stats.Uptime)
	}
}

func showResize(t *trial) {
	p := t.execConfig(t.running(), libcontainerd.ProcessConfig{
		CommandLine:      t.config.Commands.Run,
		EmulateConsole:   true,
		ConsoleSize:      [2]uint{25, 80},
		CreateStdInPipe:  true,
		CreateStdOutPipe: true,
	})
	t.must("resize", p.ResizeConsole(120, 40))
	t.must("kill", p.Kill())
	t.wait(p)
}

func showOpenProcess(t *trial) {
	system := t.running()
	p := t.exec(system, t.config.Commands.Run)
	again, err := t.opened().OpenProcess(p.Pid())
	t.must("open process", err)
	if again.Pid() != p.Pid() {
		t.errorf("opened pid %d, got %d", p.Pid(), again.Pid())
	}
	exit := waitProcess(again)
	t.must("kill", p.Kill())
	got := <-exit
	t.must("wait on the second handle", got.err)
	if code := t.wait(p); code != got.code {
		t.errorf("exit codes %d and %d", code, got.code)
	}
	t.must("close the second handle", again.Close())
	t.must("close the process", p.Close())
	_, err = system.OpenProcess(p.Pid())
	t.mustBe("open process after its end", err, libcontainerd.CodeNotFound)
}

func showProcessWaiters(t *trial) {
	p := t.exec(t.running(), t.config.Commands.Print)
	waits := []<-chan waited{waitProcess(p), waitProcess(p), waitProcess(p)}
	for _, wait := range waits {
		if got := <-wait; got.err != nil || got.code != 7 {
			t.errorf("a wait ended with %d, %v", got.code, got.err)
		}
	}
}

func showKill(t *trial) {
	p := t.exec(t.running(), t.config.Commands.Run)
	exit := waitProcess(p)
	t.must("kill", p.Kill())
	t.must("wait", (<-exit).err)
	t.readAll("stdout", p.stdout)
	t.must("second kill", p.Kill())
}

func showCloseProcess(t *trial) {
	system := t.running()
	p := t.exec(system, t.config.Commands.Run)
	second, err := system.OpenProcess(p.Pid())
	t.must("open process", err)
	exit := waitProcess(second)
	t.must("close the second handle", second.Close())
	t.mustFail("its wait", (<-exit).err)
	third, err := system.OpenProcess(p.Pid())
	t.must("open it again", err)
	t.must("close the third handle", third.Close())
	t.must("kill", p.Kill())
	t.wait(p)
}

func showCloseSystem(t *trial) {
	system := t.running()
	second := t.opened()
	stop := waitSystem(second)
	t.must("close the second handle", second.Close())
	t.mustFail("its wait", <-stop)
	t.wait(t.exec(system, t.config.Commands.Print))
}

func showNoPause(t *trial) {
	system := t.running()
	t.mustBe("pause", system.Pause(), libcontainerd.CodeNotSupported)
	t.wait(t.exec(system, t.config.Commands.Print))
}

func showPause(t *trial) {
	system := t.createdFrom(t.config.HyperV)
	t.must("start", system.Start())
	t.must("pause", system.Pause())
	t.must("resume", system.Resume())
	t.wait(t.exec(system, t.config.Commands.Print))
}

func showShutdown(t *trial) {
	showStop(t, libcontainerd.ComputeSystem.Shutdown)
}

func showTerminate(t *trial) {
	showStop(t, libcontainerd.ComputeSystem.Terminate)
}

func showStop(t *trial, stop func(libcontainerd.ComputeSystem) error) {
	system := t.running()
	p := t.exec(system, t.config.Commands.Run)
	exit, stopped := waitProcess(p), waitSystem(system)
	t.must("stop", stop(system))
	t.must("wait", <-stopped)
	<-exit // with or without a code: HCS cannot always tell
	t.readAll("stdout", p.stdout)
	t.must("stop again", stop(system))
	t.must("shutdown of a stopped system", system.Shutdown())
	t.must("terminate of a stopped system", system.Terminate())
	t.must("kill of an ended process", p.Kill())
}

func showStoppedRefuses(t *trial) {
	system := t.running()
	t.must("terminate", system.Terminate())
	t.must("wait", system.Wait())
	p, err := system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: t.config.Commands.Print})
	t.mustFail("create process", err)
	if err == nil {
		_ = p.Close()
	}
	_, err = system.ProcessList()
	t.mustFail("process list", err)
}

func showIDFree(t *trial) {
	for range 2 {
		system := t.created()
		t.must("terminate", system.Terminate())
		t.must("wait", system.Wait())
		t.must("close", system.Close())
		_, err := t.svc.OpenComputeSystem(t.id)
		t.mustBe("open", err, libcontainerd.CodeSystemNotFound)
	}
}
