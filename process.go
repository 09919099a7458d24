package libcontainerd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// process is one process of a container, its init process or an exec'd one.
type process struct {
	container *container
	name      string // friendly name
	seq       int    // order of exec'd processes
	plan      processPlan

	exited chan struct{} // closed when it has ended; code, endedAt and err are set before
	done   chan struct{} // of an exec'd process: closed when its exit is on its way to the Backend

	code    uint32
	endedAt time.Time
	err     error

	// guarded by container.mu:
	pid      uint32                  // 0 until HCS has given one
	handle   *handle[ComputeProcess] // nil until HCS has made it, never changed then
	streams  *streams                // nil until HCS has handed them over
	attached bool                    // the Backend has the streams: an exit event is owed
	claimed  bool                    // somebody sees to its exit event; it counts as ended
	killing  bool                    // a kill is under way
}

// processPlan is what is made of a Process before anything is created.
type processPlan struct {
	config  ProcessConfig
	program string   // first of Args
	dropped []string // names of environment entries that had no value, or were overridden
}

// planProcess translates p, which is valid. Both pipes of input and output are
// always asked for; an emulated console has no stderr of its own.
func planProcess(p *Process) processPlan {
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
	}
	if p.Terminal {
		config.ConsoleSize = [2]uint{uint(p.InitialConsoleSize[0]), uint(p.InitialConsoleSize[1])}
	}
	return processPlan{config: config, program: p.Args[0], dropped: dropped}
}

func newProcess(ctr *container, name string, plan processPlan) *process {
	return &process{
		container: ctr,
		name:      name,
		plan:      plan,
		exited:    make(chan struct{}),
		done:      make(chan struct{}),
	}
}

// addProcess starts an exec'd process. After an error nothing is left of it.
func (ctr *container) addProcess(name string, spec Process) error {
	if name == "" {
		return newError(OpExec, ctr.id, name, fmt.Errorf("friendly name is empty: %w", errdefs.ErrInvalidArgument))
	}
	if err := spec.validate(); err != nil {
		return newError(OpExec, ctr.id, name, err)
	}
	plan := planProcess(&spec)
	if plan.config.WorkingDirectory == "" {
		plan.config.WorkingDirectory = ctr.plan.process.config.WorkingDirectory
	}
	ctr.settlePhase()
	p, err := ctr.reserveExec(name, plan)
	if err != nil {
		return err
	}
	err = p.launch()
	if err == nil {
		err = p.attach(name)
	}
	if err == nil {
		err = p.becomeLive()
	}
	if err != nil {
		p.discard()
		p.leave()
		return err
	}
	ctr.client.tasks.start(p.watch)
	return nil
}

// reserveExec takes the friendly name, so that nobody else can, before HCS is
// asked.
func (ctr *container) reserveExec(name string, plan processPlan) (*process, error) {
	p := newProcess(ctr, name, plan)
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if _, ok := ctr.execs[name]; ok || name == InitFriendlyName {
		return nil, newError(OpExec, ctr.id, name, fmt.Errorf("friendly name is in use: %w", errdefs.ErrAlreadyExists))
	}
	if ctr.phase != running {
		return nil, newError(OpExec, ctr.id, name, ctr.notRunningLocked())
	}
	ctr.seq++
	p.seq = ctr.seq
	ctr.execs[name] = p
	return p, nil
}

// launch has HCS make the process, and takes its pipes.
func (p *process) launch() error {
	for _, name := range p.plan.dropped {
		p.container.log.WithField("process", p.name).WithField("variable", name).Debug("environment entry dropped")
	}
	if err := p.createProcess(); err != nil {
		return err
	}
	return p.takeStdio()
}

func (p *process) createProcess() error {
	c := p.container.client
	type created struct {
		process ComputeProcess
		pid     uint32
	}
	made, err := use(c, p.container.system, p.op(OpExec), c.callTimeout, func(s ComputeSystem) (created, error) {
		config := p.plan.config
		process, err := s.CreateProcess(&config)
		if err != nil {
			parameters, _ := json.Marshal(config) // strings, numbers and bools only
			return created{}, withDocument(err, string(parameters), p.container.plan.build)
		}
		return created{process, process.Pid()}, nil
	}, func(late created, err error) {
		if err == nil {
			late.process.Kill()
			newHandle(late.process).close(c)
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
	p.handle = newHandle(process)
}

func (p *process) takeStdio() error {
	c := p.container.client
	pipes, err := use(c, p.handle, p.op(OpStdio), c.callTimeout, func(process ComputeProcess) (pipes, error) {
		stdin, stdout, stderr, err := process.Stdio()
		return pipes{stdin, stdout, stderr}, err
	}, func(late pipes, err error) {
		if err == nil {
			late.close()
		}
	})
	if err != nil {
		return err
	}
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	p.streams = newStreams(c, pipes, p.closeStdin)
	return nil
}

// closeStdin tells HCS that the input has ended. A process that is no more, or
// on its way out, needs no telling.
func (p *process) closeStdin() error {
	c := p.container.client
	err := order(c, p.handle, p.op(OpCloseStdin), c.callTimeout, ComputeProcess.CloseStdin, nil)
	if errors.Is(err, errGone) || isAlreadyStopped(err) ||
		errors.Is(err, CodeInvalidState) || errors.Is(err, CodeInvalidHandle) || errors.Is(err, CodeBrokenPipe) {
		return nil
	}
	return err
}

// attach hands the streams to the Backend, if there are any.
func (p *process) attach(name string) error {
	if p.streams == nil {
		return nil
	}
	pipe := p.streams.pipe(p.plan.config.EmulateConsole)
	var err error
	if b, ok := p.container.client.backend.(ProcessBackend); ok && p.name != InitFriendlyName {
		err = b.AttachProcessStreams(p.container.id, name, p.pid, pipe)
	} else {
		err = p.container.client.backend.AttachStreams(name, pipe)
	}
	if err != nil {
		return newError(OpAttach, p.container.id, p.name, err)
	}
	return nil
}

// becomeLive makes an exit event due, if the container has not ended meanwhile.
func (p *process) becomeLive() error {
	ctr := p.container
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if p.claimed || ctr.phase == gone {
		return newError(OpExec, ctr.id, p.name, ctr.notRunningLocked())
	}
	p.attached = true
	return nil
}

// watch waits for the exit of an exec'd process and reports it.
func (p *process) watch() {
	p.wait()
	if !p.claim() {
		return
	}
	p.end()
	p.report()
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
	close(p.exited)
}

// report reports the exit. Only then is the process done, for whoever waits with
// an event of the container's. The table knows it no more when the Backend hears
// of it, so that its name may be used again at once.
func (p *process) report() {
	q := p.container.events
	deliver := q.push(event{info: p.exit(StateExitProcess, time.Time{}), before: p.forget})
	close(p.done)
	if deliver {
		q.drain()
	}
}

// exit makes the exit event; it waits until deadline for the exit itself.
func (p *process) exit(state string, deadline time.Time) StateInfo {
	info := StateInfo{State: state, Pid: p.pid, ExitCode: UnknownExitCode, ProcessID: p.name}
	if await(p.exited, time.Until(deadline)) {
		info.ExitCode, info.ExitedAt, info.Err = p.code, p.endedAt, p.err
	} else {
		info.ExitedAt = time.Now()
		info.Err = newError(OpWait, p.container.id, p.name, fmt.Errorf("no exit code: %w", errTimeout(p.container.client.grace)))
	}
	if crash := p.container.crash(); crash != nil {
		info.Err = join(info.Err, crash)
		if info.ExitCode == 0 {
			info.ExitCode = UnknownExitCode // never a false success
		}
	}
	return info
}

// abandon reports the exit of an exec'd process that HCS has not reported. One
// that the Backend has not got is dropped without a word. When it returns, the
// exit is on its way, whoever sees to it.
func (p *process) abandon() {
	if !p.claim() {
		<-p.done
		return
	}
	p.container.mu.Lock()
	attached := p.attached
	p.container.mu.Unlock()
	if attached {
		p.report()
	} else {
		p.forget()
		close(p.done)
	}
	p.drop()
}

// leave takes a process whose start failed out of the table.
func (p *process) leave() {
	if p.claim() {
		p.forget()
		close(p.done)
	}
}

// claim makes the caller the one who sees to the exit event. It returns false if
// somebody else does.
func (p *process) claim() bool {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	if p.claimed {
		return false
	}
	p.claimed = true
	return true
}

// forget frees the friendly name.
func (p *process) forget() {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	delete(p.container.execs, p.name)
}

// discard ends a process that nobody will hear of.
func (p *process) discard() {
	if p.handle == nil {
		return
	}
	c := p.container.client
	err := order(c, p.handle, p.op(OpKill), c.callTimeout, ComputeProcess.Kill, nil)
	switch {
	case errors.Is(err, errGone):
		p.drop() // the container has ended, and the process with it
		return
	case err != nil && !isAlreadyStopped(err):
		p.container.log.WithField("process", p.name).WithError(err).Error("process of a failed start cannot be killed")
	}
	ended := make(chan struct{})
	c.tasks.start(func() {
		p.handle.value.Wait()
		close(ended)
	})
	await(ended, c.grace)
	p.drop()
}

// end releases a process that has ended, without waiting for HCS or for a pipe:
// its exit is to be reported. Its output stays open for a while, to be read to
// its end.
func (p *process) end() {
	c := p.container.client
	if p.streams != nil {
		c.tasks.start(func() { p.streams.linger(c.grace) })
	}
	p.handle.close(c)
}

// drop releases the process and cuts its streams off.
func (p *process) drop() {
	p.letGo()
	if p.handle != nil {
		closeHandle(p.container.client, p.handle)
	}
}

// letGo is drop without waiting.
func (p *process) letGo() {
	p.container.mu.Lock()
	streams, handle := p.streams, p.handle
	p.container.mu.Unlock()
	if streams != nil {
		p.container.client.tasks.start(streams.cut)
	}
	if handle != nil {
		handle.close(p.container.client)
	}
}

// op describes a call that concerns the process.
func (p *process) op(name string) Operation {
	return Operation{Op: name, ContainerID: p.container.id, Process: p.name}
}

// execsLocked lists the exec'd processes in the order of their start; ctr.mu is
// held.
func (ctr *container) execsLocked() []*process {
	execs := make([]*process, 0, len(ctr.execs))
	for _, p := range ctr.execs {
		execs = append(execs, p)
	}
	slices.SortFunc(execs, func(a, b *process) int { return cmp.Compare(a.seq, b.seq) })
	return execs
}
