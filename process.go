package libcontainerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// process is one process of a container, its init process or an exec'd one.
type process struct {
	container *container
	system    *system      // that it runs in
	name      string       // friendly name
	seq       int          // order of exec'd processes; 0: the init process
	command   string       // as Summary calls it
	terminal  bool         // it has a console
	plan      *processPlan // nil once it runs: its environment may be large

	exitBegun atomic.Bool   // of an exec'd process: the callback of its exit has begun, the name is free
	done      chan struct{} // closed when its exit is known (init process), or queued or owed no longer (exec'd)

	code    uint32 // set by wait, before done is closed
	endedAt time.Time
	err     error

	// guarded by container.mu:
	state   processState
	pid     uint32                  // 0 until HCS has given one
	handle  *handle[ComputeProcess] // nil until HCS has made it, never changed then
	streams *streams                // nil until HCS has handed them over
	killing bool                    // a kill is under way
}

// processState is where in its life an exec'd process is.
//
//	state        ended by      which queues           and then
//	launching    discard       nothing                kills it, waits for its end, cuts its streams
//	attaching    discard       nothing                the same
//	             lose          nothing                cuts its streams
//	live         watch         its exit               leaves its output to be read to the end
//	             lose          an exit without code   cuts its streams
//	any          letGo         nothing                cuts its streams: the client is closed, it runs on
//
// An init process has no states: its exit is that of its container. drop cuts its streams
// after a failed start, release leaves its output to be read after an exit.
type processState int

const (
	launching processState = iota // HCS makes it
	attaching                     // the Backend is being given its streams
	live                          // AddProcess has returned nil, or will: an exit is owed
	concluded                     // its exit is queued, or none is owed
)

// processPlan is what is made of a Process before anything is created.
type processPlan struct {
	config  ProcessConfig
	program string   // first of Args
	dropped []string // environment entries that had no value, or were overridden
}

// planProcess translates p, which is valid. Both pipes of input and output are
// always asked for; an emulated console has no stderr.
func planProcess(p *Process) *processPlan {
	env, dropped := environment(p.Env)
	config := ProcessConfig{
		CommandLine:      commandLine(p.Args),
		User:             p.User.User,
		WorkingDirectory: p.Cwd,
		Environment:      env,
		EmulateConsole:   p.Terminal,
		CreateStdInPipe:  true,
		CreateStdOutPipe: true,
		CreateStdErrPipe: !p.Terminal,
		ConsoleSize:      [2]uint{uint(p.InitialConsoleSize[0]), uint(p.InitialConsoleSize[1])},
	}
	return &processPlan{config: config, program: p.Args[0], dropped: dropped}
}

func newProcess(ctr *container, s *system, name string, plan *processPlan) *process {
	return &process{
		container: ctr, system: s, name: name,
		command: plan.config.CommandLine, terminal: plan.config.EmulateConsole,
		plan: plan,
		done: make(chan struct{}),
	}
}

// launch has HCS make the process, and takes its pipes.
func (p *process) launch() error {
	defer func() { p.plan = nil }()
	for _, entry := range p.plan.dropped {
		p.log().WithField("variable", loggableEntry(entry)).Debug("environment entry dropped")
	}
	if err := p.createProcess(); err != nil {
		return err
	}
	taken, err := p.stdio()
	if err == nil {
		p.setStreams(taken)
	}
	return err
}

func (p *process) createProcess() error {
	c := p.container.client
	type created struct {
		process ComputeProcess
		pid     uint32
	}
	config, build := &p.plan.config, p.system.build // a late call finds them, too
	made, err := callOn(c, p.system.handle, p.op(OpExec), c.callTimeout, func(s ComputeSystem) (created, error) {
		process, err := present(s.CreateProcess(config))
		if err != nil {
			parameters, _ := json.Marshal(config) // strings, numbers and bools only
			return created{}, withDocument(err, string(parameters), build)
		}
		return created{process, process.Pid()}, nil
	}, func(late created, err error) {
		if err == nil {
			p.adopt(late.process, late.pid)
			p.discard()
		}
	})
	if err == nil {
		p.adopt(made.process, made.pid)
	}
	return err
}

// adopt takes charge of the process that HCS has made or opened.
func (p *process) adopt(process ComputeProcess, pid uint32) {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	p.pid = pid
	p.handle = newHandle(process, p.container.id, p.name)
}

// stdio takes the pipes of the process, which HCS hands over once.
func (p *process) stdio() (pipes, error) {
	c := p.container.client
	return callOn(c, p.handle, p.op(OpStdio), c.callTimeout, func(process ComputeProcess) (pipes, error) {
		stdin, stdout, stderr, err := process.Stdio()
		return pipes{stdin, stdout, stderr}, err
	}, func(late pipes, err error) {
		if err == nil {
			late.close()
		}
	})
}

func (p *process) setStreams(taken pipes) {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	p.streams = newStreams(p, taken)
}

// closeStdin tells HCS that the input has ended. A process that has ended needs no
// telling.
func (p *process) closeStdin() error {
	c := p.container.client
	err := request(c, p.handle, p.op(OpCloseStdin), c.callTimeout, ComputeProcess.CloseStdin, nil)
	if errors.Is(err, errGone) || isAlreadyStopped(err) ||
		errors.Is(err, CodeInvalidState) || errors.Is(err, CodeInvalidHandle) || errors.Is(err, CodeBrokenPipe) {
		return nil
	}
	return err
}

// attach hands the streams over to the Backend.
func (p *process) attach() error {
	ctr, pipe := p.container, p.streams.pipe(p.terminal)
	var err error
	if p.seq == 0 {
		defer ctr.handedEnd.Store(true)
		err = ctr.client.gate.attach(&ctr.handed, ctr.id, pipe)
	} else {
		letOtherBegin(&ctr.handedEnd)
		err = ctr.client.gate.attachProcess(ctr.id, p.name, p.pid, pipe)
	}
	return newError(OpAttach, ctr.id, p.name, err)
}

// wait waits until the process has ended, and keeps how.
func (p *process) wait() {
	code, err := UnknownExitCode, errGone // the client is closed
	if !p.handle.isClosing() {
		code, err = p.handle.value.Wait()
	}
	p.endedAt = time.Now()
	p.code = code
	if err != nil {
		p.code = UnknownExitCode
		p.err = newError(OpWait, p.container.id, p.name, err)
	}
}

// exit makes the exit event; it waits until deadline for the exit itself.
func (p *process) exit(state string, deadline time.Time) StateInfo {
	if p.container.client.await(p.done, time.Until(deadline)) || isClosed(p.done) {
		return p.exitInfo(state)
	}
	return p.lostExit(state)
}

// exitInfo is the exit event of a process whose exit is known.
func (p *process) exitInfo(state string) StateInfo {
	return p.withCrash(StateInfo{State: state, Pid: p.pid, ProcessID: p.name, ExitCode: p.code, ExitedAt: p.endedAt, Err: p.err})
}

// lostExit is the exit event of a process whose exit HCS does not tell.
func (p *process) lostExit(state string) StateInfo {
	return p.withCrash(StateInfo{
		State: state, Pid: p.pid, ProcessID: p.name, ExitCode: UnknownExitCode, ExitedAt: time.Now(),
		Err: newError(OpWait, p.container.id, p.name, fmt.Errorf("no exit code: %w", errTimeout(p.container.client.grace))),
	})
}

// withCrash adds to an exit why the compute system has stopped by itself.
func (p *process) withCrash(info StateInfo) StateInfo {
	if crash := p.system.crash(); crash != nil {
		info.Err = join(info.Err, crash)
		if info.ExitCode == 0 {
			info.ExitCode = UnknownExitCode // never a false success
		}
	}
	return info
}

// release frees what a process that has ended holds, without waiting for HCS or for a
// pipe. Its output stays open for a while, to be read to its end.
func (p *process) release() {
	if p.streams != nil {
		p.container.client.tasks.add(1)
		go p.streams.linger()
	}
	p.handle.close(p.container.client)
}

// drop cuts the streams off and closes the handle.
func (p *process) drop() {
	if handle := p.letGo(); handle != nil {
		handle.closeWait(p.container.client, p.container.client.grace)
	}
}

// letGo is drop without waiting.
func (p *process) letGo() *handle[ComputeProcess] {
	p.container.mu.Lock()
	streams, handle := p.streams, p.handle
	p.container.mu.Unlock()
	if streams != nil {
		p.container.client.tasks.start(func() { streams.cut(nil) })
	}
	if handle != nil {
		handle.close(p.container.client)
	}
	return handle
}
