package hcstest_test

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestDocumentIsChecked(t *testing.T) {
	volume := `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`
	tests := []struct {
		name    string
		options []hcstest.Option
		hyperV  bool
		edit    func(map[string]any)
		want    libcontainerd.Code // 0: accepted
	}{
		{name: "as it should be", edit: func(map[string]any) {}},
		{name: "unknown field", edit: func(d map[string]any) { d["Colour"] = "red" }, want: libcontainerd.CodeInvalidJSON},
		{name: "wrong type", edit: func(d map[string]any) { d["ProcessorWeight"] = "1" }, want: libcontainerd.CodeInvalidJSON},
		{name: "another name", edit: func(d map[string]any) { d["Name"] = "c2" }, want: libcontainerd.CodeInvalidParameter},
		{name: "no container", edit: func(d map[string]any) { d["SystemType"] = "VirtualMachine" }, want: libcontainerd.CodeInvalidParameter},
		{name: "no scratch", edit: func(d map[string]any) { d["LayerFolderPath"] = "" }, want: libcontainerd.CodePathNotFound},
		{name: "no layers", edit: func(d map[string]any) { d["Layers"] = nil }, want: libcontainerd.CodeInvalidLayer},
		{name: "layer without GUID", edit: func(d map[string]any) { d["Layers"] = []any{map[string]any{"ID": "x", "Path": `C:\l`}} }, want: libcontainerd.CodeInvalidLayer},
		{name: "no volume", edit: func(d map[string]any) { d["VolumePath"] = "" }, want: libcontainerd.CodeInvalidParameter},
		{name: "volume with a backslash", edit: func(d map[string]any) { d["VolumePath"] = volume + `\` }, want: libcontainerd.CodeInvalidParameter},
		{name: "volume under Hyper-V", hyperV: true, edit: func(d map[string]any) { d["VolumePath"] = volume }, want: libcontainerd.CodeInvalidParameter},
		{name: "Hyper-V", hyperV: true, edit: func(map[string]any) {}},
		{name: "Hyper-V without image", hyperV: true, edit: func(d map[string]any) { delete(d, "HvRuntime") }, want: libcontainerd.CodeInvalidParameter},
		{name: "Hyper-V without hypervisor", options: []hcstest.Option{hcstest.WithoutHypervisor()}, hyperV: true, edit: func(map[string]any) {}, want: libcontainerd.CodeNoHypervisor},
		{name: "Hyper-V with an image that is not there", options: []hcstest.Option{hcstest.WithUtilityVMs(`C:\layers\base`)}, hyperV: true, edit: func(d map[string]any) { d["HvRuntime"] = map[string]any{"ImagePath": `C:\other\UtilityVM`} }, want: libcontainerd.CodeFileNotFound},
		{name: "shared network under Hyper-V", hyperV: true, edit: func(d map[string]any) { d["NetworkSharedContainerName"] = "x" }, want: libcontainerd.CodeInvalidParameter},
		{name: "weight", edit: func(d map[string]any) { d["ProcessorWeight"] = 10001 }, want: libcontainerd.CodeInvalidParameter},
		{name: "maximum", edit: func(d map[string]any) { d["ProcessorMaximum"] = 10001 }, want: libcontainerd.CodeInvalidParameter},
		{name: "more processors than there are", options: []hcstest.Option{hcstest.WithProcessors(2)}, edit: func(d map[string]any) { d["ProcessorCount"] = 3 }, want: libcontainerd.CodeInvalidParameter},
		{name: "relative mount", edit: func(d map[string]any) {
			d["MappedDirectories"] = []any{map[string]any{"HostPath": "data", "ContainerPath": `C:\data`}}
		}, want: libcontainerd.CodeInvalidParameter},
		{name: "pipes", options: []hcstest.Option{hcstest.WithBuild(16299)}, edit: mapPipe},
		{name: "pipes on an old build", options: []hcstest.Option{hcstest.WithBuild(14393)}, edit: mapPipe, want: libcontainerd.CodeInvalidParameter},
		{name: "devices", options: []hcstest.Option{hcstest.WithBuild(17763)}, edit: assignDevice},
		{name: "devices on an old build", options: []hcstest.Option{hcstest.WithBuild(16299)}, edit: assignDevice, want: libcontainerd.CodeInvalidParameter},
		{name: "credentials that are not JSON", edit: func(d map[string]any) { d["Credentials"] = "secret" }, want: libcontainerd.CodeInvalidJSON},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			svc := hcstest.New(t, test.options...)
			s := spec()
			if test.hyperV {
				s = hyperV()
			}
			doc := map[string]any{}
			if err := json.Unmarshal([]byte(configuration(t, svc, "c1", s)), &doc); err != nil {
				t.Fatal(err)
			}
			test.edit(doc)
			text, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			system, err := svc.CreateComputeSystem("c1", string(text))
			if test.want != 0 {
				wantCode(t, "create", err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			stop(t, system)
		})
	}
	t.Run("two documents", func(t *testing.T) {
		svc := hcstest.New(t)
		_, err := svc.CreateComputeSystem("c1", configuration(t, svc, "c1", spec())+"{}")
		wantCode(t, "create", err, libcontainerd.CodeInvalidJSON)
	})
}

func mapPipe(d map[string]any) {
	d["MappedPipes"] = []any{map[string]any{"HostPath": `\\.\pipe\x`, "ContainerPipeName": "x"}}
}

func assignDevice(d map[string]any) {
	d["AssignedDevices"] = []any{map[string]any{"InterfaceClassGuid": "5b45201d-f2f2-4f3b-85bb-30ff1f953599"}}
}

func TestUtilityVMIsTheFirstLayersThatHasOne(t *testing.T) {
	layers := []string{`C:\a`, `C:\b\`, `C:\c`}
	svc := hcstest.New(t)
	if folder, err := svc.UtilityVM(layers); folder != `C:\a\UtilityVM` || err != nil {
		t.Error(folder, err)
	}
	svc = hcstest.New(t, hcstest.WithUtilityVMs(`c:/b`, `C:\c`))
	if folder, err := svc.UtilityVM(layers); folder != `C:\b\UtilityVM` || err != nil {
		t.Error(folder, err)
	}
	svc = hcstest.New(t, hcstest.WithUtilityVMs())
	if folder, err := svc.UtilityVM(layers); !errdefs.IsNotFound(err) {
		t.Error(folder, err)
	}
}

func TestTP4IsBuild10586(t *testing.T) {
	svc := hcstest.New(t, hcstest.WithTP4(), hcstest.WithProcessors(8))
	want := libcontainerd.Host{Build: 10586, Processors: 8, TP4: true}
	if got := svc.Host(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStatesAndTheirCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t, hcstest.WithRawStops())
		system := create(t, svc, "c1", hyperV())
		ping := &libcontainerd.ProcessConfig{CommandLine: "ping -t localhost"}

		wantCode(t, "shutdown of a created system", system.Shutdown(), libcontainerd.CodeInvalidState)
		_, err := system.CreateProcess(ping)
		wantCode(t, "process in a created system", err, libcontainerd.CodeInvalidState)
		_, err = system.Statistics()
		wantCode(t, "statistics of a created system", err, libcontainerd.CodeInvalidState)
		wantCode(t, "resume of a created system", system.Resume(), libcontainerd.CodeInvalidState)

		if err := system.Start(); err != nil {
			t.Fatal(err)
		}
		process, err := system.CreateProcess(ping)
		if err != nil {
			t.Fatal(err)
		}
		if err := system.Pause(); err != nil {
			t.Error(err)
		}
		wantState(t, svc, "c1", "Paused")
		wantCode(t, "second pause", system.Pause(), libcontainerd.CodeInvalidState)
		_, err = system.CreateProcess(ping)
		wantCode(t, "process in a paused system", err, libcontainerd.CodeInvalidState)
		if _, err := system.ProcessList(); err != nil {
			t.Error("process list of a paused system:", err)
		}

		// A stop of a paused system is carried out when it is resumed.
		if err := system.Shutdown(); err != nil {
			t.Error(err)
		}
		wantState(t, svc, "c1", "Paused")
		if err := system.Resume(); err != nil {
			t.Error(err)
		}
		if err := system.Wait(); err != nil {
			t.Error(err)
		}
		wantState(t, svc, "c1", "Stopped")
		if code, err := process.Wait(); code != 0xc000013a || err != nil {
			t.Errorf("exit code %#x, %v", code, err)
		}

		wantCode(t, "shutdown of a stopped system", system.Shutdown(), libcontainerd.CodeAlreadyStopped)
		wantCode(t, "terminate of a stopped system", system.Terminate(), libcontainerd.CodeAlreadyStopped)
		wantCode(t, "pause of a stopped system", system.Pause(), libcontainerd.CodeAlreadyStopped)
		wantCode(t, "resume of a stopped system", system.Resume(), libcontainerd.CodeAlreadyStopped)
		_, err = system.OpenProcess(process.Pid())
		wantCode(t, "open process in a stopped system", err, libcontainerd.CodeAlreadyStopped)
		wantCode(t, "kill of an ended process", process.Kill(), libcontainerd.CodeProcessStopped)
		wantCode(t, "resize of an ended process", process.ResizeConsole(1, 1), libcontainerd.CodeNotFound)
		wantCode(t, "close stdin of an ended process", process.CloseStdin(), libcontainerd.CodeNotFound)
		if err := errors.Join(process.Close(), system.Close()); err != nil {
			t.Error(err)
		}
	})
}

func wantState(t *testing.T, svc *hcstest.Service, id, want string) {
	t.Helper()
	list, err := svc.ComputeSystems("docker")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(info libcontainerd.ComputeSystemInfo) bool { return info.ID == id })
	if i < 0 || list[i].State != want {
		t.Errorf("state of %s: got %v, want %s", id, list, want)
	}
}

func TestKilledProcessHasExitCode1067(t *testing.T) {
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	process := startProcess(t, system, "ping -t localhost")
	if err := process.Kill(); err != nil {
		t.Error(err)
	}
	if code, err := process.Wait(); code != 1067 || err != nil {
		t.Error(code, err)
	}
	stdin, stdout, stderr, err := process.Stdio()
	if err != nil {
		t.Fatal("the creator's first Stdio works after the exit:", err)
	}
	if err := errors.Join(stdin.Close(), stdout.Close(), stderr.Close(), process.Close()); err != nil {
		t.Error(err)
	}
	stop(t, system)
}

func TestBadProcessesAreRefused(t *testing.T) {
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	tests := []struct {
		name   string
		config *libcontainerd.ProcessConfig
		want   libcontainerd.Code
	}{
		{"nil", nil, libcontainerd.CodeInvalidParameter},
		{"empty", &libcontainerd.ProcessConfig{}, libcontainerd.CodeInvalidParameter},
		{"unknown", &libcontainerd.ProcessConfig{CommandLine: `C:\nosuch.exe x`}, libcontainerd.CodeFileNotFound},
		{"relative directory", &libcontainerd.ProcessConfig{CommandLine: "cmd", WorkingDirectory: "data"}, 0x10b},
		{"huge console", &libcontainerd.ProcessConfig{CommandLine: "cmd", ConsoleSize: [2]uint{1, 70000}}, libcontainerd.CodeInvalidParameter},
	}
	for _, test := range tests {
		_, err := system.CreateProcess(test.config)
		wantCode(t, test.name, err, test.want)
	}
}

func TestTerminateOnLastHandleClosed(t *testing.T) {
	svc := hcstest.New(t)
	doc := map[string]any{}
	if err := json.Unmarshal([]byte(configuration(t, svc, "c1", spec())), &doc); err != nil {
		t.Fatal(err)
	}
	doc["TerminateOnLastHandleClosed"] = true
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	system, err := svc.CreateComputeSystem("c1", string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := system.Close(); err != nil {
		t.Error(err)
	}
	_, err = svc.OpenComputeSystem("c1")
	wantCode(t, "open", err, libcontainerd.CodeSystemNotFound)
}

func TestStatisticsMoveWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		s := spec()
		s.Windows.Networking = &libcontainerd.Networking{EndpointList: []string{"e1", "e2"}}
		system := start(t, svc, "c1", s)
		defer stop(t, system)
		before, err := system.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		after, err := system.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		if after.Uptime-before.Uptime != 10*time.Second {
			t.Error("uptime", before.Uptime, after.Uptime)
		}
		if after.Processor.TotalRuntime != after.Processor.RuntimeUser+after.Processor.RuntimeKernel {
			t.Error("processor", after.Processor)
		}
		if len(after.Network) != 2 || after.Network[1].EndpointId != "e2" || after.Network[1].BytesReceived <= before.Network[1].BytesReceived {
			t.Error("network", after.Network)
		}
	})
}

func TestProcessListHasSystemProcesses(t *testing.T) {
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	process := startProcess(t, system, `C:\Windows\System32\PING.EXE -t localhost`)
	list, err := system.ProcessList()
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	pids := map[uint32]bool{}
	for _, p := range list {
		images = append(images, p.ImageName)
		pids[p.Pid] = true
		if p.Pid%4 != 0 {
			t.Errorf("pid %d of %s", p.Pid, p.ImageName)
		}
	}
	want := []string{"smss.exe", "csrss.exe", "wininit.exe", "services.exe", "lsass.exe", "svchost.exe", "CExecSvc.exe", "PING.EXE"}
	if diff := cmp.Diff(want, images); diff != "" {
		t.Error(diff)
	}
	if !pids[process.Pid()] || len(pids) != len(list) {
		t.Error("pids", pids)
	}
	_, err = system.OpenProcess(list[0].Pid)
	wantCode(t, "open a system process", err, libcontainerd.CodeNotFound)
	if err := errors.Join(process.Kill(), process.Close()); err != nil {
		t.Error(err)
	}
}

func TestProgramSeesItsProcess(t *testing.T) {
	type view struct {
		Args          []string
		User, Cwd     string
		Variable      string
		Width, Height uint16
		Host          string
	}
	seen := make(chan view, 2)
	program := func(p *hcstest.Process) uint32 {
		for {
			v := view{Args: p.Args, User: p.User, Cwd: p.Cwd, Variable: p.Getenv("Name"), Host: p.Hostname()}
			v.Width, v.Height = p.ConsoleSize()
			seen <- v
			select {
			case <-p.Resized():
			case <-p.Killed():
				return 0
			}
		}
	}
	svc := hcstest.New(t, hcstest.WithProgram("Tool.exe", program))
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	process, err := system.CreateProcess(&libcontainerd.ProcessConfig{
		CommandLine:      `"C:\Program Files\tool.EXE" "a b" \"c\"`,
		User:             "ContainerUser",
		WorkingDirectory: `C:\work`,
		Environment:      map[string]string{"NAME": "value"},
		EmulateConsole:   true,
		ConsoleSize:      [2]uint{50, 160},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := view{
		Args: []string{`C:\Program Files\tool.EXE`, "a b", `"c"`},
		User: "ContainerUser", Cwd: `C:\work`, Variable: "value", Width: 160, Height: 50, Host: "web",
	}
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Error(diff)
	}
	if err := process.ResizeConsole(120, 40); err != nil {
		t.Error(err)
	}
	want.Width, want.Height = 120, 40
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(process.Kill(), process.Close()); err != nil {
		t.Error(err)
	}
}

func TestNilProgramRunsUntilEnded(t *testing.T) {
	svc := hcstest.New(t, hcstest.WithProgram("idle", nil))
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	process := startProcess(t, system, "idle")
	if !svc.ExitProcess("c1", process.Pid(), 42) {
		t.Error("there is no such process")
	}
	if svc.ExitProcess("c1", process.Pid(), 43) {
		t.Error("it ended twice")
	}
	if code, err := process.Wait(); code != 42 || err != nil {
		t.Error(code, err)
	}
	_ = process.Close()
}

// TestInputEndsOnBothEnds covers lesson 44: closing the pipe is not enough.
func TestInputEndsOnBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		system := start(t, svc, "c1", spec())
		defer stop(t, system)
		process := startProcess(t, system, "more")
		stdin, stdout, stderr, err := process.Stdio()
		if err != nil {
			t.Fatal(err)
		}
		exited := make(chan struct{})
		go func() {
			defer close(exited)
			_, _ = process.Wait()
		}()
		if err := stdin.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		select {
		case <-exited:
			t.Error("it ended before CloseStdin")
		default:
		}
		if err := process.CloseStdin(); err != nil {
			t.Error(err)
		}
		<-exited
		_, _, _ = stdout.Close(), stderr.Close(), process.Close()
	})
}

func TestPipes(t *testing.T) {
	const size = 64 << 10
	synctest.Test(t, func(t *testing.T) {
		wrote := make(chan int, 1)
		svc := hcstest.New(t, hcstest.WithProgram("flood", func(p *hcstest.Process) uint32 {
			n, _ := p.Stdout.Write(make([]byte, 3*size))
			wrote <- n
			return 0
		}))
		system := start(t, svc, "c1", spec())
		defer stop(t, system)

		process := startProcess(t, system, "flood")
		stdin, stdout, stderr, err := process.Stdio()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(wrote) > 0 {
			t.Error("a full pipe did not block its writer")
		}
		if n, err := io.ReadFull(stdout, make([]byte, size+1)); err != nil {
			t.Error(n, err)
		}
		// The kill leaves what is in the pipe.
		if err := process.Kill(); err != nil {
			t.Error(err)
		}
		rest, err := io.ReadAll(stdout)
		if err != nil || <-wrote != size+1+len(rest) {
			t.Error("bytes lost:", len(rest), err)
		}
		if _, err := stdin.Write([]byte("x")); !errors.Is(err, libcontainerd.CodeBrokenPipe) {
			t.Error("write to an ended process:", err)
		}

		// Close ends a read that blocks.
		second := startProcess(t, system, "ping -t localhost")
		stdin2, stdout2, stderr2, err := second.Stdio()
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, stderr2)
			read <- err
		}()
		synctest.Wait()
		if err := stderr2.Close(); err != nil {
			t.Error(err)
		}
		if <-read == nil {
			t.Error("the read ended without an error")
		}
		for _, c := range []io.Closer{stdin, stdout, stderr, stdin2, stdout2, stderr2, process, second} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
