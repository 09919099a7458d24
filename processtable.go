package libcontainerd

import (
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// processTable has the exec'd processes of a container. Each is in it from before HCS is
// asked for it until the Backend is told its exit.
type processTable struct {
	ctr *container

	// guarded by container.mu:
	byName map[string]*process
	order  []*process // in the order of their start
	seq    int        // counts them
}

// reserve takes the friendly name, so that nobody else can, before HCS is asked.
func (t *processTable) reserve(name string, plan *processPlan) (*process, error) {
	ctr := t.ctr
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	other := t.byName[name]
	switch {
	case name == InitFriendlyName, other != nil && !other.exitBegun.Load():
		return nil, newError(OpExec, ctr.id, name, fmt.Errorf("friendly name is in use: %w", errdefs.ErrAlreadyExists))
	case ctr.phase != running:
		return nil, newError(OpExec, ctr.id, name, ctr.notRunningLocked())
	case !ctr.handed.Load():
		return nil, newError(OpExec, ctr.id, name, errNotRunning(creating))
	}
	if plan.config.WorkingDirectory == "" {
		plan.config.WorkingDirectory = ctr.workingDir
	}
	p := newProcess(ctr, ctr.system, name, plan)
	t.seq++
	p.seq = t.seq
	if t.byName == nil {
		t.byName = make(map[string]*process)
	}
	t.byName[name] = p
	t.order = append(t.order, p)
	return p, nil
}

// forgetLocked takes p out of the table; ctr.mu is held.
func (t *processTable) forgetLocked(p *process) {
	if t.byName[p.name] == p {
		delete(t.byName, p.name)
	}
	bySeq := func(a, b *process) int { return a.seq - b.seq }
	if i, ok := slices.BinarySearchFunc(t.order, p, bySeq); ok {
		t.order = slices.Delete(t.order, i, i+1)
	}
}

// find returns a process of the container, its init process included.
func (t *processTable) find(op, name string) (*process, error) {
	ctr := t.ctr
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	p := t.byName[name]
	isInit := name == InitFriendlyName
	if isInit {
		p = ctr.init
	}
	var err error
	switch {
	case isInit && !ctr.phase.isUp(), ctr.phase == creating, ctr.phase == restarting:
		err = ctr.notRunningLocked()
	case p == nil || p.exitBegun.Load():
		err = fmt.Errorf("no such process: %w", errdefs.ErrNotFound)
	case p.state == concluded:
		err = errEnded
	case p.handle == nil:
		err = fmt.Errorf("process is being created: %w", errdefs.ErrFailedPrecondition)
	}
	return p, newError(op, ctr.id, name, err)
}

// errEnded is a process that has ended, of which the Backend does not know yet.
var errEnded = fmt.Errorf("process has ended: %w", errdefs.ErrNotFound)

// running lists the processes that run, as far as is known, the init process first, and
// the system that they run in.
func (t *processTable) running() (list []*process, s *system) {
	ctr := t.ctr
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	list = make([]*process, 0, 1+len(t.order))
	if ctr.phase.isUp() {
		list = append(list, ctr.init)
	}
	for _, p := range t.order {
		if p.pid != 0 && p.state != concluded && p.system == ctr.system {
			list = append(list, p)
		}
	}
	return list, ctr.system
}

// collect waits until the exits of the exec'd processes are queued, and gives up those
// that HCS does not tell until deadline. One that is not attached yet never will be. The
// handles of those that are given up have the grace to close, all together.
func (t *processTable) collect(deadline time.Time) {
	c := t.ctr.client
	t.ctr.mu.Lock()
	execs := slices.Clone(t.order)
	t.ctr.mu.Unlock()
	var lost []*handle[ComputeProcess]
	for _, p := range execs {
		if !p.isAttached() || c.await(p.done, time.Until(deadline)) {
			continue
		}
		if h := p.lose(); h != nil {
			lost = append(lost, h)
		}
	}
	closed := time.Now().Add(c.grace)
	for _, h := range lost {
		h.closeWait(c, time.Until(closed))
	}
}
