package libcontainerd

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"
)

// processSpec returns a spec that every host can run, with process isolation.
func processSpec() Spec {
	return Spec{
		Version:  Version,
		Process:  Process{Args: []string{"cmd"}, Cwd: `C:\`},
		Root:     Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Hostname: "web",
		Windows: Windows{
			LayerFolder: `C:\layers\scratch`,
			LayerPaths:  []string{`C:\layers\top`, `C:\layers\base`},
			Resources:   &Resources{Memory: &Memory{}, CPU: &CPU{}, Storage: &Storage{}, Network: &Network{}},
			Networking:  &Networking{},
		},
	}
}

func hypervSpec() Spec {
	spec := processSpec()
	spec.Root = Root{}
	spec.Windows.HvRuntime = &HvRuntime{}
	return spec
}

// Each field of the spec is in the document, in its unit. See lessons_test.go: 7, 8, 9, D11.
func TestDocumentFieldsFollowTheSpec(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Spec)
		want   string // a part of the document
	}{
		{"no layers are null", func(s *Spec) { s.Windows.LayerPaths = []string{} }, `"Layers":null`},
		{"no endpoint list is null", func(s *Spec) { s.Windows.Networking.EndpointList = nil }, `"EndpointList":null`},
		{"no networking is null", func(s *Spec) { s.Windows.Networking = nil }, `"EndpointList":null`},
		{"an empty endpoint list is empty", func(s *Spec) { s.Windows.Networking.EndpointList = []string{} }, `"EndpointList":[]`},
		{"no mounts are an empty list", func(s *Spec) { s.Mounts = nil }, `"MappedDirectories":[],"SandboxPath"`},
		{"nothing of Windows", func(s *Spec) { s.Windows = Windows{} }, `"LayerFolderPath":"","Layers":null,"HostName":"web"`},
		{"volume loses its backslash", func(s *Spec) { s.Root.Path += `\` }, `"VolumePath":"\\\\?\\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}"`},
		{"another root is left alone", func(s *Spec) { s.Root.Path = `C:\` }, `"VolumePath":"C:\\"`},
		{"layer with trailing separator", func(s *Spec) { s.Windows.LayerPaths = []string{`C:\a\b\/`} }, `"Layers":[{"ID":"id-of-b","Path":"C:\\a\\b\\/"}]`},
		{"layer path with slashes", func(s *Spec) { s.Windows.LayerPaths = []string{`C:/a/b`} }, `"Layers":[{"ID":"id-of-b","Path":"C:/a/b"}]`},
		{"layer on a volume without letter", func(s *Spec) { s.Windows.LayerPaths = []string{`\\?\Volume{x}\b`} }, `"ID":"id-of-b"`},
		{"percent", func(s *Spec) { s.Windows.Resources.CPU.Percent = new(int64(100)) }, `"ProcessorMaximum":10000`},
		{"maximum", func(s *Spec) { s.Windows.Resources.CPU.Maximum = new(uint64(2500)) }, `"ProcessorMaximum":2500`},
		{"percent 0 is absent", func(s *Spec) {
			s.Windows.Resources.CPU = &CPU{Percent: new(int64(0)), Maximum: new(uint64(7)), Shares: new(uint64(0)), Count: new(uint64(0))}
		}, `}],"ProcessorMaximum":7,"HostName"`},
		{"count", func(s *Spec) { s.Windows.Resources.CPU.Count = new(uint64(8)) }, `"ProcessorCount":8`},
		{"count above the host's", func(s *Spec) { s.Windows.Resources.CPU.Count = new(uint64(9)) }, `"ProcessorCount":8`},
		{"memory is rounded down", func(s *Spec) { s.Windows.Resources.Memory.Limit = new(int64(2<<20 - 1)) }, `"MemoryMaximumInMB":1`},
		{"most memory", func(s *Spec) { s.Windows.Resources.Memory.Limit = new(int64(1<<63 - 1)) }, `"MemoryMaximumInMB":8796093022207`},
		{"servicing", func(s *Spec) { s.Windows.Servicing = true }, `"Servicing":true`},
		{"pipe", func(s *Spec) { s.Windows.Pipes = []Pipe{{`\\.\pipe\a`, "b"}} }, `"MappedPipes":[{"HostPath":"\\\\.\\pipe\\a","ContainerPipeName":"b"}]`},
		{"process is not looked at", func(s *Spec) { s.Process = Process{} }, `"Name":"web"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := processSpec()
			tt.change(&spec)
			document, err := Configuration("web", spec, server2022)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(document, tt.want) {
				t.Errorf("%s\nlacks %s", document, tt.want)
			}
		})
	}
}

// With Hyper-V isolation the document has a utility VM and the layer folder, and not a
// volume path. See lessons_test.go: 1, 2, 3, D10.
func TestHyperVContainerHasNoVolumeButItsOwnVM(t *testing.T) {
	spec := hypervSpec()
	spec.Root.Path = `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}` // as a 2016 engine may send it
	document, err := Configuration("web", spec, server2022)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"VolumePath":""`,
		`"LayerFolderPath":"C:\\layers\\scratch"`,
		`"SandboxPath":"C:\\layers","HvPartition":true,"HvRuntime":{"ImagePath":"C:\\layers\\top\\UtilityVM"}`,
	} {
		if !strings.Contains(document, want) {
			t.Errorf("%s\nlacks %s", document, want)
		}
	}
}

func TestDocumentCarriesTheClientsSettings(t *testing.T) {
	spec := processSpec()
	doc, _, err := translate("web", &spec, server2022, server2022.host, documentOptions{owner: "engine", terminateOnLastHandleClosed: true})
	if err != nil {
		t.Fatal(err)
	}
	document := doc.text()
	for _, want := range []string{`"Owner":"engine"`, `"TerminateOnLastHandleClosed":true`} {
		if !strings.Contains(document, want) {
			t.Errorf("%s\nlacks %s", document, want)
		}
	}
}

// A limit that HCS will ignore is a warning. See lessons_test.go: 9.
func TestTranslationWarnsOfWhatHCSWillNotDo(t *testing.T) {
	limits := func(s *Spec) {
		s.Windows.Resources.CPU = &CPU{Count: new(uint64(2)), Shares: new(uint64(5)), Percent: new(int64(50))}
	}
	tests := []struct {
		name   string
		spec   Spec
		change func(*Spec)
		want   []string
	}{
		{"nothing to warn of", processSpec(), func(*Spec) {}, nil},
		{"more processors than the host has", hypervSpec(),
			func(s *Spec) { s.Windows.Resources.CPU.Count = new(uint64(64)) },
			[]string{"windows.resources.cpu.count: 64 processors are more than the host has, 8 are used"}},
		{"several limits, process isolation", processSpec(), limits,
			[]string{"windows.resources.cpu: process isolation honours one limit: count, not shares and percent or maximum"}},
		{"several limits, Hyper-V", hypervSpec(), limits, nil},
		{"limits unknown to HCS", processSpec(),
			func(s *Spec) {
				s.Windows.Resources.Memory.Reservation = new(uint64(1))
				s.Windows.Resources.Network.Bandwidth = new(uint64(1))
			},
			[]string{
				"windows.resources.memory.reservation: HCS has no such limit, it is ignored",
				"windows.resources.network.bandwidth: HCS has no such limit, it is ignored",
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.change(&tt.spec)
			_, got, err := translate("web", &tt.spec, server2022, server2022.host, documentOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// An error about a port binding names the port and the field. See lessons_test.go: D11.
func TestBadPortBindingsAreNamed(t *testing.T) {
	bind := func(hostPorts ...string) []nat.PortBinding {
		var bindings []nat.PortBinding
		for _, port := range hostPorts {
			bindings = append(bindings, nat.PortBinding{HostPort: port})
		}
		return bindings
	}
	tests := []struct {
		name  string
		ports nat.PortMap
		want  []string // what the error must say
	}{
		{"protocol", nat.PortMap{"80/sctp": bind("80")}, []string{"80/sctp", "neither tcp nor udp"}},
		{"protocol up to a second slash", nat.PortMap{"80/sctp/tcp": bind("80")}, []string{"80/sctp/tcp", `"sctp" is neither tcp nor udp`}},
		{"several host ports", nat.PortMap{"80/tcp": bind("80", "81")}, []string{"80/tcp", "2 ports of the host"}},
		{"host IP", nat.PortMap{"80/tcp": {{HostIP: "0.0.0.0", HostPort: "80"}}}, []string{"80/tcp", "0.0.0.0"}},
		{"host port not a number", nat.PortMap{"80/tcp": bind("http")}, []string{"80/tcp", `host port "http"`}},
		{"host port too high", nat.PortMap{"80/tcp": bind("65536")}, []string{"80/tcp", `host port "65536"`}},
		{"host port empty", nat.PortMap{"80/tcp": bind("")}, []string{"80/tcp", `host port ""`}},
		{"host port negative", nat.PortMap{"80/tcp": bind("-1")}, []string{"80/tcp", `host port "-1"`}},
		{"container port too high", nat.PortMap{"65536/tcp": bind("80")}, []string{"65536/tcp", `container port "65536"`}},
		{"container port a range", nat.PortMap{"80-81/tcp": bind("80")}, []string{"80-81/tcp", `container port "80-81"`}},
		{"no container port", nat.PortMap{"/tcp": bind("80")}, []string{"/tcp", `container port ""`}},
		{"all at once", nat.PortMap{"1/x": bind("1"), "80/tcp": bind("y")}, []string{"1/x", "80/tcp"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := processSpec()
			spec.Windows.Networking = &Networking{Bridge: "nat", PortBindings: tt.ports}
			document, err := Configuration("web", spec, fakeHost{host: Host{TP4: true}})
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatalf("got %v, %v, want an invalid argument", document, err)
			}
			for _, want := range append(tt.want, "windows.networking.port_bindings[") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %s", err, want)
				}
			}
			// They matter on Technical Preview 4, and with a bridge only.
			if _, err := Configuration("web", spec, server2022); err != nil {
				t.Error(err)
			}
			spec.Windows.Networking.Bridge = ""
			if _, err := Configuration("web", spec, fakeHost{host: Host{TP4: true}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// A build that does not know a feature refuses it. See lessons_test.go: 12, 13, 60.
func TestOldBuildsRefuseWhatTheyDoNotKnow(t *testing.T) {
	spec := processSpec()
	spec.Windows.Pipes = []Pipe{{`\\.\pipe\a`, "a"}}
	spec.Windows.Devices = []Device{{"5b45201d-f2f2-4f3b-85bb-30ff1f953599", "class"}}
	tests := []struct {
		build uint16
		want  []string
	}{
		{14393, []string{"windows.pipes: needs Windows build 16299, this host has 14393", "windows.devices: needs Windows build 17763, this host has 14393"}},
		{16299, []string{"windows.devices: needs Windows build 17763, this host has 16299"}},
		{17763, nil},
		{0, nil}, // unknown
	}
	for _, tt := range tests {
		_, err := Configuration("web", spec, fakeHost{host: Host{Build: tt.build}})
		if (err != nil) != (tt.want != nil) {
			t.Errorf("build %d: %v", tt.build, err)
		}
		if err != nil && !(errors.Is(err, errdefs.ErrInvalidArgument) && errors.Is(err, errdefs.ErrNotImplemented)) {
			t.Errorf("build %d: wrong kind: %v", tt.build, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("build %d: %v\nlacks %s", tt.build, err, want)
			}
		}
	}
}

func TestTranslationNeedsAService(t *testing.T) {
	if _, err := Configuration("web", processSpec(), nil); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}

func TestFailuresOfTheServiceAreNotBadInput(t *testing.T) {
	spec := processSpec()
	spec.Windows.LayerPaths = []string{`C:\layers\unknown`}
	_, err := Configuration("web", spec, server2022)
	if !errors.Is(err, CodeAccessDenied) || errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "windows.layer_paths[0]") {
		t.Errorf("layer id: %v", err)
	}
	spec = hypervSpec()
	_, err = Configuration("web", spec, fakeHost{noUtilityVM: true})
	if !errors.Is(err, errdefs.ErrNotFound) || !strings.Contains(err.Error(), "windows.hv_runtime.image_path") {
		t.Errorf("utility VM: %v", err)
	}
	spec.Windows.LayerPaths = nil
	if _, err := Configuration("web", spec, server2022); !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "windows.hv_runtime.image_path") {
		t.Errorf("no layers to look in: %v", err)
	}
	spec.Windows.HvRuntime.ImagePath = `C:\vm`
	if _, err := Configuration("web", spec, fakeHost{noUtilityVM: true}); err != nil {
		t.Errorf("given utility VM: %v", err)
	}
}

// Of the layers that have a utility VM, the topmost one provides it. See
// lessons_test.go: 4.
func TestUtilityVMIsThatOfTheTopmostLayerThatHasOne(t *testing.T) {
	broken := errors.New("broken")
	exists := func(folder string) (bool, error) {
		if folder == `C:\broken\UtilityVM` {
			return false, broken
		}
		return folder == `C:\b\UtilityVM` || folder == `C:\c\UtilityVM`, nil
	}
	tests := []struct {
		layers []string
		want   string
		err    error
	}{
		{[]string{`C:\a`, `C:\b\`, `C:\c`}, `C:\b\UtilityVM`, nil},
		{[]string{`C:\c`, `C:\b`}, `C:\c\UtilityVM`, nil},
		{[]string{`C:\a`}, "", errdefs.ErrNotFound},
		{nil, "", errdefs.ErrNotFound},
		{[]string{`C:\a`, `C:\broken`, `C:\c`}, "", broken},
	}
	for _, tt := range tests {
		got, err := findUtilityVM(tt.layers, exists)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: got %q, %v, want %q, %v", tt.layers, got, err, tt.want, tt.err)
		}
	}
}

func FuzzConfiguration2016(f *testing.F) {
	files, err := filepath.Glob("testdata/*/2016-*.json")
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
	f.Add([]byte(`{"windows":{"layer_paths":["\\"],"resources":{"cpu":{"percent":-1,"shares":10001,"maximum":1},"memory":{"limit":1}}}}`))
	f.Add([]byte(`{"windows":{"hv_runtime":{},"devices":[{}],"pipes":[{}],"credential_spec":"file://x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var spec Spec
		if json.Unmarshal(data, &spec) != nil {
			return
		}
		for _, service := range []fakeHost{server2022, {host: Host{Build: 10586, TP4: true}}} {
			checkTranslation(t, spec, service)
		}
		_ = spec.validate(server2022.host)
	})
}

// checkTranslation translates spec: into a document that says what the spec
// says, or not at all.
func checkTranslation(t *testing.T, spec Spec, service fakeHost) {
	t.Helper()
	document, err := Configuration("web", spec, service)
	if err != nil {
		if document != "" {
			t.Errorf("document in spite of %v", err)
		}
		return
	}
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.DisallowUnknownFields()
	var got containerInit
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	if len(got.Layers) != len(spec.Windows.LayerPaths) || len(got.MappedDirectories) != len(spec.Mounts) || len(got.MappedPipes) != len(spec.Windows.Pipes) {
		t.Errorf("wrong number of layers, folders or pipes: %s", document)
	}
	for i, m := range spec.Mounts {
		if got.MappedDirectories[i] != (mappedDirectory{m.Source, m.Destination, m.Readonly}) {
			t.Errorf("mount %+v became %+v", m, got.MappedDirectories[i])
		}
	}
	if got.HostName != spec.Hostname || got.Credentials != spec.Windows.CredentialSpec || got.LayerFolderPath != spec.Windows.LayerFolder {
		t.Errorf("changed on the way: %s", document)
	}
	if got.HvPartition != (spec.Windows.HvRuntime != nil) || got.HvPartition && got.VolumePath != "" {
		t.Errorf("wrong isolation: %s", document)
	}
	if got.ProcessorWeight > maxWeight || got.ProcessorMaximum < 0 || got.ProcessorMaximum > maxPart || got.MemoryMaximumInMB < 0 {
		t.Errorf("limit outside of its range: %s", document)
	}
}

func FuzzPortBindings(f *testing.F) {
	f.Add("80/tcp", "", "8080", "53/udp", "", "")
	f.Add("65536/tcp", "", "-1", "80", "", "65535")
	f.Add("80-90/sctp", "127.0.0.1", "x", "/", "::", "+1")
	f.Add("80/TCP", "", "080", "80/tcp", "", "0")
	f.Fuzz(func(t *testing.T, port1, ip1, host1, port2, ip2, host2 string) {
		ports := nat.PortMap{
			nat.Port(port1): {{HostIP: ip1, HostPort: host1}},
			nat.Port(port2): {{HostIP: ip2, HostPort: host2}},
		}
		var p problems
		bindings := portBindings(&p, ports)
		if p.join() != nil {
			return
		}
		if len(bindings) != len(ports) {
			t.Errorf("%d bindings of %v", len(bindings), ports)
		}
		for _, b := range bindings {
			if b.Protocol != "TCP" && b.Protocol != "UDP" || b.InternalPort>>16 != 0 || b.ExternalPort>>16 != 0 {
				t.Errorf("%+v of %v", b, ports)
			}
		}
	})
}

// The text, the layers and the folders; the host allocates the ids of the two layers.
func TestConfigurationAllocatesLittle(t *testing.T) {
	spec := benchmarkSpec()
	var service ComputeService = server2022
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Configuration("web", spec, service); err != nil {
			t.Fatal(err)
		}
	}); n > 5 {
		t.Errorf("%v allocations, want 5", n)
	}
}

func BenchmarkConfiguration(b *testing.B) {
	spec := benchmarkSpec()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Configuration("web", spec, server2022); err != nil {
			b.Fatal(err)
		}
	}
}
