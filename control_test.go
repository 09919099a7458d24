package libcontainerd_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Resize passes width and height to HCS in the right order. See lessons_test.go: 19, 37, D38,
// F37.
func TestResizeTellsWidthFromHeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := make(chan [2]uint16, 1)
		hcs := hcstest.New(t, hcstest.WithProgram("console", func(p *hcstest.Process) uint32 {
			<-p.Resized()
			width, height := p.ConsoleSize()
			sizes <- [2]uint16{width, height}
			return 0
		}))
		e := newEngine(t, hcs)
		s := spec("console")
		s.Process.Terminal = true
		must(t, e.Create("c1", s))
		must(t, e.Resize("c1", "init", 160, 50))
		if got := <-sizes; got != [2]uint16{160, 50} {
			t.Errorf("console is %v, want 160 wide and 50 high", got)
		}
		e.awaitExit("c1")
	})
}

func TestResizeThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		for _, c := range []struct {
			process       string
			width, height int
			kind          func(error) bool
			text          string
		}{
			{"init", 0, 25, errdefs.IsInvalidArgument, "width"},
			{"init", 80, 0, errdefs.IsInvalidArgument, "height"},
			{"init", -1, 25, errdefs.IsInvalidArgument, "width"},
			{"init", 80, 65536, errdefs.IsInvalidArgument, "65536"},
			{"nosuch", 80, 25, errdefs.IsNotFound, "nosuch"},
		} {
			err := e.Resize("c1", c.process, c.width, c.height)
			if !c.kind(err) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "c1") {
				t.Errorf("resize %s to %d × %d: %v", c.process, c.width, c.height, err)
			}
		}
		if calls := e.hcs.Calls(hcstest.OpResizeConsole); len(calls) > 0 {
			t.Errorf("HCS was asked: %v", calls)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// HCS changes none of these while the container runs, and the client says so. See
// lessons_test.go: D42.
func TestUpdateResourcesSaysWhatCannotBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		zero, one := uint64(0), uint64(1)
		none := int64(0)
		for _, empty := range []libcontainerd.Resources{
			{},
			{CPU: &libcontainerd.CPU{Shares: &zero, Percent: &none}, Memory: &libcontainerd.Memory{}, Storage: &libcontainerd.Storage{}, Network: &libcontainerd.Network{}},
		} {
			must(t, e.UpdateResources("c1", empty))
		}
		err := e.UpdateResources("c1", libcontainerd.Resources{
			CPU:     &libcontainerd.CPU{Shares: &one, Count: &one},
			Storage: &libcontainerd.Storage{Iops: &one},
			Network: &libcontainerd.Network{Bandwidth: &one},
		})
		if !errdefs.IsNotImplemented(err) {
			t.Errorf("got %v", err)
		}
		for _, field := range []string{"cpu.shares", "cpu.count", "storage.iops", "network.bandwidth"} {
			if err != nil && !strings.Contains(err.Error(), field) {
				t.Errorf("%s is not named: %v", field, err)
			}
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}
