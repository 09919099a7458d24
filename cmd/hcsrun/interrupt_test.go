package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// On Ctrl-C a command that only asks HCS ends at once, whatever HCS does.
func TestCtrlCEndsEveryCommand(t *testing.T) {
	for line, op := range map[string]hcstest.Op{
		"ps": hcstest.OpList, "ps web1": hcstest.OpProcessList, "inspect web1": hcstest.OpProcessList, "stats web1": hcstest.OpStatistics,
		"kill web1": hcstest.OpTerminate, "doctor": hcstest.OpList, "reconcile --yes docker": hcstest.OpList,
	} {
		t.Run(line, func(t *testing.T) {
			onHost(t, func(t *testing.T, _ *somebody, host command) {
				service := host.hostHCS.(*hcstest.Service)
				service.Hang(op, "")
				host.interrupts = []time.Duration{3 * time.Second}
				start := time.Now()
				got := host.run(t, strings.Fields(line)...)
				if got.code != exitFailure || !strings.Contains(got.stderr, "interrupted") || time.Since(start) != 3*time.Second {
					t.Errorf("after %v: %v", time.Since(start), got)
				}
				service.Heal()
				synctest.Wait()
			})
		})
	}
}

func TestCompletionDoesNotWaitForHCS(t *testing.T) {
	onHost(t, func(t *testing.T, _ *somebody, host command) {
		service := host.hostHCS.(*hcstest.Service)
		service.Hang(hcstest.OpList, "")
		start := time.Now()
		if got := host.run(t, "__complete", "kill", ""); got.code != 0 || time.Since(start) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), got)
		}
		service.Heal()
	})
}
