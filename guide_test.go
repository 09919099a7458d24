package libcontainerd_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// This file comes after golden_test.go, so that -update copies golden documents that are
// up to date.

// The examples of the guide are the golden documents; -update copies them.
func TestDocumentExamplesAreGolden(t *testing.T) {
	const documentGuide = "docs/document.md"
	text := strings.ReplaceAll(readText(t, documentGuide), "\r\n", "\n")
	example := regexp.MustCompile("(?s)<!-- golden ([a-z0-9-]+) -->\n```json\n(.*?)```\n")
	want := example.ReplaceAllStringFunc(text, func(block string) string {
		name := example.FindStringSubmatch(block)[1]
		golden := readText(t, filepath.Join("testdata", "golden", name+".json"))
		return "<!-- golden " + name + " -->\n```json\n" + strings.ReplaceAll(golden, "\r\n", "\n") + "```\n"
	})
	if !example.MatchString(text) {
		t.Errorf("%s has no examples", documentGuide)
	}
	if *update {
		if err := os.WriteFile(documentGuide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("%s differs from testdata/golden, run go test -run DocumentExamples -update . (-want +got):\n%s", documentGuide, diff)
	}
}

// features says for each row of the README's table of features how to ask for it. Each of
// the functions is tried on a new container.
var features = map[string][]func(*libcontainerd.Spec){
	"start, exec, signals, console size; 32-bit exit codes with their names": {func(s *libcontainerd.Spec) {
		s.Process.Terminal, s.Process.InitialConsoleSize = true, [2]int{25, 80}
	}},
	"pause and resume": {func(*libcontainerd.Spec) {}},
	"limits of memory and of storage (IOPS, bytes per second, size)": {func(s *libcontainerd.Spec) {
		s.Windows.Resources = &libcontainerd.Resources{
			Memory:  &libcontainerd.Memory{Limit: new(int64(1 << 30))},
			Storage: &libcontainerd.Storage{Iops: new(uint64(1)), Bps: new(uint64(1)), SandboxSize: new(uint64(1 << 40))},
		}
	}},
	"limits of processors: count, weight, percent or 1/10000": {
		func(s *libcontainerd.Spec) {
			s.Windows.Resources = &libcontainerd.Resources{CPU: &libcontainerd.CPU{Count: new(uint64(1)), Shares: new(uint64(1)), Percent: new(int64(1))}}
		},
		func(s *libcontainerd.Spec) {
			s.Windows.Resources = &libcontainerd.Resources{CPU: &libcontainerd.CPU{Maximum: new(uint64(1))}}
		},
	},
	"endpoints of the Host Networking Service (HNS), DNS suffixes": {func(s *libcontainerd.Spec) {
		s.Windows.Networking = &libcontainerd.Networking{
			EndpointList:  []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"},
			DNSSearchList: []string{"example.com"}, AllowUnqualifiedDNSQuery: true,
		}
	}},
	"the network of another container": {func(s *libcontainerd.Spec) {
		s.Windows.Networking = &libcontainerd.Networking{NetworkSharedContainerName: "other"}
	}},
	"folders of the host, read-only or not": {func(s *libcontainerd.Spec) {
		s.Mounts = []libcontainerd.Mount{{Source: `D:\a`, Destination: `C:\a`}, {Source: `D:\b`, Destination: `C:\b`, Readonly: true}}
	}},
	"named pipes of the host": {func(s *libcontainerd.Spec) {
		s.Windows.Pipes = []libcontainerd.Pipe{{Source: `\\.\pipe\docker_engine`, Name: "docker_engine"}}
	}},
	"devices by interface class": {func(s *libcontainerd.Spec) {
		s.Windows.Devices = []libcontainerd.Device{{ID: "5b45201d-f2f2-4f3b-85bb-30ff1f953599", IDType: "class"}}
	}},
	"group managed service account": {func(s *libcontainerd.Spec) { s.Windows.CredentialSpec = `{"CmsPlugins": ["ActiveDirectory"]}` }},
	"servicing, first-boot flag, host name": {func(s *libcontainerd.Spec) {
		s.Windows.Servicing, s.Windows.FirstStart, s.Hostname = true, true, "web1"
	}},
	"network namespace, read-only root, CPU affinity": {
		func(s *libcontainerd.Spec) {
			s.Windows.Networking = &libcontainerd.Networking{NetworkNamespace: "f742124c-1ea8-49c4-9a56-23b9de216ca1"}
		},
		func(s *libcontainerd.Spec) { s.Root.Readonly = true },
	},
}

// Every cell of the table is tried on the simulated HCS: on the build that it names, and on
// the first one, which must refuse what came later.
func TestReadmeFeaturesAreTrue(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| (\d+|–) \|$`).FindAllStringSubmatch(readText(t, "README.md"), -1)
	if len(rows) != len(features) {
		t.Errorf("the README has %d features, the test %d", len(rows), len(features))
	}
	for _, row := range rows {
		changes := features[row[1]]
		if len(changes) == 0 {
			t.Errorf("no test for: %s", row[1])
		}
		build, err := strconv.ParseUint(row[4], 10, 16)
		if err != nil {
			build = 26100 // no build has it
		}
		for _, change := range changes {
			for isolation, container := range []libcontainerd.Spec{spec(untilStopped...), hyperv(untilStopped...)} {
				change(&container)
				answer := row[2+isolation]
				tryFeature(t, row[1], container, uint16(build), answer)
				if build != 14393 && strings.HasPrefix(answer, "✓") {
					tryFeature(t, row[1], container, 14393, "refused")
				}
			}
		}
	}
	affine := &specs.Process{Args: []string{"cmd"}, ExecCPUAffinity: &specs.CPUAffinity{}}
	if _, err := libcontainerd.ProcessFromOCI(affine); !errdefs.IsInvalidArgument(err) {
		t.Errorf("CPU affinity: %v", err)
	}
}

// tryFeature compares what the client does with a cell of the table.
func tryFeature(t *testing.T, feature string, container libcontainerd.Spec, build uint16, answer string) {
	t.Helper()
	e := newEngine(t, hcstest.New(t, hcstest.WithBuild(build)))
	err := e.Create("c1", container)
	if answer == "refused" {
		if !errdefs.IsInvalidArgument(err) || len(e.hcs.Calls(hcstest.OpCreate)) > 0 {
			t.Errorf("%s, build %d: %v", feature, build, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s, build %d: %v", feature, build, err)
		return
	}
	if feature == "pause and resume" {
		err = e.Pause("c1")
		if err == nil {
			err = e.Resume("c1")
		}
	} else {
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 0")))
	}
	if err != nil && (answer != "not implemented" || !errdefs.IsNotImplemented(err)) || err == nil && answer == "not implemented" {
		t.Errorf("%s, build %d: %v", feature, build, err)
	}
	must(t, e.Signal("c1", libcontainerd.SignalKill))
	e.awaitExit("c1")
}
