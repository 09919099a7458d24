package libcontainerd_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// instant is a ComputeService for benchmarks. It answers at once, or after latency,
// and does as little as the contract allows: what a benchmark measures on it is the
// client's own cost. A process whose command line is endsAtOnce has ended when it
// is made; any other one ends with its system, or when its end is called.
type instant struct {
	latency time.Duration // of creating a system, of starting it, and of creating a process

	mu      sync.Mutex // guards following
	systems map[string]*instantSystem
}

const endsAtOnce = "exit"

func newInstant() *instant {
	return &instant{systems: make(map[string]*instantSystem)}
}

func (s *instant) wait() {
	if s.latency > 0 {
		time.Sleep(s.latency)
	}
}

func (s *instant) Host() libcontainerd.Host {
	return libcontainerd.Host{Build: 20348, Processors: 8}
}

func (s *instant) LayerID(name string) (string, error) { return name, nil }

func (s *instant) UtilityVM(paths []string) (string, error) { return paths[0] + `\UtilityVM`, nil }

func (s *instant) CreateComputeSystem(id, _ string) (libcontainerd.ComputeSystem, error) {
	s.wait()
	system := &instantSystem{service: s, id: id, stopped: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.systems[id]; ok {
		return nil, libcontainerd.CodeSystemAlreadyExists
	}
	s.systems[id] = system
	return system, nil
}

func (s *instant) OpenComputeSystem(id string) (libcontainerd.ComputeSystem, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if system, ok := s.systems[id]; ok {
		return system, nil
	}
	return nil, libcontainerd.CodeSystemNotFound
}

func (s *instant) ComputeSystems(string) ([]libcontainerd.ComputeSystemInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]libcontainerd.ComputeSystemInfo, 0, len(s.systems))
	for id := range s.systems {
		list = append(list, libcontainerd.ComputeSystemInfo{ID: id, State: "Running"})
	}
	return list, nil
}

// find returns the system with the given id, nil if there is none.
func (s *instant) find(id string) *instantSystem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.systems[id]
}

// terminateAll ends every system.
func (s *instant) terminateAll() {
	s.mu.Lock()
	systems := slices.Collect(maps.Values(s.systems))
	s.mu.Unlock()
	for _, system := range systems {
		_ = system.Terminate()
	}
}

// instantSystem serves as every handle to itself. It ends when that is closed, as
// if its document said TerminateOnLastHandleClosed.
type instantSystem struct {
	service *instant
	id      string
	once    sync.Once
	stopped chan struct{} // closed when it has stopped

	mu        sync.Mutex // guards following
	processes []*instantProcess
	pids      uint32          // the last one given out
	next      *instantProcess // what the next CreateProcess returns, nil: a new one
}

func (s *instantSystem) Start() error {
	s.service.wait()
	return nil
}

func (s *instantSystem) Shutdown() error { return s.Terminate() }

func (s *instantSystem) Terminate() error {
	s.once.Do(func() {
		s.service.mu.Lock()
		delete(s.service.systems, s.id)
		s.service.mu.Unlock()
		s.mu.Lock()
		processes := s.processes
		s.mu.Unlock()
		for _, p := range processes {
			p.end(0)
		}
		close(s.stopped)
	})
	return nil
}

func (s *instantSystem) Wait() error {
	<-s.stopped
	return nil
}

func (s *instantSystem) Pause() error  { return nil }
func (s *instantSystem) Resume() error { return nil }
func (s *instantSystem) Close() error  { return s.Terminate() }

func (s *instantSystem) Statistics() (libcontainerd.Statistics, error) {
	return libcontainerd.Statistics{Uptime: time.Second}, nil
}

func (s *instantSystem) ProcessList() ([]libcontainerd.ProcessInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]libcontainerd.ProcessInfo, 0, len(s.processes))
	for _, p := range s.processes {
		if !p.hasEnded() {
			list = append(list, libcontainerd.ProcessInfo{Pid: p.pid, ImageName: "cmd.exe"})
		}
	}
	return list, nil
}

func (s *instantSystem) CreateProcess(config *libcontainerd.ProcessConfig) (libcontainerd.ComputeProcess, error) {
	s.service.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.next
	s.next = nil
	if p == nil {
		p = &instantProcess{exited: make(chan struct{})}
	}
	s.pids++
	p.pid = s.pids
	if config.CommandLine == endsAtOnce {
		p.end(0)
		return p, nil
	}
	s.processes = append(s.processes, p)
	return p, nil
}

func (s *instantSystem) OpenProcess(uint32) (libcontainerd.ComputeProcess, error) {
	return nil, libcontainerd.CodeNotFound
}

// first is the init process, if it was made to run on.
func (s *instantSystem) first() *instantProcess {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processes[0]
}

// instantProcess has ended output and input that nobody reads, or the output that
// a benchmark gives it.
type instantProcess struct {
	pid    uint32
	stdout io.ReadCloser // nil: none that would not be at its end

	once   sync.Once
	code   uint32
	exited chan struct{} // closed when it has ended
}

// end ends the process.
func (p *instantProcess) end(code uint32) {
	p.once.Do(func() {
		p.code = code
		close(p.exited)
	})
}

func (p *instantProcess) hasEnded() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

func (p *instantProcess) Pid() uint32 { return p.pid }

func (p *instantProcess) Stdio() (io.WriteCloser, io.ReadCloser, io.ReadCloser, error) {
	if p.stdout != nil {
		return atEnd{}, p.stdout, atEnd{}, nil
	}
	return atEnd{}, atEnd{}, atEnd{}, nil
}

func (p *instantProcess) CloseStdin() error                  { return nil }
func (p *instantProcess) ResizeConsole(uint16, uint16) error { return nil }

func (p *instantProcess) Kill() error {
	p.end(1067)
	return nil
}

func (p *instantProcess) Close() error {
	p.end(libcontainerd.UnknownExitCode)
	return nil
}

func (p *instantProcess) Wait() (uint32, error) {
	<-p.exited
	return p.code, nil
}

// atEnd is a stream at its end.
type atEnd struct{}

func (atEnd) Read([]byte) (int, error)    { return 0, io.EOF }
func (atEnd) Write(b []byte) (int, error) { return len(b), nil }
func (atEnd) Close() error                { return nil }

// bareContainer is a container as the plainest engine would drive it: what the
// service itself needs for what a benchmark measures.
type bareContainer struct {
	system libcontainerd.ComputeSystem
	init   libcontainerd.ComputeProcess
}

// runBare creates and starts a container.
func runBare(service libcontainerd.ComputeService, id, document, commandLine string) (bareContainer, error) {
	system, err := service.CreateComputeSystem(id, document)
	if err != nil {
		return bareContainer{}, err
	}
	if err := system.Start(); err != nil {
		return bareContainer{}, err
	}
	init, err := startBare(system, commandLine)
	return bareContainer{system, init}, err
}

// startBare starts a process and reads its output.
func startBare(system libcontainerd.ComputeSystem, commandLine string) (libcontainerd.ComputeProcess, error) {
	process, err := system.CreateProcess(&libcontainerd.ProcessConfig{
		CommandLine: commandLine, CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true,
	})
	if err != nil {
		return nil, err
	}
	stdin, stdout, stderr, err := process.Stdio()
	if err != nil {
		return nil, err
	}
	return process, errors.Join(readToEnd(stdout, stderr), stdin.Close(), stdout.Close(), stderr.Close())
}

// finish waits for the end of init, and ends the system.
func (c bareContainer) finish() error {
	_, err := c.init.Wait()
	return errors.Join(err, c.system.Shutdown(), c.system.Wait(), c.init.Close(), c.system.Close())
}

// readToEnd is what an engine does with the output of a process that writes nothing.
func readToEnd(outputs ...io.Reader) error {
	var b [1]byte
	for _, r := range outputs {
		if _, err := r.Read(b[:]); !errors.Is(err, io.EOF) {
			return errors.New("output is not at its end")
		}
	}
	return nil
}
