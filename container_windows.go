// A ComputeSystem on hcsshim.Container. The logic is in container.go, the
// contract in hcs.go.

package libcontainerd

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Microsoft/hcsshim"
)

// computeSystem hands the system's end on to Wait and to whatever call it
// interrupts. hcsshim has one notice of the end, which goes to its Wait or to the
// Start, Pause or Resume that is under way, and leaves the other one waiting.
type computeSystem struct {
	id        string
	container hcsshim.Container

	terminations atomic.Int32 // that were asked for and not refused

	endOnce sync.Once
	ended   chan struct{} // closed when the system has stopped or the handle is closed
	endErr  error         // what Wait returns, set before ended is closed
}

func newComputeSystem(id string, container hcsshim.Container) *computeSystem {
	return &computeSystem{id: id, container: container, ended: make(chan struct{})}
}

// end keeps how the system has ended, the first time. Whether HCS calls the exit
// after a termination unexpected is not documented; here it is not.
func (s *computeSystem) end(err error) {
	s.endOnce.Do(func() {
		if s.terminations.Load() > 0 && errors.Is(err, CodeUnexpectedExit) {
			err = nil
		}
		s.endErr = err
		close(s.ended)
	})
}

func (s *computeSystem) hasEnded() bool { return isClosed(s.ended) }

// Wait is also how Start, Pause and Resume learn of the end: the client calls it
// before them.
func (s *computeSystem) Wait() error {
	s.end(hcsError(OpWait, s.id, s.container.Wait()))
	return s.endErr
}

func (s *computeSystem) Start() error  { return s.complete(OpStart, s.container.Start) }
func (s *computeSystem) Pause() error  { return s.complete(OpPause, s.container.Pause) }
func (s *computeSystem) Resume() error { return s.complete(OpResume, s.container.Resume) }

// complete makes a call that waits for a notice of HCS. If Wait gets the notice
// of the system's end instead, the call returns; hcsshim's own call may go on for
// minutes, and a Close waits for it. That is why it runs in a goroutine.
func (s *computeSystem) complete(op string, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- s.endedBy(hcsError(op, s.id, call())) }()
	select {
	case err := <-done:
		return err
	case <-s.ended:
	}
	select {
	case err := <-done: // it came first, or was told as well
		return err
	default:
	}
	if s.endErr != nil {
		return s.endErr
	}
	return &Error{Op: op, ContainerID: s.id, Code: CodeAlreadyStopped}
}

// endedBy returns err, the answer to a call. If it is the notice of the system's
// end, hcsshim's Wait never gets that: closing the container lets it return.
func (s *computeSystem) endedBy(err error) error {
	if errors.Is(err, hcsshim.ErrUnexpectedContainerExit) || errors.Is(err, hcsshim.ErrUnexpectedProcessAbort) {
		s.end(err)
		go release(s.container) // a close waits for the calls that run
	}
	return err
}

func (s *computeSystem) Shutdown() error {
	return hcsError(OpShutdown, s.id, accepted(s.container.Shutdown()))
}

func (s *computeSystem) Terminate() error {
	s.terminations.Add(1) // before HCS tells of the end
	err := hcsError(OpTerminate, s.id, accepted(s.container.Terminate()))
	if err != nil {
		s.terminations.Add(-1)
	}
	return err
}

func (s *computeSystem) Statistics() (Statistics, error) {
	stats, err := s.container.Statistics()
	if err != nil {
		return Statistics{}, hcsError(OpStats, s.id, err)
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
		return nil, hcsError(OpListProcesses, s.id, err)
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
		return nil, hcsError(OpExec, s.id, err)
	}
	return &computeProcess{system: s, process: p}, nil
}

func (s *computeSystem) OpenProcess(pid uint32) (ComputeProcess, error) {
	p, err := s.container.OpenProcess(int(pid))
	if err != nil {
		return nil, hcsError(OpOpen, s.id, err)
	}
	return &computeProcess{system: s, process: p}, nil
}

func (s *computeSystem) Close() error {
	return hcsError(OpClose, s.id, s.container.Close())
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
