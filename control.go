package libcontainerd

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
)

// sigkill is the one signal that Windows can tell from the others.
const sigkill = 9

// notRunningLocked says why the container cannot do what was asked; ctr.mu is
// held.
func (ctr *container) notRunningLocked() error {
	return fmt.Errorf("container is not running but %v: %w", ctr.phase, errdefs.ErrFailedPrecondition)
}

// signal ends the container; see Client.Signal.
func (ctr *container) signal(sig int) error {
	if sig != 0 && sig != sigkill {
		ctr.settlePhase() // only a container that runs can shut down
	}
	ctr.mu.Lock()
	phase, next := ctr.phase, ctr.next
	notRunning := ctr.notRunningLocked()
	ctr.mu.Unlock()
	switch {
	case next != nil:
		return next.signal(sig)
	case sig == 0 && phase.isUp():
		return nil
	case sig == 0:
		return newError(OpSignal, ctr.id, "", notRunning)
	case phase == creating || phase == restarting:
		return ctr.signalBeforeRun(sig)
	case phase == gone:
		return nil
	case sig == sigkill:
		return ctr.kill()
	case phase == exiting:
		return nil
	}
	return ctr.requestShutdown(phase == paused)
}

// signalBeforeRun ends the wait for a restart, or a start that is under way.
func (ctr *container) signalBeforeRun(sig int) error {
	ctr.mu.Lock()
	if ctr.phase != creating && ctr.phase != restarting {
		ctr.mu.Unlock()
		return ctr.signal(sig) // it runs by now, or has ended
	}
	ctr.cancelBringUpLocked()
	ctr.mu.Unlock()
	if ctr.restartManager == nil {
		return nil
	}
	if err := ctr.restartManager.Cancel(); err != nil {
		return newError(OpSignal, ctr.id, "", err)
	}
	return nil
}

// kill asks for the termination, through a second handle if the first does not
// answer.
func (ctr *container) kill() error {
	limit := ctr.client.terminateTimeout
	ctr.mu.Lock()
	already := ctr.terminating
	ctr.mu.Unlock()
	err := ctr.requestTerminate(limit)
	if errdefs.IsDeadlineExceeded(err) {
		err = ctr.requestTerminateAgain(limit)
	}
	err = ctr.tolerateStop(err)
	if err != nil {
		ctr.mu.Lock()
		ctr.terminating = already || ctr.phase == exiting
		ctr.mu.Unlock()
		return err
	}
	ctr.client.tasks.start(ctr.expectStop)
	return nil
}

// expectStop ends a container that was killed but whose stop HCS does not tell.
func (ctr *container) expectStop() {
	timer := time.NewTimer(ctr.client.terminateTimeout)
	defer timer.Stop()
	select {
	case <-ctr.stopped:
	case <-ctr.client.closing:
	case <-timer.C:
		ctr.finishOnce()
	}
}

// requestTerminateAgain asks for the termination through a handle of its own.
func (ctr *container) requestTerminateAgain(limit time.Duration) error {
	c := ctr.client
	deadline := time.Now().Add(limit)
	system, err := c.open(ctr.id, limit)
	if err != nil {
		return err
	}
	h := newHandle(system)
	defer h.close(c)
	return order(c, h, ctr.op(OpTerminate), time.Until(deadline), ComputeSystem.Terminate, nil)
}

// requestShutdown asks the system to stop in order. A paused one could not.
func (ctr *container) requestShutdown(paused bool) error {
	if paused {
		if err := ctr.resume(); err != nil && !ctr.hasStopped() {
			return err
		}
	}
	return ctr.tolerateStop(order(ctr.client, ctr.system, ctr.op(OpShutdown), ctr.client.callTimeout, ComputeSystem.Shutdown, nil))
}

// tolerateStop drops errors that say that what was to stop has stopped.
func (ctr *container) tolerateStop(err error) error {
	if isStopAccepted(err) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// find returns a process of the container, its init process included.
func (ctr *container) find(op, name string) (*process, error) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	p := ctr.execs[name]
	if name == InitFriendlyName {
		p = ctr.init
		if !ctr.phase.isUp() {
			return nil, newError(op, ctr.id, name, ctr.notRunningLocked())
		}
	}
	switch {
	case ctr.phase == creating || ctr.phase == restarting:
		return nil, newError(op, ctr.id, name, ctr.notRunningLocked())
	case p == nil:
		return nil, newError(op, ctr.id, name, fmt.Errorf("no such process: %w", errdefs.ErrNotFound))
	case p.claimed:
		return nil, newError(op, ctr.id, name, errEnded)
	case p.handle == nil:
		return nil, newError(op, ctr.id, name, fmt.Errorf("process is being created: %w", errdefs.ErrFailedPrecondition))
	}
	return p, nil
}

// signalProcess kills an exec'd process; see Client.SignalProcess.
func (ctr *container) signalProcess(name string, sig int) error {
	p, err := ctr.find(OpSignal, name)
	switch {
	case errors.Is(err, errEnded) && sig != 0:
		return nil
	case err != nil || sig == 0:
		return err
	}
	return p.kill()
}

// errEnded is a process whose end the Backend has not heard of yet.
var errEnded = fmt.Errorf("process has ended: %w", errdefs.ErrNotFound)

// kill asks for the end of the process. HCS wants one kill of a process at a
// time; a second one could do no more.
func (p *process) kill() error {
	ctr := p.container
	ctr.mu.Lock()
	underWay := p.killing
	p.killing = true
	ctr.mu.Unlock()
	if underWay {
		return nil
	}
	err := order(ctr.client, p.handle, p.op(OpKill), ctr.client.callTimeout, func(h ComputeProcess) error {
		defer p.killEnded()
		return h.Kill()
	}, nil)
	if isAlreadyStopped(err) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

func (p *process) killEnded() {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	p.killing = false
}

// resize changes the console of a process; see Client.Resize.
func (ctr *container) resize(name string, width, height int) error {
	for _, side := range []struct {
		name string
		n    int
	}{{"width", width}, {"height", height}} {
		if side.n < 1 || side.n > 65535 {
			return newError(OpResize, ctr.id, name, fmt.Errorf("%s %d is not within 1…65535: %w", side.name, side.n, errdefs.ErrInvalidArgument))
		}
	}
	p, err := ctr.find(OpResize, name)
	if err != nil {
		return err
	}
	return order(ctr.client, p.handle, p.op(OpResize), ctr.client.callTimeout, func(h ComputeProcess) error {
		return h.ResizeConsole(uint16(width), uint16(height))
	}, nil)
}

// pause freezes the container; see Client.Pause. If HCS does so only after the
// client gave up, it is undone.
func (ctr *container) pause() error {
	h, err := ctr.beginSwitch(OpPause, running)
	if err != nil {
		return err
	}
	defer ctr.releaseSwitch(h)
	err = order(ctr.client, h, ctr.op(OpPause), ctr.client.callTimeout, ComputeSystem.Pause, func(err error) {
		if err == nil {
			err = order(ctr.client, ctr.system, ctr.op(OpResume), ctr.client.callTimeout, ComputeSystem.Resume, nil)
			ctr.doubtPhase(err)
		} else if errors.Is(err, CodeOperationTimeout) {
			ctr.doubtPhase(err)
		}
	})
	if !ctr.endSwitch(err, running, paused) {
		return err
	}
	ctr.events.postOwn(StateInfo{State: StatePause, Pid: ctr.init.pid})
	return nil
}

// resume lets the container run on; see Client.Resume. If HCS does so only after
// the client gave up, it is reported then.
func (ctr *container) resume() error {
	h, err := ctr.beginSwitch(OpResume, paused)
	if err != nil {
		return err
	}
	defer ctr.releaseSwitch(h)
	resumed := StateInfo{State: StateResume, Pid: ctr.init.pid}
	err = order(ctr.client, h, ctr.op(OpResume), ctr.client.callTimeout, ComputeSystem.Resume, func(err error) {
		if ctr.endSwitch(err, paused, running) {
			ctr.events.post(event{info: resumed})
		}
	})
	if !ctr.endSwitch(err, paused, running) {
		return err
	}
	ctr.events.postOwn(resumed)
	return nil
}

// beginSwitch lets one pause or resume begin, of a container in phase from, and
// returns the handle for it. After a call that hcsshim gave up that is one of its
// own: the container's may get the notification of that call yet, and would take it
// for the next one's.
func (ctr *container) beginSwitch(op string, from phase) (*handle[ComputeSystem], error) {
	if !ctr.plan.hyperv {
		return nil, newError(op, ctr.id, "", fmt.Errorf("only Hyper-V isolation can: %w", errdefs.ErrNotImplemented))
	}
	ctr.settlePhase()
	ctr.mu.Lock()
	phase, switching, suspect := ctr.phase, ctr.switching, ctr.suspect
	if phase == from && !switching {
		ctr.switching = true
		ctr.switches++
	}
	ctr.mu.Unlock()
	switch {
	case phase != from:
		return nil, newError(op, ctr.id, "", fmt.Errorf("container is %v: %w", phase, errdefs.ErrFailedPrecondition))
	case switching:
		return nil, newError(op, ctr.id, "", fmt.Errorf("another pause or resume is under way: %w", errdefs.ErrFailedPrecondition))
	case !suspect:
		return ctr.system, nil
	}
	system, err := ctr.client.open(ctr.id, ctr.client.callTimeout)
	if err != nil {
		ctr.endSwitch(err, from, from)
		return nil, newError(op, ctr.id, "", err)
	}
	return newHandle(system), nil
}

// releaseSwitch closes the handle of a pause or a resume, if it had one of its own.
func (ctr *container) releaseSwitch(h *handle[ComputeSystem]) {
	if h != ctr.system {
		h.close(ctr.client)
	}
}

// endSwitch ends a pause or resume that was answered with err, and tells whether it
// changed the phase: a container that has ended meanwhile stays so.
func (ctr *container) endSwitch(err error, from, to phase) bool {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.switching = false
	ctr.switches++
	if errors.Is(err, CodeOperationTimeout) {
		ctr.suspect = true
	}
	if err != nil || ctr.phase != from {
		return false
	}
	ctr.phase = to
	return true
}

// doubtPhase keeps in mind that a pause which came late has not been undone, as err
// says, or may be yet to come.
func (ctr *container) doubtPhase(err error) {
	if err == nil {
		return
	}
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.switches++
	ctr.suspect = true
}

// settlePhase asks HCS whether the container is paused, if a pause or a resume was
// ever given up, and reports what has come of it. An answer that another of them has
// overtaken counts for nothing.
func (ctr *container) settlePhase() {
	ctr.mu.Lock()
	settled, before := !ctr.suspect || ctr.switching, ctr.switches
	ctr.mu.Unlock()
	if settled {
		return
	}
	isPaused, err := ctr.isPausedInHCS()
	if err != nil {
		ctr.log.WithError(err).Warn("cannot tell whether the container is paused")
		return
	}
	ctr.mu.Lock()
	state := ""
	switch {
	case ctr.switches != before:
	case isPaused && ctr.phase == running:
		ctr.phase, state = paused, StatePause
	case !isPaused && ctr.phase == paused:
		ctr.phase, state = running, StateResume
	}
	ctr.mu.Unlock()
	if state != "" {
		ctr.events.postOwn(StateInfo{State: state, Pid: ctr.init.pid})
	}
}

// stats asks HCS for the resource use of the container.
func (ctr *container) stats() (*Stats, error) {
	ctr.mu.Lock()
	ok := ctr.phase.isUp()
	notRunning := ctr.notRunningLocked()
	ctr.mu.Unlock()
	if !ok {
		return nil, newError(OpStats, ctr.id, "", notRunning)
	}
	s, err := use(ctr.client, ctr.system, ctr.op(OpStats), ctr.client.callTimeout, ComputeSystem.Statistics, nil)
	if err != nil {
		return nil, err
	}
	return &Stats{Read: time.Now(), Statistics: s}, nil
}

// tracked is a process of the table that runs.
type tracked struct {
	pid           uint32
	name, command string
}

// processes lists the processes of the table that run, the init process first.
func (ctr *container) processes() []tracked {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	var list []tracked
	if ctr.phase.isUp() {
		list = append(list, tracked{ctr.init.pid, InitFriendlyName, ctr.init.plan.program})
	}
	for _, p := range ctr.execsLocked() {
		if p.pid != 0 && !p.claimed {
			list = append(list, tracked{p.pid, p.name, p.plan.config.CommandLine})
		}
	}
	return list
}

// summary describes every process of the container.
func (ctr *container) summary() ([]Summary, error) {
	list := ctr.processes()
	if len(list) == 0 {
		return []Summary{}, nil
	}
	infos, err := use(ctr.client, ctr.system, ctr.op(OpListProcesses), ctr.client.callTimeout, ComputeSystem.ProcessList, nil)
	if err != nil && !isOnTheWayOut(err) {
		return nil, err
	}
	return merge(list, infos), nil
}

// isOnTheWayOut tells whether err is one of those that a container's properties
// give while it stops.
func isOnTheWayOut(err error) bool {
	return errors.Is(err, errGone) || isAlreadyStopped(err) || errors.Is(err, CodeInvalidState) ||
		errors.Is(err, CodeInvalidHandle) || errors.Is(err, CodeAccessDenied)
}

// merge adds what HCS knows to the tracked processes, and appends the others.
func merge(list []tracked, infos []ProcessInfo) []Summary {
	byPid := make(map[uint32]ProcessInfo, len(infos))
	for _, i := range infos {
		byPid[i.Pid] = i
	}
	summaries := make([]Summary, 0, max(len(list), len(infos)))
	for _, t := range list {
		i := byPid[t.pid]
		delete(byPid, t.pid)
		summaries = append(summaries, summarise(t.pid, t.name, t.command, i))
	}
	for _, i := range infos {
		if _, other := byPid[i.Pid]; other {
			summaries = append(summaries, summarise(i.Pid, "", i.ImageName, i))
		}
	}
	return summaries
}

func summarise(pid uint32, name, command string, i ProcessInfo) Summary {
	return Summary{
		Pid:                          pid,
		Name:                         name,
		Command:                      command,
		ImageName:                    i.ImageName,
		CreatedAt:                    i.CreatedAt,
		KernelTime:                   i.KernelTime,
		UserTime:                     i.UserTime,
		MemoryCommitBytes:            i.MemoryCommitBytes,
		MemoryWorkingSetPrivateBytes: i.MemoryWorkingSetPrivateBytes,
		MemoryWorkingSetSharedBytes:  i.MemoryWorkingSetSharedBytes,
	}
}

// unchangeable names the limits that are set: HCS can change none of them while
// a container runs. Zero is the same as absent.
func (r *Resources) unchangeable() error {
	var problems []error
	refuse := func(field string, set bool) {
		if set {
			problems = append(problems, fmt.Errorf("resources.%s cannot be changed while the container runs: %w", field, errdefs.ErrNotImplemented))
		}
	}
	if m := r.Memory; m != nil {
		refuse("memory.limit", value(m.Limit) != 0)
		refuse("memory.reservation", value(m.Reservation) != 0)
	}
	if c := r.CPU; c != nil {
		refuse("cpu.count", value(c.Count) != 0)
		refuse("cpu.shares", value(c.Shares) != 0)
		refuse("cpu.percent", value(c.Percent) != 0)
		refuse("cpu.maximum", value(c.Maximum) != 0)
	}
	if s := r.Storage; s != nil {
		refuse("storage.iops", value(s.Iops) != 0)
		refuse("storage.bps", value(s.Bps) != 0)
		refuse("storage.sandbox_size", value(s.SandboxSize) != 0)
	}
	if n := r.Network; n != nil {
		refuse("network.bandwidth", value(n.Bandwidth) != 0)
	}
	return errors.Join(problems...)
}
