package libcontainerd_test

import (
	"testing"
	"testing/synctest"
	"time"

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

// Stats returns what HCS answers, or its error. See lessons_test.go: 58, D41.
func TestStatsAreHCSs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		s := spec(untilStopped...)
		s.Windows.Networking = &libcontainerd.Networking{EndpointList: []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"}}
		must(t, e.Create("c1", s))
		time.Sleep(time.Minute)
		stats, err := e.Stats("c1")
		must(t, err)
		if stats.Uptime != time.Minute || stats.Read.IsZero() || stats.Memory.UsageCommitBytes == 0 ||
			len(stats.Network) != 1 || stats.Network[0].EndpointId != "f742124c-1ea8-49c4-9a56-23b9de216ca1" {
			t.Errorf("stats %+v", stats)
		}
		e.hcs.Fail(hcstest.OpStatistics, "c1", libcontainerd.CodeAccessDenied)
		if stats, err := e.Stats("c1"); !errdefs.IsPermissionDenied(err) || stats != nil {
			t.Errorf("got %v, %v", stats, err)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// Summary lists init, then exec'd processes in the order of their start, then all
// others. See lessons_test.go: D39, D40.
func TestSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "z", exec("timeout", "/t", "1000")))
		must(t, e.AddProcess("c1", "a", exec("more")))
		list, err := e.Summary("c1")
		must(t, err)
		pids, err := e.GetPidsForContainer("c1")
		must(t, err)
		if len(pids) != 3 || len(list) <= 3 {
			t.Fatalf("pids %v, summary %+v", pids, list)
		}
		for i, command := range []string{"ping", "timeout /t 1000", "more"} {
			if list[i].Command != command || int(list[i].Pid) != pids[i] || list[i].ImageName == "" || list[i].CreatedAt.IsZero() {
				t.Errorf("entry %d: %+v, want %s with pid %d", i, list[i], command, pids[i])
			}
		}
		for _, other := range list[3:] {
			if other.Command == "" || other.Command != other.ImageName {
				t.Errorf("other process %+v", other)
			}
		}
		e.hcs.Fail(hcstest.OpProcessList, "c1", libcontainerd.CodeInvalidState, libcontainerd.CodeTimeout)
		if list, err := e.Summary("c1"); err != nil || len(list) != 3 {
			t.Errorf("while HCS does not tell: %v, %v", list, err)
		}
		if _, err := e.Summary("c1"); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("got %v", err)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// A process that has ended is not listed, also while its exit waits for the Backend.
// Its name is free once the Backend has been told. See lessons_test.go: D40.
func TestEndedProcessIsNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		e.onState = func(_ string, info libcontainerd.StateInfo) error {
			if info.ProcessID == "p1" {
				time.Sleep(time.Minute)
			}
			return nil
		}
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 1")))
		synctest.Wait()
		must(t, e.AddProcess("c1", "p2", exec("cmd", "/c", "exit 2")))
		synctest.Wait()
		if pids, err := e.GetPidsForContainer("c1"); err != nil || len(pids) != 1 {
			t.Errorf("pids %v, %v", pids, err)
		}
		for name, err := range map[string]error{
			"resize":   e.Resize("c1", "p2", 80, 25),
			"signal 0": e.SignalProcess("c1", "p2", 0),
		} {
			if !errdefs.IsNotFound(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, e.SignalProcess("c1", "p2", 9))
		if err := e.AddProcess("c1", "p2", exec("cmd")); !errdefs.IsAlreadyExists(err) {
			t.Errorf("exec under its name: %v", err)
		}
		e.await("exit-process c1/p2 2", 1)
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}
