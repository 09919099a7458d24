package swarm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"

	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/shirou/gopsutil/v4/mem"
)

// architectures are the names that the swarm has for those of Go.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// describe tells the swarm what the host has. Placement constraints name a label as
// engine.labels.NAME:
//
//	windows.build      the build of Windows, as in 20348
//	isolation.process  "true" if there is process isolation
//	isolation.hyperv   "true" if there is Hyper-V isolation
func describe(ctx context.Context, eng *engine.Engine, labels map[string]string) (*api.NodeDescription, error) {
	info, err := eng.Info(ctx)
	if err != nil {
		return nil, err
	}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("memory of the host: %w", err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	all := map[string]string{"windows.build": strconv.Itoa(int(info.Build))}
	for _, isolation := range []libcontainerd.Isolation{libcontainerd.IsolationProcess, libcontainerd.IsolationHyperV} {
		all["isolation."+string(isolation)] = strconv.FormatBool(slices.Contains(info.Isolations, isolation))
	}
	maps.Copy(all, labels)
	return &api.NodeDescription{
		Hostname: hostname,
		Platform: &api.Platform{OS: "windows", Architecture: cmp.Or(architectures[runtime.GOARCH], runtime.GOARCH)},
		Resources: &api.Resources{
			NanoCPUs:    int64(cmp.Or(info.Processors, runtime.NumCPU())) * nanoCPUs,
			MemoryBytes: int64(memory.Total),
		},
		Engine: &api.EngineDescription{
			EngineVersion: cmp.Or(info.Release(), fmt.Sprintf("Windows build %d", info.Build)),
			Labels:        all,
		},
	}, nil
}
