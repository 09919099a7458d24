package hcstest

import (
	"io"
	"slices"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// process is one process of a compute system that was created through HCS.
type process struct {
	sys     *system
	pid     uint32
	image   string // file name of the program
	config  *libcontainerd.ProcessConfig
	created time.Time
	done    chan struct{} // closed when it has ended, after exitCode and exit are set

	stdin, stdout, stderr *pipe // nil if not asked for
	console               *console

	// sys.mu guards following
	ended     bool
	exitCode  uint32
	exit      libcontainerd.Code // why there is no exit code, or 0
	programs  int                // goroutines that run it: 1 or 0
	handles   []*processHandle
	ends      []*pipeEnd // taken, and not closed yet
	taken     bool       // the pipes were handed out, or closed
	inputOver bool       // CloseStdin was called
	inputShut bool       // the caller's end of stdin was closed
	killed    bool       // a Kill was accepted
}

// processHandle is one handle to a process.
type processHandle struct {
	handle
	p       *process
	creator bool

	// p.sys.mu guards following
	asked bool // Stdio was called
}

var _ libcontainerd.ComputeProcess = (*processHandle)(nil)

func (p *process) call(op Op) Call { return Call{Op: op, ID: p.sys.id, Pid: p.pid} }

// CreateProcess starts the program that config names; see WithProgram.
func (h *systemHandle) CreateProcess(config *libcontainerd.ProcessConfig) (libcontainerd.ComputeProcess, error) {
	c := h.sys.call(OpCreateProcess)
	c.Process = config
	return h.processCall(c, func() (*processHandle, error) { return h.createProcess(c) })
}

// OpenProcess opens a further handle to a process that runs.
func (h *systemHandle) OpenProcess(pid uint32) (libcontainerd.ComputeProcess, error) {
	c := h.sys.call(OpOpenProcess)
	c.Pid = pid
	return h.processCall(c, func() (*processHandle, error) { return h.openProcess(c) })
}

// processCall is a call that returns a handle; see Service.handleCall.
func (h *systemHandle) processCall(c Call, do func() (*processHandle, error)) (libcontainerd.ComputeProcess, error) {
	var ph *processHandle
	err := h.call(c, func() (err error) {
		ph, err = do()
		return err
	})
	if err != nil {
		if ph != nil {
			ph.discard()
		}
		return nil, err
	}
	return ph, nil
}

func (h *systemHandle) createProcess(c Call) (*processHandle, error) {
	sys, s := h.sys, h.svc
	image, args, err := checkProcess(c)
	if err != nil {
		return nil, err
	}
	p := &process{
		sys:     sys,
		pid:     s.newPids(1),
		image:   image,
		config:  c.Process,
		created: time.Now(),
		done:    make(chan struct{}),
	}
	p.makePipes()
	ph := &processHandle{handle: newHandle(s, h.connection), p: p, creator: true}
	p.handles = []*processHandle{ph}

	sys.mu.Lock()
	defer sys.mu.Unlock()
	if err := sys.runningLocked(c); err != nil {
		return nil, err
	}
	program, ok := s.programs[imageKey(image)]
	if !ok {
		return nil, c.failure(libcontainerd.CodeFileNotFound, "no program "+image)
	}
	sys.processes = append(sys.processes, p)
	if program != nil {
		p.programs = 1
		go p.run(program, args)
	}
	return ph, nil
}

// newPids returns the first of n process ids. Like those of Windows they are
// multiples of four.
func (s *Service) newPids(n int) uint32 {
	size := 4 * uint32(n)
	return s.pids.Add(size) - size
}

// checkProcess finds the program, and refuses what Windows would refuse.
func checkProcess(c Call) (image string, args []string, err error) {
	config := c.Process
	if config == nil || config.ApplicationName == "" && config.CommandLine == "" {
		return "", nil, c.failure(libcontainerd.CodeInvalidParameter, "no command line")
	}
	if dir := config.WorkingDirectory; dir != "" && !isAbsolute(dir) {
		return "", nil, c.failure(codeDirectory, "WorkingDirectory "+dir)
	}
	if config.ConsoleSize[0] > 0xffff || config.ConsoleSize[1] > 0xffff {
		return "", nil, c.failure(libcontainerd.CodeInvalidParameter, "ConsoleSize")
	}
	args = splitCommandLine(config.CommandLine)
	path := config.ApplicationName
	if path == "" && len(args) > 0 {
		path = args[0]
	}
	return imageName(path), args, nil
}

// codeDirectory is ERROR_DIRECTORY, "the directory name is invalid".
const codeDirectory libcontainerd.Code = 0x10b

func (p *process) makePipes() {
	if p.config.CreateStdInPipe {
		p.stdin = newPipe()
	}
	if p.config.CreateStdOutPipe {
		p.stdout = newPipe()
	}
	if p.config.CreateStdErrPipe {
		p.stderr = newPipe()
	}
	if p.config.EmulateConsole {
		p.console = newConsole(p.config.ConsoleSize)
	}
}

// run runs the program to its end. The process then ends, unless it was ended
// before.
func (p *process) run(program Program, args []string) {
	code := uint32(unknownExit) // if the program ends its goroutine
	defer func() {
		p.returned(code)
		p.sys.mu.Lock()
		p.programs = 0
		p.sys.mu.Unlock()
		p.settle()
	}()
	code = program(p.view(args))
}

// returned ends the process after its program has returned, or was killed. It
// does so at once, unless a fault delays it.
func (p *process) returned(code uint32) {
	c := p.call(OpExit)
	h := p.sys.svc.fault(c)
	if h == nil {
		p.end(code, 0)
		return
	}
	go func() {
		_ = h.wait(c, nil, p.done)
		p.end(code, 0)
	}()
}

// end ends the process now: its pipes break, then its waits end. It reports
// whether it had not ended yet.
func (p *process) end(exitCode uint32, exit libcontainerd.Code) bool {
	p.sys.mu.Lock()
	if p.ended {
		p.sys.mu.Unlock()
		return false
	}
	p.ended = true
	p.exitCode, p.exit = exitCode, exit
	p.sys.mu.Unlock()
	p.stdin.closeReader()
	p.stdout.closeWriter()
	p.stderr.closeWriter()
	close(p.done)
	p.settle()
	return true
}

// settle makes the system forget the process when nothing of it is left.
func (p *process) settle() {
	sys := p.sys
	sys.mu.Lock()
	if p.ended && p.programs == 0 && len(p.handles) == 0 && len(p.ends) == 0 {
		sys.processes = slices.DeleteFunc(sys.processes, func(other *process) bool { return other == p })
	}
	sys.mu.Unlock()
	sys.settle()
}

func (h *systemHandle) openProcess(c Call) (*processHandle, error) {
	sys := h.sys
	sys.mu.Lock()
	defer sys.mu.Unlock()
	if sys.state == stateStopped {
		return nil, c.failure(libcontainerd.CodeAlreadyStopped, "")
	}
	for _, p := range sys.processes {
		if p.pid == c.Pid && !p.ended {
			ph := &processHandle{handle: newHandle(h.svc, h.connection), p: p}
			p.handles = append(p.handles, ph)
			return ph, nil
		}
	}
	return nil, c.failure(libcontainerd.CodeNotFound, "")
}

// Pid returns the process id, a multiple of four that is never used again.
func (h *processHandle) Pid() uint32 {
	_ = h.svc.meet(h.p.call(OpPid), h.connection.lost, h.closed, func() error { return nil })
	return h.p.pid
}

// Stdio hands over the pipes to the first caller, on whichever handle. A later
// caller gets none while the process runs, and CodeNotFound after its end.
func (h *processHandle) Stdio() (stdin io.WriteCloser, stdout, stderr io.ReadCloser, err error) {
	c := h.p.call(OpStdio)
	var ends pipeEnds
	err = h.call(c, func() (err error) {
		ends, err = h.stdio(c)
		return err
	})
	if err != nil {
		ends.close()
		return nil, nil, nil, err
	}
	stdin, stdout, stderr = ends.interfaces()
	return stdin, stdout, stderr, nil
}

func (h *processHandle) stdio(c Call) (pipeEnds, error) {
	p := h.p
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	if h.asked {
		h.svc.violations.add(c, "asked for the pipes twice")
	}
	h.asked = true
	switch {
	case p.ended && (p.taken || !h.creator):
		return pipeEnds{}, c.failure(libcontainerd.CodeNotFound, "the process has ended")
	case p.taken:
		return pipeEnds{}, nil
	}
	p.taken = true
	ends := p.newEnds()
	p.ends = ends.list()
	return ends, nil
}

// CloseStdin, together with the close of the pipe, ends the input of the program.
func (h *processHandle) CloseStdin() error {
	c := h.p.call(OpCloseStdin)
	return h.call(c, func() error { return h.p.closeInput(c) })
}

func (p *process) closeInput(c Call) error {
	p.sys.mu.Lock()
	if p.ended {
		p.sys.mu.Unlock()
		return c.failure(libcontainerd.CodeNotFound, "the process has ended")
	}
	if p.stdin != nil && p.taken && !p.inputShut {
		p.sys.svc.violations.add(c, "called before the pipe was closed")
	}
	p.inputOver = true
	over := p.inputShut
	p.sys.mu.Unlock()
	if over {
		p.stdin.closeWriter()
	}
	return nil
}

// ResizeConsole changes the size that the program sees.
func (h *processHandle) ResizeConsole(width, height uint16) error {
	c := h.p.call(OpResizeConsole)
	return h.call(c, func() error {
		if h.p.hasEnded() {
			return c.failure(libcontainerd.CodeNotFound, "the process has ended")
		}
		if h.p.console == nil || width == 0 || height == 0 {
			return c.failure(libcontainerd.CodeInvalidParameter, "no console, or no size")
		}
		h.p.console.resize(width, height)
		return nil
	})
}

func (p *process) hasEnded() bool {
	p.sys.mu.Lock()
	defer p.sys.mu.Unlock()
	return p.ended
}

// Kill ends the process at once, with exit code 1067. A further Kill has no
// effect.
func (h *processHandle) Kill() error {
	c := h.p.call(OpKill)
	return h.call(c, func() error { return h.p.kill(c) })
}

func (p *process) kill(c Call) error {
	p.sys.mu.Lock()
	ended, killed := p.ended, p.killed
	p.killed = true
	p.sys.mu.Unlock()
	switch {
	case !ended && !killed:
		p.returned(killedExit)
	case ended && p.sys.svc.rawStops:
		return c.failure(libcontainerd.CodeProcessStopped, "")
	case p.sys.svc.rawStops:
		return c.failure(libcontainerd.CodeAccessDenied, "it is being killed")
	}
	return nil
}

// Wait blocks until the process has ended.
func (h *processHandle) Wait() (exitCode uint32, err error) {
	c := h.p.call(OpWaitProcess)
	exitCode = unknownExit
	err = h.wait(c, func() error {
		select {
		case <-h.p.done:
			if h.p.exit != 0 {
				return c.failure(h.p.exit, "")
			}
			exitCode = h.p.exitCode
			return nil
		case <-h.connection.lost:
			return c.failure(libcontainerd.CodeServiceDisconnect, "")
		case <-h.closed:
		}
		return c.failure(libcontainerd.CodeInvalidHandle, "the handle was closed")
	})
	if err != nil {
		return unknownExit, err
	}
	return exitCode, nil
}

// Close releases the handle. On the handle that created the process it also
// closes the pipes, if they have not been taken.
func (h *processHandle) Close() error {
	return h.close(h.p.call(OpCloseProcess), func() {
		if h.creator {
			h.p.dropPipes()
		}
		h.release()
	})
}

// discard closes a handle that was not given to anybody.
func (h *processHandle) discard() {
	if h.abandon() {
		if h.creator {
			h.p.dropPipes()
		}
		h.release()
	}
}

func (h *processHandle) release() {
	p := h.p
	p.sys.mu.Lock()
	p.handles = slices.DeleteFunc(p.handles, func(other *processHandle) bool { return other == h })
	p.sys.mu.Unlock()
	p.settle()
}

// dropPipes closes the pipes unless somebody has taken them.
func (p *process) dropPipes() {
	p.sys.mu.Lock()
	dropped := !p.taken
	p.taken = true
	p.sys.mu.Unlock()
	if dropped {
		p.stdin.closeWriter()
		p.stdout.closeReader()
		p.stderr.closeReader()
	}
}

// abandon closes all handles and taken pipe ends.
func (p *process) abandon() {
	p.sys.mu.Lock()
	handles := slices.Clone(p.handles)
	ends := slices.Clone(p.ends)
	p.sys.mu.Unlock()
	for _, end := range ends {
		end.abandon()
	}
	for _, h := range handles {
		if h.abandon() {
			h.release()
		}
	}
}
