package libcontainerd

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// An error about a field names its path in the spec. See lessons_test.go: 5, 6, 13, 14,
// 23, D7–D9, D11, D32, P12.
func TestBadFieldsAreNamed(t *testing.T) {
	// Most faults keep a spec from being translated. Create alone finds a field that
	// is missing: the last column says which of the two.
	const (
		document = false
		create   = true
	)
	tests := []struct {
		field  string
		change func(*Spec)
		only   bool
	}{
		{"hostname: ", func(s *Spec) { s.Hostname = "a\x00b" }, document},
		{"root.path: ", func(s *Spec) { s.Root.Path += "\x00" }, document},
		{"root.path: ", func(s *Spec) { s.Root.Path = "" }, create},
		{"root.path: ", func(s *Spec) { s.Root.Path = `C:\scratch` }, create},
		{"root.path: ", func(s *Spec) { s.Root.Path = `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d` }, create},
		{"root.readonly: ", func(s *Spec) { s.Root.Readonly = true }, create},
		{"mounts[0].source: ", func(s *Spec) { s.Mounts = []Mount{{Source: "\x00"}} }, document},
		{"mounts[0].destination: ", func(s *Spec) { s.Mounts = []Mount{{Destination: "\xc3"}} }, document},
		{"windows.layer_folder: ", func(s *Spec) { s.Windows.LayerFolder = "" }, create},
		{"windows.layer_folder: ", func(s *Spec) { s.Windows.LayerFolder = "\x00" }, document},
		{"windows.layer_paths: ", func(s *Spec) { s.Windows.LayerPaths = nil }, create},
		{"windows.layer_paths[1]: ", func(s *Spec) { s.Windows.LayerPaths[1] = "" }, document},
		{"windows.layer_paths[1]: ", func(s *Spec) { s.Windows.LayerPaths[1] = `C:\` }, document},
		{"windows.layer_paths[1]: ", func(s *Spec) { s.Windows.LayerPaths[1] = "a\x00" }, document},
		{"windows.hv_runtime.image_path: ", func(s *Spec) { s.Windows.HvRuntime = &HvRuntime{ImagePath: "\x00"} }, document},
		{"windows.resources.memory.limit: ", func(s *Spec) { s.Windows.Resources.Memory.Limit = new(int64(-1)) }, document},
		{"windows.resources.memory.limit: ", func(s *Spec) { s.Windows.Resources.Memory.Limit = new(int64(1<<20 - 1)) }, document},
		{"windows.resources.cpu.shares: ", func(s *Spec) { s.Windows.Resources.CPU.Shares = new(uint64(10001)) }, document},
		{"windows.resources.cpu.percent: ", func(s *Spec) { s.Windows.Resources.CPU.Percent = new(int64(-1)) }, document},
		{"windows.resources.cpu.percent: ", func(s *Spec) { s.Windows.Resources.CPU.Percent = new(int64(101)) }, document},
		{"windows.resources.cpu.maximum: ", func(s *Spec) { s.Windows.Resources.CPU.Maximum = new(uint64(10001)) }, document},
		{"windows.resources.cpu.maximum: ", func(s *Spec) {
			s.Windows.Resources.CPU = &CPU{Percent: new(int64(1)), Maximum: new(uint64(100))}
		}, document},
		{"windows.resources.cpu.count: ", func(s *Spec) { s.Windows.Resources.CPU.Count = new(uint64(1 << 32)) }, document},
		{"windows.networking.endpoints[0]: ", func(s *Spec) { s.Windows.Networking.EndpointList = []string{"\x00"} }, document},
		{"windows.networking.network_namespace: ", func(s *Spec) { s.Windows.Networking.NetworkNamespace = "\x00" }, document},
		{"windows.networking.network_namespace: ", func(s *Spec) { s.Windows.Networking.NetworkNamespace = "x" }, document},
		{"windows.networking.dns_search_list[1]: ", func(s *Spec) { s.Windows.Networking.DNSSearchList = []string{"a", "\x00"} }, document},
		{"windows.networking.network_shared_container_name: ", func(s *Spec) {
			s.Windows.HvRuntime, s.Windows.Networking.NetworkSharedContainerName = &HvRuntime{}, "pause"
		}, document},
		{"windows.credential_spec: ", func(s *Spec) { s.Windows.CredentialSpec = "file://spec.json" }, document},
		{"windows.pipes[0].source: ", func(s *Spec) { s.Windows.Pipes = []Pipe{{`C:\pipe\a`, "a"}} }, document},
		{"windows.pipes[0].source: ", func(s *Spec) { s.Windows.Pipes = []Pipe{{`\\.\pipe\`, "a"}} }, document},
		{"windows.pipes[0].name: ", func(s *Spec) { s.Windows.Pipes = []Pipe{{`\\.\pipe\a`, ""}} }, document},
		{"windows.devices[0].id: ", func(s *Spec) { s.Windows.Devices = []Device{{"", "class"}} }, document},
		{"windows.devices[0].id: ", func(s *Spec) { s.Windows.Devices = []Device{{"{5b45201d-f2f2-4f3b-85bb-30ff1f953599", "class"}} }, document},
		{"windows.devices[0].id: ", func(s *Spec) { s.Windows.Devices = []Device{{"5b45201d-f2f2-4f3b-85bb-30ff1f953599}", "class"}} }, document},
		{"windows.devices[0].id_type: ", func(s *Spec) { s.Windows.Devices = []Device{{"5b45201d-f2f2-4f3b-85bb-30ff1f953599", ""}} }, document},
		{"windows.devices: ", func(s *Spec) {
			s.Windows.HvRuntime, s.Windows.Devices = &HvRuntime{}, []Device{{"5b45201d-f2f2-4f3b-85bb-30ff1f953599", "class"}}
		}, document},
		{"process.args: ", func(s *Spec) { s.Process.Args = nil }, create},
		{"process.args: ", func(s *Spec) { s.Process.Args = []string{"", " \t"} }, create},
		{"process.args[0]: ", func(s *Spec) { s.Process.Args = []string{"a\x00"} }, create},
		{"process.env[0]: ", func(s *Spec) { s.Process.Env = []string{"a=\x00"} }, create},
		{"process.cwd: ", func(s *Spec) { s.Process.Cwd = "\x00" }, create},
		{"process.user.user: ", func(s *Spec) { s.Process.User.User = "\x00" }, create},
		{"process.initial_console_size[0]: ", func(s *Spec) { s.Process.Terminal, s.Process.InitialConsoleSize = true, [2]int{-1, 1} }, create},
		{"process.initial_console_size[1]: ", func(s *Spec) { s.Process.InitialConsoleSize = [2]int{1, 65536} }, create},
	}
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			spec := processSpec()
			tt.change(&spec)
			if _, err := Configuration("web", spec, server2022); (err == nil) != tt.only {
				t.Errorf("Configuration: %v", err)
			}
			err := spec.validate(server2022.host)
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatalf("got %v, want an invalid argument", err)
			}
			if !strings.HasPrefix(err.Error(), tt.field) && !strings.Contains(err.Error(), "\n"+tt.field) {
				t.Errorf("got %v, want an error on %s", err, tt.field)
			}
		})
	}
}

func TestValidationReportsAllAtOnce(t *testing.T) {
	spec := Spec{Windows: Windows{
		Resources: &Resources{Memory: &Memory{Limit: new(int64(-1))}, CPU: &CPU{Shares: new(uint64(10001)), Percent: new(int64(101))}},
	}}
	err := spec.validate(server2022.host)
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{
		"windows.resources.memory.limit", "windows.resources.cpu.shares", "windows.resources.cpu.percent",
		"windows.layer_paths", "windows.layer_folder", "root.path", "process.args",
	} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%v\nlacks %s", err, field)
		}
	}
}

// An engine of 2016 sends these, and HCS makes sense of them.
func TestWhatThe2016ClientTookIsTaken(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Spec)
	}{
		{"nothing optional", func(s *Spec) { s.Windows.Resources, s.Windows.Networking = nil, nil }},
		{"limits of 0", func(s *Spec) {
			s.Windows.Resources = &Resources{
				Memory:  &Memory{Limit: new(int64(0)), Reservation: new(uint64(0))},
				CPU:     &CPU{Count: new(uint64(0)), Shares: new(uint64(0)), Percent: new(int64(0)), Maximum: new(uint64(0))},
				Storage: &Storage{Iops: new(uint64(0)), Bps: new(uint64(0)), SandboxSize: new(uint64(0))},
			}
		}},
		{"mount with a type", func(s *Spec) { s.Mounts = []Mount{{Destination: `c:\a`, Source: `d:\a`, Type: "bind"}} }},
		{"volume with its backslash", func(s *Spec) { s.Root.Path += `\` }},
		{"volume with Hyper-V", func(s *Spec) { s.Windows.HvRuntime = &HvRuntime{ImagePath: `C:\vm`} }},
		{"console size without a terminal", func(s *Spec) { s.Process.InitialConsoleSize = [2]int{25, 80} }},
		{"no working directory", func(s *Spec) { s.Process.Cwd = "" }},
		{"arguments that are blank", func(s *Spec) { s.Process.Args = []string{"cmd", ""} }},
		{"environment without =", func(s *Spec) { s.Process.Env = []string{"", "A", "=C:=C:\\"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := processSpec()
			tt.change(&spec)
			if err := spec.validate(server2022.host); err != nil {
				t.Error(err)
			}
			if _, err := Configuration("web", spec, server2022); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestProcessErrorsSayWhereTheProcessStands(t *testing.T) {
	process := Process{Terminal: true, InitialConsoleSize: [2]int{70000, 0}}
	err := process.validate()
	for _, want := range []string{"process.args: ", "process.initial_console_size[0]: the height 70000 "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	process = Process{Args: []string{"cmd"}}
	if err := process.validate(); err != nil {
		t.Error(err)
	}
}

// A spec that is as it should be costs no memory to check.
func TestValidationOfAGoodSpecAllocatesNothing(t *testing.T) {
	spec := processSpec()
	spec.Mounts = []Mount{{Destination: `C:\a`, Source: `D:\a`}}
	spec.Process.Env = []string{"A=b"}
	spec.Windows.Networking.EndpointList = []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"}
	spec.Windows.Pipes = []Pipe{{`\\.\pipe\a`, "a"}}
	spec.Windows.Devices = []Device{{"{5b45201d-f2f2-4f3b-85bb-30ff1f953599}", "class"}}
	if n := testing.AllocsPerRun(100, func() {
		if err := spec.validate(server2022.host); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
