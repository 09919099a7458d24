package hcstest

import (
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// systemProcesses run in every Windows container, though nobody created them
// through HCS. Their pids begin with system.firstPid.
var systemProcesses = []string{
	"smss.exe", "csrss.exe", "wininit.exe", "services.exe", "lsass.exe", "svchost.exe", "CExecSvc.exe",
}

// The figures of the simulation: what a system uses at rest, what each process
// adds, and how fast the counters move.
const (
	systemMemory  = 48 << 20
	processMemory = 6 << 20
	busyPart      = 50 // one fiftieth of the time is processor time
	userPart      = 3  // a third of that in user mode
	bytesPerTick  = 1500
	tick          = 100 * time.Millisecond
)

// Statistics returns invented figures, which grow with time as real ones do.
func (h *systemHandle) Statistics() (stats libcontainerd.Statistics, err error) {
	c := h.sys.call(OpStatistics)
	err = h.call(c, func() (err error) {
		stats, err = h.sys.statistics(c)
		return err
	})
	return stats, err
}

func (sys *system) statistics(c Call) (libcontainerd.Statistics, error) {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	if err := sys.aliveLocked(c); err != nil {
		return libcontainerd.Statistics{}, err
	}
	now := time.Now()
	uptime := now.Sub(sys.started)
	memory := uint64(systemMemory + processMemory*len(sys.processes))
	busy := uptime / busyPart
	ticks := uint64(uptime / tick)
	stats := libcontainerd.Statistics{
		Timestamp:          now,
		ContainerStartTime: sys.started,
		Uptime:             uptime,
		Memory: libcontainerd.MemoryStats{
			UsageCommitBytes:            memory,
			UsageCommitPeakBytes:        memory,
			UsagePrivateWorkingSetBytes: memory / 2,
		},
		Processor: libcontainerd.ProcessorStats{
			TotalRuntime:  busy,
			RuntimeUser:   busy / userPart,
			RuntimeKernel: busy - busy/userPart,
		},
		Storage: libcontainerd.StorageStats{
			ReadCountNormalized:  1 + ticks,
			ReadSizeBytes:        4096 * (1 + ticks),
			WriteCountNormalized: 1 + ticks/2,
			WriteSizeBytes:       4096 * (1 + ticks/2),
		},
	}
	for _, endpoint := range sys.doc.EndpointList {
		stats.Network = append(stats.Network, libcontainerd.NetworkStats{
			BytesReceived:   bytesPerTick * (1 + ticks),
			BytesSent:       bytesPerTick / 2 * (1 + ticks),
			PacketsReceived: 1 + ticks,
			PacketsSent:     1 + ticks,
			EndpointId:      endpoint,
			InstanceId:      uuid5(sys.id + endpoint),
		})
	}
	return stats, nil
}

// aliveLocked is the error of a call that needs a running or paused system.
func (sys *system) aliveLocked(c Call) error {
	if sys.state == statePaused {
		return nil
	}
	return sys.runningLocked(c)
}

// ProcessList lists the processes of the system: those of Windows first, then
// those created through HCS, in the order of their creation.
func (h *systemHandle) ProcessList() (list []libcontainerd.ProcessInfo, err error) {
	c := h.sys.call(OpProcessList)
	err = h.call(c, func() (err error) {
		list, err = h.sys.processList(c)
		return err
	})
	return list, err
}

func (sys *system) processList(c Call) ([]libcontainerd.ProcessInfo, error) {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	if err := sys.aliveLocked(c); err != nil {
		return nil, err
	}
	list := make([]libcontainerd.ProcessInfo, 0, len(systemProcesses)+len(sys.processes))
	for i, image := range systemProcesses {
		list = append(list, processInfo(sys.firstPid+4*uint32(i), image, sys.started))
	}
	for _, p := range sys.processes {
		if !p.ended {
			list = append(list, processInfo(p.pid, p.image, p.created))
		}
	}
	return list, nil
}

func processInfo(pid uint32, image string, created time.Time) libcontainerd.ProcessInfo {
	busy := time.Since(created) / busyPart
	return libcontainerd.ProcessInfo{
		Pid:                          pid,
		ImageName:                    image,
		CreatedAt:                    created,
		KernelTime:                   busy - busy/userPart,
		UserTime:                     busy / userPart,
		MemoryCommitBytes:            processMemory,
		MemoryWorkingSetPrivateBytes: processMemory / 2,
		MemoryWorkingSetSharedBytes:  processMemory / 3,
	}
}
