// A ComputeSystem on hcsshim.Container. The logic is in container.go, the
// contract in hcs.go.

package libcontainerd

import (
	"errors"
	"sync"
	"time"

	"github.com/Microsoft/hcsshim"
)

type computeSystem struct {
	id        string
	container hcsshim.Container

	// hcsshim keeps one notice of the system's end for all that wait. One that
	// Start, Pause or Resume takes never reaches a Wait, so it is passed on here.
	endedOnce sync.Once
	ended     chan struct{} // closed when such a call saw the end
	endedErr  error         // set before ended is closed
}

func newComputeSystem(id string, container hcsshim.Container) *computeSystem {
	return &computeSystem{id: id, container: container, ended: make(chan struct{})}
}

func (s *computeSystem) Start() error  { return s.completed(opStart, s.container.Start()) }
func (s *computeSystem) Pause() error  { return s.completed(opPause, s.container.Pause()) }
func (s *computeSystem) Resume() error { return s.completed(opResume, s.container.Resume()) }

// completed turns the outcome of a call that waits for a notice of HCS, and
// tells Wait of an end that the call was told of instead.
func (s *computeSystem) completed(op string, err error) error {
	err = hcsError(op, s.id, err)
	if errors.Is(err, hcsshim.ErrUnexpectedContainerExit) || errors.Is(err, hcsshim.ErrUnexpectedProcessAbort) {
		s.endedOnce.Do(func() {
			s.endedErr = err
			close(s.ended)
		})
	}
	return err
}

func (s *computeSystem) Shutdown() error {
	return hcsError(opShutdown, s.id, accepted(s.container.Shutdown()))
}

func (s *computeSystem) Terminate() error {
	return hcsError(opTerminate, s.id, accepted(s.container.Terminate()))
}

func (s *computeSystem) Wait() error {
	stopped := make(chan error, 1)
	go func() { stopped <- s.container.Wait() }() // until the stop or Close
	select {
	case err := <-stopped:
		return hcsError(opWait, s.id, err)
	case <-s.ended:
		return s.endedErr
	}
}

func (s *computeSystem) Statistics() (Statistics, error) {
	stats, err := s.container.Statistics()
	if err != nil {
		return Statistics{}, hcsError(opStats, s.id, err)
	}
	network := make([]NetworkStats, len(stats.Network))
	for i, n := range stats.Network {
		network[i] = NetworkStats(n)
	}
	return Statistics{
		Timestamp:          stats.Timestamp,
		ContainerStartTime: stats.ContainerStartTime,
		Uptime:             ticks(stats.Uptime100ns),
		Memory:             MemoryStats(stats.Memory),
		Processor: ProcessorStats{
			TotalRuntime:  ticks(stats.Processor.TotalRuntime100ns),
			RuntimeUser:   ticks(stats.Processor.RuntimeUser100ns),
			RuntimeKernel: ticks(stats.Processor.RuntimeKernel100ns),
		},
		Storage: StorageStats(stats.Storage),
		Network: network,
	}, nil
}

func (s *computeSystem) ProcessList() ([]ProcessInfo, error) {
	list, err := s.container.ProcessList()
	if err != nil {
		return nil, hcsError(opProcesses, s.id, err)
	}
	infos := make([]ProcessInfo, len(list))
	for i, p := range list {
		infos[i] = ProcessInfo{
			Pid:                          p.ProcessId,
			ImageName:                    p.ImageName,
			CreatedAt:                    p.CreateTimestamp,
			KernelTime:                   ticks(p.KernelTime100ns),
			UserTime:                     ticks(p.UserTime100ns),
			MemoryCommitBytes:            p.MemoryCommitBytes,
			MemoryWorkingSetPrivateBytes: p.MemoryWorkingSetPrivateBytes,
			MemoryWorkingSetSharedBytes:  p.MemoryWorkingSetSharedBytes,
		}
	}
	return infos, nil
}

func (s *computeSystem) CreateProcess(config *ProcessConfig) (ComputeProcess, error) {
	p, err := s.container.CreateProcess(&hcsshim.ProcessConfig{
		ApplicationName:  config.ApplicationName,
		CommandLine:      config.CommandLine,
		User:             config.User,
		WorkingDirectory: config.WorkingDirectory,
		Environment:      config.Environment,
		EmulateConsole:   config.EmulateConsole,
		CreateStdInPipe:  config.CreateStdInPipe,
		CreateStdOutPipe: config.CreateStdOutPipe,
		CreateStdErrPipe: config.CreateStdErrPipe,
		ConsoleSize:      config.ConsoleSize,
	})
	if err != nil {
		return nil, hcsError(opExec, s.id, err)
	}
	return &computeProcess{systemID: s.id, process: p}, nil
}

func (s *computeSystem) OpenProcess(pid uint32) (ComputeProcess, error) {
	p, err := s.container.OpenProcess(int(pid))
	if err != nil {
		return nil, hcsError(opOpen, s.id, err)
	}
	return &computeProcess{systemID: s.id, process: p}, nil
}

func (s *computeSystem) Close() error {
	return hcsError(opClose, s.id, s.container.Close())
}

// accepted hides the errors by which hcsshim says that a system stops, as it
// does for every accepted request, or has stopped already.
func accepted(err error) error {
	if hcsshim.IsPending(err) || hcsshim.IsAlreadyStopped(err) {
		return nil
	}
	return err
}

// ticks converts the 100 ns units in which HCS counts time.
func ticks(n uint64) time.Duration {
	return time.Duration(n) * 100 * time.Nanosecond
}
