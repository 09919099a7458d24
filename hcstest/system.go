package hcstest

import (
	"slices"
	"sync"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// The states of a compute system, as HCS spells them.
const (
	stateCreated = "Created"
	stateRunning = "Running"
	statePaused  = "Paused"
	stateStopped = "Stopped"
)

// Exit codes of processes that did not end by themselves, as far as known.
const (
	killedExit   = 1067       // ERROR_PROCESS_ABORTED
	shutdownExit = 0xc000013a // STATUS_CONTROL_C_EXIT
	unknownExit  = 0xffffffff
)

// system is one compute system.
type system struct {
	svc     *Service
	id      string
	doc     *document
	stopped chan struct{} // closed when it has stopped, after exit is set
	exit    libcontainerd.Code

	firstPid uint32 // of Windows' own processes

	mu        sync.Mutex // guards following
	state     string
	started   time.Time // zero: never
	shutdown  bool      // Resume carries it out
	remnant   bool      // opened after it had stopped
	handles   []*systemHandle
	processes []*process // in the order of their creation; with ended ones to which a handle is open
}

// systemHandle is one handle to a compute system.
type systemHandle struct {
	handle
	sys *system
}

var _ libcontainerd.ComputeSystem = (*systemHandle)(nil)

func newSystem(s *Service, id string, doc *document) *system {
	return &system{
		svc:      s,
		id:       id,
		doc:      doc,
		stopped:  make(chan struct{}),
		firstPid: s.newPids(len(systemProcesses)),
		state:    stateCreated,
	}
}

func (sys *system) call(op Op) Call { return Call{Op: op, ID: sys.id} }

func (sys *system) hasStopped() bool {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	return sys.state == stateStopped
}

func (sys *system) info() libcontainerd.ComputeSystemInfo {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	return libcontainerd.ComputeSystemInfo{ID: sys.id, Owner: sys.doc.Owner, State: sys.state}
}

func (sys *system) open(connection *connection) *systemHandle {
	h := &systemHandle{handle: newHandle(sys.svc, connection), sys: sys}
	sys.mu.Lock()
	defer sys.mu.Unlock()
	sys.handles = append(sys.handles, h)
	sys.remnant = sys.remnant || sys.state == stateStopped
	return h
}

// process finds a process that was created through HCS and still runs.
func (sys *system) process(pid uint32) *process {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	for _, p := range sys.processes {
		if p.pid == pid && !p.ended {
			return p
		}
	}
	return nil
}

// runningLocked is the error of a call that needs a running system.
func (sys *system) runningLocked(c Call) error {
	switch sys.state {
	case stateRunning:
		return nil
	case stateStopped:
		return c.failure(libcontainerd.CodeAlreadyStopped, "")
	}
	return c.failure(libcontainerd.CodeInvalidState, "the system is "+sys.state)
}

// Start boots the system.
func (h *systemHandle) Start() error {
	c := h.sys.call(OpStart)
	return h.call(c, func() error { return h.sys.start(c) })
}

func (sys *system) start(c Call) error {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	if !sys.started.IsZero() {
		sys.svc.violations.add(c, "started twice")
	}
	switch sys.state {
	case stateCreated:
		sys.state = stateRunning
		sys.started = time.Now()
		return nil
	case stateStopped:
		return c.failure(libcontainerd.CodeAlreadyStopped, "")
	}
	return c.failure(libcontainerd.CodeInvalidState, "the system is "+sys.state)
}

// Shutdown ends every process, in the order of their creation, with
// 0xC000013A, and stops the system. A paused system stops when it is resumed.
func (h *systemHandle) Shutdown() error {
	c := h.sys.call(OpShutdown)
	return h.call(c, func() error { return h.sys.askShutdown(c) })
}

func (sys *system) askShutdown(c Call) error {
	sys.mu.Lock()
	state := sys.state
	if state == statePaused {
		sys.shutdown = true
	}
	sys.mu.Unlock()
	switch state {
	case stateCreated:
		return c.failure(libcontainerd.CodeInvalidState, "the system is "+state)
	case stateStopped:
		return sys.tooLate(c)
	case stateRunning:
		sys.stop(shutdownExit)
	}
	return nil
}

// Terminate ends every process with 1067, and stops the system.
func (h *systemHandle) Terminate() error {
	c := h.sys.call(OpTerminate)
	return h.call(c, func() error {
		if h.sys.hasStopped() {
			return h.sys.tooLate(c)
		}
		h.sys.stop(killedExit)
		return nil
	})
}

// tooLate answers a stop of a stopped system.
func (sys *system) tooLate(c Call) error {
	if sys.svc.rawStops {
		return c.failure(libcontainerd.CodeAlreadyStopped, "")
	}
	return nil
}

// stop does what Shutdown and Terminate ask for, at once unless a fault delays
// it.
func (sys *system) stop(exitCode uint32) {
	c := sys.call(OpStop)
	h := sys.svc.fault(c)
	if h == nil {
		sys.end(exitCode, 0)
		return
	}
	go func() {
		_ = h.wait(c, nil, sys.stopped)
		sys.end(exitCode, codeOf(h.Err))
	}()
}

// end stops the system now: its processes end, then its waits. It reports
// whether it had not stopped yet.
func (sys *system) end(exitCode uint32, exit libcontainerd.Code) bool {
	sys.mu.Lock()
	if sys.state == stateStopped {
		sys.mu.Unlock()
		return false
	}
	sys.state = stateStopped
	sys.exit = exit
	processes := slices.Clone(sys.processes)
	sys.mu.Unlock()
	for _, p := range processes {
		p.end(exitCode, exit)
	}
	close(sys.stopped)
	sys.settle()
	return true
}

// settle makes the Service forget the system when nothing of it is left.
func (sys *system) settle() {
	sys.mu.Lock()
	gone := sys.state == stateStopped && len(sys.handles) == 0
	remnant := sys.remnant
	settled := gone && len(sys.processes) == 0
	sys.mu.Unlock()
	if gone && remnant {
		sys.svc.unkeep(sys)
	}
	if settled {
		sys.svc.forget(sys)
	}
}

// Wait blocks until the system has stopped.
func (h *systemHandle) Wait() error {
	c := h.sys.call(OpWait)
	return h.wait(c, func() error {
		select {
		case <-h.sys.stopped:
			return h.sys.exitError(c)
		case <-h.connection.lost:
			return c.failure(libcontainerd.CodeServiceDisconnect, "")
		case <-h.closed:
		}
		return c.failure(libcontainerd.CodeInvalidHandle, "the handle was closed")
	})
}

func (sys *system) exitError(c Call) error {
	if sys.exit == 0 {
		return nil
	}
	return c.failure(sys.exit, "")
}

// Pause freezes a Hyper-V isolated system. The simulated programs run on.
func (h *systemHandle) Pause() error {
	c := h.sys.call(OpPause)
	return h.call(c, func() error { return h.sys.pause(c) })
}

func (sys *system) pause(c Call) error {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	if err := sys.runningLocked(c); err != nil {
		return err
	}
	if !sys.doc.HvPartition {
		return c.failure(libcontainerd.CodeNotSupported, "only Hyper-V isolated systems can be paused")
	}
	sys.state = statePaused
	return nil
}

// Resume ends a Pause.
func (h *systemHandle) Resume() error {
	c := h.sys.call(OpResume)
	return h.call(c, func() error { return h.sys.resume(c) })
}

func (sys *system) resume(c Call) error {
	sys.mu.Lock()
	if sys.state != statePaused {
		defer sys.mu.Unlock()
		switch {
		case sys.state == stateStopped:
			return c.failure(libcontainerd.CodeAlreadyStopped, "")
		case !sys.doc.HvPartition:
			return c.failure(libcontainerd.CodeNotSupported, "only Hyper-V isolated systems can be paused")
		}
		return c.failure(libcontainerd.CodeInvalidState, "the system is "+sys.state)
	}
	sys.state = stateRunning
	shutdown := sys.shutdown
	sys.mu.Unlock()
	if shutdown {
		sys.stop(shutdownExit)
	}
	return nil
}

// Close releases the handle.
func (h *systemHandle) Close() error {
	return h.close(h.sys.call(OpClose), h.release)
}

// discard closes a handle that was not given to anybody.
func (h *systemHandle) discard() {
	if h.abandon() {
		h.release()
	}
}

func (h *systemHandle) release() {
	sys := h.sys
	sys.mu.Lock()
	sys.handles = slices.DeleteFunc(sys.handles, func(other *systemHandle) bool { return other == h })
	last := len(sys.handles) == 0
	sys.mu.Unlock()
	if last && sys.doc.TerminateOnLastHandleClosed {
		sys.end(killedExit, 0)
	}
	sys.settle()
}

// abandon closes every handle to the system and to its processes, and the pipe
// ends that were taken.
func (sys *system) abandon() {
	sys.mu.Lock()
	handles := slices.Clone(sys.handles)
	processes := slices.Clone(sys.processes)
	sys.mu.Unlock()
	for _, p := range processes {
		p.abandon()
	}
	for _, h := range handles {
		h.discard()
	}
}
