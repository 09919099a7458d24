package libcontainerd

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ociProcessSpec returns a document that every host can run, with process
// isolation.
func ociProcessSpec() *specs.Spec {
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{Args: []string{"cmd"}, Cwd: `C:\`},
		Root:    &specs.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}\`},
		Windows: &specs.Windows{
			LayerFolders: []string{`C:\layers\top`, `C:\layers\base`, `C:\layers\scratch`},
			Resources:    &specs.WindowsResources{Memory: &specs.WindowsMemoryResources{}, CPU: &specs.WindowsCPUResources{}, Storage: &specs.WindowsStorageResources{}},
			Network:      &specs.WindowsNetwork{},
		},
	}
}

// Each field of an OCI document that HCS has a use for is in the Spec. See
// lessons_test.go: 11, 12, 13, 14, 18.
func TestSpecFromOCICarriesEveryField(t *testing.T) {
	document := &specs.Spec{
		Version:  specs.Version,
		Hostname: "web",
		Process: &specs.Process{
			Terminal:    true,
			ConsoleSize: &specs.Box{Height: 50, Width: 160},
			User:        specs.User{Username: "ContainerUser"},
			Args:        []string{"cmd", "/c", `echo "a b"`},
			Env:         []string{"A=b"},
			Cwd:         `C:\x`,
		},
		Root: &specs.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}\`},
		Mounts: []specs.Mount{
			{Destination: `\\.\pipe\engine`, Source: `\\.\pipe\docker_engine`},
			{Destination: `C:\data`, Source: `D:\data`, Options: []string{"bind", "ro"}},
		},
		Windows: &specs.Windows{
			LayerFolders: []string{`C:\layers\top`, `C:\layers\base`, `C:\layers\scratch`},
			Devices:      []specs.WindowsDevice{{ID: "5b45201d-f2f2-4f3b-85bb-30ff1f953599", IDType: "class"}},
			Resources: &specs.WindowsResources{
				Memory:  &specs.WindowsMemoryResources{Limit: new(uint64(1 << 30))},
				CPU:     &specs.WindowsCPUResources{Count: new(uint64(2)), Shares: new(uint16(500)), Maximum: new(uint16(10000))},
				Storage: &specs.WindowsStorageResources{Iops: new(uint64(1)), Bps: new(uint64(2)), SandboxSize: new(uint64(3))},
			},
			CredentialSpec:          map[string]any{"CmsPlugins": []string{"<ActiveDirectory>"}},
			Servicing:               true,
			IgnoreFlushesDuringBoot: true,
			Network: &specs.WindowsNetwork{
				EndpointList:               []string{"e1"},
				AllowUnqualifiedDNSQuery:   true,
				DNSSearchList:              []string{"example.com"},
				NetworkSharedContainerName: "pause",
			},
		},
	}
	want := Spec{
		Version:  Version,
		Platform: Platform{OS: "windows"},
		Hostname: "web",
		Process: Process{
			Terminal:           true,
			InitialConsoleSize: [2]int{50, 160},
			User:               User{User: "ContainerUser"},
			Args:               []string{"cmd", "/c", `"echo \"a b\""`},
			Env:                []string{"A=b"},
			Cwd:                `C:\x`,
		},
		Root:   Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Mounts: []Mount{{Destination: `C:\data`, Source: `D:\data`, Readonly: true}},
		Windows: Windows{
			LayerFolder: `C:\layers\scratch`,
			LayerPaths:  []string{`C:\layers\top`, `C:\layers\base`},
			FirstStart:  true,
			Resources: &Resources{
				Memory:  &Memory{Limit: new(int64(1 << 30))},
				CPU:     &CPU{Count: new(uint64(2)), Shares: new(uint64(500)), Maximum: new(uint64(10000))},
				Storage: &Storage{Iops: new(uint64(1)), Bps: new(uint64(2)), SandboxSize: new(uint64(3))},
			},
			Networking: &Networking{
				EndpointList:               []string{"e1"},
				DNSSearchList:              []string{"example.com"},
				AllowUnqualifiedDNSQuery:   true,
				NetworkSharedContainerName: "pause",
			},
			CredentialSpec: `{"CmsPlugins":["<ActiveDirectory>"]}`,
			Pipes:          []Pipe{{Source: `\\.\pipe\docker_engine`, Name: "engine"}},
			Devices:        []Device{{ID: "5b45201d-f2f2-4f3b-85bb-30ff1f953599", IDType: "class"}},
			Servicing:      true,
		},
	}
	got, err := SpecFromOCI(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if err := got.validate(server2022.host); err != nil {
		t.Errorf("Create would refuse it: %v", err)
	}
}

func TestSpecFromOCIOfHyperV(t *testing.T) {
	document := ociProcessSpec()
	document.Root = nil
	document.Windows.HyperV = &specs.WindowsHyperV{UtilityVMPath: `C:\vm`}
	got, err := SpecFromOCI(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&HvRuntime{ImagePath: `C:\vm`}, got.Windows.HvRuntime); diff != "" {
		t.Error(diff)
	}
}

// A command line is not quoted again. See lessons_test.go: 17.
func TestCommandLineOfOCIIsTakenVerbatim(t *testing.T) {
	document := ociProcessSpec()
	document.Process.CommandLine = `cmd /c "echo "a" | findstr a"`
	document.Process.Args = []string{"ignored"}
	got, err := SpecFromOCI(document)
	if err != nil {
		t.Fatal(err)
	}
	if line := commandLine(got.Process.Args); line != document.Process.CommandLine {
		t.Errorf("got %s", line)
	}
}

func TestConsoleSizeNeedsATerminal(t *testing.T) {
	document := ociProcessSpec()
	document.Process.ConsoleSize = &specs.Box{Height: math.MaxUint, Width: 1}
	got, err := SpecFromOCI(document)
	if err != nil || got.Process.InitialConsoleSize != [2]int{} {
		t.Errorf("got %v, %v", got.Process.InitialConsoleSize, err)
	}
}

// A credential spec may be an object or its text. See lessons_test.go: 14.
func TestCredentialSpecIsAnObjectOrItsText(t *testing.T) {
	const object = `{"CmsPlugins":["ActiveDirectory"]}`
	tests := []struct {
		name string
		spec any
		want string // "" with a spec that is not nil: an error
	}{
		{"none", nil, ""},
		{"object", map[string]any{"CmsPlugins": []any{"ActiveDirectory"}}, object},
		{"text", object, object},
		{"raw JSON", json.RawMessage(object), object},
		{"file", "file://spec.json", ""},
		{"registry", "registry://spec", ""},
		{"list", []any{object}, ""},
		{"number", 1.5, ""},
		{"broken text", `{"CmsPlugins":`, ""},
		{"text of a list", `["{}"]`, ""},
		{"no JSON", map[string]any{"secret": make(chan int)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			document := ociProcessSpec()
			document.Windows.CredentialSpec = tt.spec
			got, err := SpecFromOCI(document)
			if tt.want != "" || tt.spec == nil {
				if err != nil || got.Windows.CredentialSpec != tt.want {
					t.Errorf("got %q, %v", got.Windows.CredentialSpec, err)
				}
				return
			}
			if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "windows.credentialSpec: ") {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("tells what is in it: %v", err)
			}
		})
	}
}

// An error about a field names its path in the OCI document. See lessons_test.go: 5, 6, 13, 23,
// P6.
func TestBadOCIFieldsAreNamed(t *testing.T) {
	const (
		bad    = false // an invalid argument
		cannot = true  // valid OCI, but not implemented
	)
	tests := []struct {
		field          string
		change         func(*specs.Spec)
		notImplemented bool
	}{
		{"process: ", func(s *specs.Spec) { s.Process = nil }, bad},
		{"process.args: ", func(s *specs.Spec) { s.Process.Args = nil }, bad},
		{"process.args[0]: ", func(s *specs.Spec) { s.Process.Args = []string{"", "a"} }, bad},
		{"process.args[1]: ", func(s *specs.Spec) { s.Process.Args = []string{"a", "b\x00"} }, bad},
		{"process.commandLine: ", func(s *specs.Spec) { s.Process.CommandLine = " \t" }, bad},
		{"process.commandLine: ", func(s *specs.Spec) { s.Process.CommandLine = "a\x00" }, bad},
		{"process.env[1]: ", func(s *specs.Spec) { s.Process.Env = []string{"A=b", "A=\x00"} }, bad},
		{"process.cwd: ", func(s *specs.Spec) { s.Process.Cwd = "\xff" }, bad},
		{"process.user.username: ", func(s *specs.Spec) { s.Process.User.Username = "\x00" }, bad},
		{"process.consoleSize.height: ", func(s *specs.Spec) {
			s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: math.MaxUint}
		}, bad},
		{"process.consoleSize.width: ", func(s *specs.Spec) {
			s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Width: 65536}
		}, bad},
		{"process.execCPUAffinity: ", func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{} }, cannot},
		{"root.path: ", func(s *specs.Spec) { s.Root.Path = `C:\scratch` }, bad},
		{"root.path: ", func(s *specs.Spec) { s.Root.Path = `\\?\Volume{no-guid}\` }, bad},
		{"root.path: ", func(s *specs.Spec) { s.Windows.HyperV = &specs.WindowsHyperV{} }, bad},
		{"root.readonly: ", func(s *specs.Spec) { s.Root.Readonly = true }, cannot},
		{"hostname: ", func(s *specs.Spec) { s.Hostname = "a\x00" }, bad},
		{"domainname: ", func(s *specs.Spec) { s.Domainname = "example.com" }, cannot},
		{"linux: ", func(s *specs.Spec) { s.Linux = &specs.Linux{} }, cannot},
		{"vm: ", func(s *specs.Spec) { s.VM = &specs.VM{} }, cannot},
		{"hooks: ", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}} }, cannot},
		{"mounts[0].type: ", mount(specs.Mount{Type: "tmpfs", Destination: `C:\a`, Source: `D:\a`}), cannot},
		{"mounts[0].destination: ", mount(specs.Mount{Source: `D:\a`}), bad},
		{"mounts[0].destination: ", mount(specs.Mount{Destination: `a`, Source: `D:\a`}), bad},
		{"mounts[0].destination: ", mount(specs.Mount{Destination: `C:a`, Source: `D:\a`}), bad},
		{"mounts[0].destination: ", mount(specs.Mount{Destination: `\\server\share`, Source: `D:\a`}), bad},
		{"mounts[0].destination: ", mount(specs.Mount{Destination: `c:\x\..`, Source: `D:\a`}), bad},
		{"mounts[0].destination: ", mount(specs.Mount{Destination: `C:\a` + "\x00", Source: `D:\a`}), bad},
		{"mounts[0].source: ", mount(specs.Mount{Destination: `C:\a`}), bad},
		{"mounts[0].source: ", mount(specs.Mount{Destination: `C:\a`, Source: `a`}), bad},
		{"mounts[0].source: ", mount(specs.Mount{Destination: `C:\a`, Source: `\\.\pipe\a`}), bad},
		{"mounts[0].source: ", mount(specs.Mount{Destination: `\\.\pipe\a`, Source: `C:\a`}), bad},
		{"mounts[0].options: ", mount(specs.Mount{Destination: `\\.\pipe\a`, Source: `\\.\pipe\a`, Options: []string{"ro"}}), cannot},
		{"mounts[0].options[1]: ", mount(specs.Mount{Destination: `C:\a`, Source: `D:\a`, Options: []string{"ro", "noexec"}}), cannot},
		{"mounts[1].destination: ", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: `C:\a`, Source: `D:\a`}, {Destination: `c:/A/`, Source: `D:\b`}}
		}, bad},
		{"windows.layerFolders: ", func(s *specs.Spec) { s.Windows = nil }, bad},
		{"windows.layerFolders: ", func(s *specs.Spec) { s.Windows.LayerFolders = s.Windows.LayerFolders[:1] }, bad},
		{"windows.layerFolders[0]: ", func(s *specs.Spec) { s.Windows.LayerFolders[0] = `C:\` }, bad},
		{"windows.layerFolders[2]: ", func(s *specs.Spec) { s.Windows.LayerFolders[2] = "" }, bad},
		{"windows.layerFolders[2]: ", func(s *specs.Spec) { s.Windows.LayerFolders[2] = "\x00" }, bad},
		{"windows.hyperv.utilityVMPath: ", func(s *specs.Spec) {
			s.Root, s.Windows.HyperV = nil, &specs.WindowsHyperV{UtilityVMPath: "\x00"}
		}, bad},
		{"windows.devices[0].idType: ", device1("vpci-location-path", "5b45201d-f2f2-4f3b-85bb-30ff1f953599"), cannot},
		{"windows.devices[0].id: ", device1("class", "COM1"), bad},
		{"windows.devices: ", func(s *specs.Spec) {
			device1("class", "5b45201d-f2f2-4f3b-85bb-30ff1f953599")(s)
			s.Root, s.Windows.HyperV = nil, &specs.WindowsHyperV{}
		}, cannot},
		{"windows.resources.memory.limit: ", func(s *specs.Spec) { s.Windows.Resources.Memory.Limit = new(uint64(1<<20 - 1)) }, bad},
		{"windows.resources.memory.limit: ", func(s *specs.Spec) { s.Windows.Resources.Memory.Limit = new(uint64(math.MaxUint64)) }, bad},
		{"windows.resources.cpu.shares: ", func(s *specs.Spec) { s.Windows.Resources.CPU.Shares = new(uint16(10001)) }, bad},
		{"windows.resources.cpu.maximum: ", func(s *specs.Spec) { s.Windows.Resources.CPU.Maximum = new(uint16(10001)) }, bad},
		{"windows.resources.cpu.count: ", func(s *specs.Spec) { s.Windows.Resources.CPU.Count = new(uint64(1 << 32)) }, bad},
		{"windows.resources.cpu.affinity: ", func(s *specs.Spec) {
			s.Windows.Resources.CPU.Affinity = []specs.WindowsCPUGroupAffinity{{Mask: 1}}
		}, cannot},
		{"windows.network.networkNamespace: ", func(s *specs.Spec) { s.Windows.Network.NetworkNamespace = "\x00" }, bad},
		{"windows.network.networkSharedContainerName: ", func(s *specs.Spec) {
			s.Root, s.Windows.HyperV = nil, &specs.WindowsHyperV{}
			s.Windows.Network.NetworkSharedContainerName = "x"
		}, cannot},
		{"windows.network.endpointList[0]: ", func(s *specs.Spec) { s.Windows.Network.EndpointList = []string{"\x00"} }, bad},
		{"windows.network.DNSSearchList[0]: ", func(s *specs.Spec) { s.Windows.Network.DNSSearchList = []string{"\x00"} }, bad},
	}
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			document := ociProcessSpec()
			tt.change(document)
			_, err := SpecFromOCI(document)
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatalf("got %v, want an invalid argument", err)
			}
			if errors.Is(err, errdefs.ErrNotImplemented) != tt.notImplemented {
				t.Errorf("not implemented: want %t: %v", tt.notImplemented, err)
			}
			if !strings.HasPrefix(err.Error(), tt.field) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one error on %s", err, tt.field)
			}
		})
	}
}

// A document as containerd writes it: the caller mounts the layers and resolves the
// namespace, and then it runs.
func TestDocumentOfContainerdLacksWhatTheCallerFindsOut(t *testing.T) {
	for _, hyperv := range []string{"", `"hyperv": {},`} {
		var document specs.Spec
		if err := json.Unmarshal([]byte(`{
			"ociVersion": "1.2.0",
			"process": {
				"user": {"uid": 0, "gid": 0, "username": "ContainerUser"},
				"args": ["cmd", "/c", "ver"],
				"cwd": "C:\\"
			},
			"root": {"path": ""},
			"annotations": {"io.kubernetes.cri.container-type": "container"},
			"windows": {
				"layerFolders": ["C:\\layers\\2", "C:\\layers\\1", "C:\\layers\\scratch"],
				"ignoreFlushesDuringBoot": true,
				"resources": {"cpu": {"shares": 0}},
				`+hyperv+`
				"network": {"allowUnqualifiedDNSQuery": true, "networkNamespace": "5b45201d-f2f2-4f3b-85bb-30ff1f953599"}
			}
		}`), &document); err != nil {
			t.Fatal(err)
		}
		spec, err := SpecFromOCI(&document)
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.Windows.Networking.NetworkNamespace; got != "5b45201d-f2f2-4f3b-85bb-30ff1f953599" || spec.Root.Path != "" {
			t.Errorf("namespace %q, root %q", got, spec.Root.Path)
		}
		if got := spec.Windows.LayerFolder; got != `C:\layers\scratch` {
			t.Errorf("scratch %q", got)
		}

		err = spec.validate(server2022.host)
		if !errors.Is(err, errdefs.ErrNotImplemented) || !strings.Contains(err.Error(), "windows.networking.network_namespace: ") {
			t.Errorf("namespace: %v", err)
		}
		if needsVolume := hyperv == ""; strings.Contains(err.Error(), "root.path: ") != needsVolume {
			t.Errorf("root.path: %v", err)
		}
		if _, err := Configuration("web", spec, server2022); !errors.Is(err, errdefs.ErrNotImplemented) || !strings.Contains(err.Error(), "windows.networking.network_namespace: ") {
			t.Errorf("Configuration: %v", err)
		}
		complete(&spec)
		if err := spec.validate(server2022.host); err != nil {
			t.Error(err)
		}
		if _, err := Configuration("web", spec, server2022); err != nil {
			t.Error(err)
		}
	}
}

// complete does what SpecFromOCI leaves to its caller.
func complete(spec *Spec) {
	if spec.Windows.HvRuntime == nil && spec.Root.Path == "" {
		spec.Root.Path = processSpec().Root.Path
	}
	if n := spec.Windows.Networking; n != nil {
		n.NetworkNamespace = ""
	}
}

func TestProcessOfOCI(t *testing.T) {
	got, err := ProcessFromOCI(&specs.Process{
		Terminal:    true,
		ConsoleSize: &specs.Box{Height: 50, Width: 160},
		User:        specs.User{Username: "ContainerUser"},
		Args:        []string{"cmd", `a "b"`, ""},
		Env:         []string{"A=b"},
		Cwd:         `C:\x`,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Process{
		Terminal:           true,
		InitialConsoleSize: [2]int{50, 160},
		User:               User{User: "ContainerUser"},
		Args:               []string{"cmd", `"a \"b\""`, `""`},
		Env:                []string{"A=b"},
		Cwd:                `C:\x`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("process (-want +got):\n%s", diff)
	}
}

func TestProcessOfOCIReportsAllAtOnce(t *testing.T) {
	tests := []struct {
		process *specs.Process
		want    []string
	}{
		{nil, []string{"process: is missing"}},
		{&specs.Process{}, []string{"process.args: "}},
		{
			&specs.Process{
				Terminal: true, ConsoleSize: &specs.Box{Height: math.MaxUint, Width: 65536}, CommandLine: " ",
				User: specs.User{Username: "\x00"}, Env: []string{"\x00"}, ExecCPUAffinity: &specs.CPUAffinity{},
			},
			[]string{
				"process.consoleSize.height: ", "process.consoleSize.width: ", "process.commandLine: ",
				"process.user.username: ", "process.env[0]: ", "process.execCPUAffinity: ",
			},
		},
	}
	for _, tt := range tests {
		got, err := ProcessFromOCI(tt.process)
		if !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Fatalf("got %+v, %v, want an invalid argument", got, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nlacks %s", err, want)
			}
		}
	}
}

func mount(m specs.Mount) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Mounts = []specs.Mount{m} }
}

func device1(idType, id string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Windows.Devices = []specs.WindowsDevice{{ID: id, IDType: idType}} }
}

func TestSpecFromOCIReportsAllAtOnce(t *testing.T) {
	_, err := SpecFromOCI(&specs.Spec{
		Process: &specs.Process{},
		Root:    &specs.Root{Path: "x", Readonly: true},
		Mounts: []specs.Mount{
			{Destination: `\\.\pipe\a`, Source: `\\.\pipe\a`},
			{Type: "x", Destination: "y", Source: "z", Options: []string{"ro", "w"}},
		},
		Windows: &specs.Windows{Resources: &specs.WindowsResources{CPU: &specs.WindowsCPUResources{Shares: new(uint16(20000))}}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{
		"process.args", "root.path", "root.readonly", "mounts[1].type", "mounts[1].destination", "mounts[1].source", "mounts[1].options[1]",
		"windows.layerFolders", "windows.resources.cpu.shares",
	} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%v\nlacks %s", err, field)
		}
	}
}

// A part of the document that is nil does not panic. See lessons_test.go: 6, P6.
func TestSpecFromOCIToleratesNilPointers(t *testing.T) {
	for _, s := range []*specs.Spec{
		nil,
		{},
		{Process: &specs.Process{}, Root: &specs.Root{}, Windows: &specs.Windows{}},
		{Windows: &specs.Windows{HyperV: &specs.WindowsHyperV{}, Network: &specs.WindowsNetwork{}, Resources: &specs.WindowsResources{}}},
	} {
		if _, err := SpecFromOCI(s); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%+v: got %v", s, err)
		}
	}
	document := ociProcessSpec()
	document.Windows.Resources, document.Windows.Network = nil, nil
	if _, err := SpecFromOCI(document); err != nil {
		t.Error(err)
	}
}

func TestSpecFromOCILeavesTheDocumentAlone(t *testing.T) {
	document := ociProcessSpec()
	document.Process.Env = []string{"A=b"}
	spec, err := SpecFromOCI(document)
	if err != nil {
		t.Fatal(err)
	}
	spec.Process.Env[0] = "changed"
	spec.Windows.LayerPaths[0] = "changed"
	want := ociProcessSpec()
	want.Process.Env = []string{"A=b"}
	if diff := cmp.Diff(want, document); diff != "" {
		t.Errorf("document (-before +after):\n%s", diff)
	}
}

func TestManyMountsTakeNoTimeOutOfProportion(t *testing.T) {
	document := ociProcessSpec()
	for range 20_000 {
		document.Mounts = append(document.Mounts, specs.Mount{Destination: `C:\a`, Source: `D:\a`})
	}
	if _, err := SpecFromOCI(document); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}

func FuzzSpecFromOCI(f *testing.F) {
	files, err := filepath.Glob("testdata/*/oci-*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"process":null,"root":null,"mounts":[{}],"windows":null}`))
	f.Add([]byte(`{"windows":{"layerFolders":["","C:\\"],"hyperv":{},"credentialSpec":["x"],"network":{"networkNamespace":"x"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var document specs.Spec
		if json.Unmarshal(data, &document) != nil {
			return
		}
		spec, err := SpecFromOCI(&document)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("wrong kind: %v", err)
			}
			return
		}
		complete(&spec)
		if err := spec.validate(server2022.host); err != nil {
			t.Errorf("made a spec that Create refuses: %v", err)
		}
		if _, err := Configuration("web", spec, server2022); err != nil {
			t.Errorf("made a spec that cannot be translated: %v", err)
		}
		checkTranslation(t, spec, server2022)
	})
}
