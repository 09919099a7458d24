package libcontainerd_test

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestInfoDescribesTheHost(t *testing.T) {
	for name, c := range map[string]struct {
		options []hcstest.Option
		want    libcontainerd.Info
		release string
	}{
		"Server 2022": {
			[]hcstest.Option{hcstest.WithBuild(20348), hcstest.WithProcessors(8)},
			libcontainerd.Info{Host: libcontainerd.Host{Build: 20348, Processors: 8}, Isolations: []libcontainerd.Isolation{"process", "hyperv"}},
			"Windows Server 2022",
		},
		"no hypervisor, no release": {
			[]hcstest.Option{hcstest.WithBuild(22000), hcstest.WithProcessors(4), hcstest.WithoutHypervisor()},
			libcontainerd.Info{Host: libcontainerd.Host{Build: 22000, Processors: 4}, Isolations: []libcontainerd.Isolation{"process"}},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, hcstest.New(t, c.options...))
			info, err := e.Info()
			must(t, err)
			if diff := cmp.Diff(&c.want, info); diff != "" {
				t.Errorf("info (-want +got):\n%s", diff)
			}
			if got := info.Release(); got != c.release {
				t.Errorf("release %q, want %q", got, c.release)
			}
			e.hcs.Fail(hcstest.OpList, "", libcontainerd.CodeServiceNotAvailable)
			if _, err := e.Info(); !errdefs.IsUnavailable(err) {
				t.Errorf("without HCS: %v", err)
			}
		})
	}
}

// Each call into HCS is observed, with container, process and attempt.
func TestObserverSeesEveryCall(t *testing.T) {
	seen := make(chan libcontainerd.Operation, 100)
	hcs := hcstest.New(t, hcstest.WithTP4())
	e := newEngine(t, hcs, libcontainerd.WithObserver(func(o libcontainerd.Operation) { seen <- o }))
	hcs.Fail(hcstest.OpCreate, "c1", libcontainerd.CodeNotFound)
	must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
	e.awaitExit("c1")
	must(t, e.Close())
	close(seen)
	var got []string
	for o := range seen {
		if o.ContainerID != "c1" && o.Op != "list" || o.Start.IsZero() || o.Duration < 0 {
			t.Errorf("operation %+v", o)
		}
		line := o.Op
		if o.Process != "" {
			line += " " + o.Process
		}
		if o.Attempt != 1 {
			line += " again"
		}
		if o.Err != nil {
			line += " failed"
		}
		got = append(got, line)
	}
	want := []string{"create failed", "list", "create again", "start", "exec init", "stdio init", "shutdown"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}
