package libcontainerd

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
)

// addProcess starts an exec'd process. After an error nothing is left of it.
func (ctr *container) addProcess(name string, spec *Process) error {
	if name == "" {
		return newError(OpExec, ctr.id, name, fmt.Errorf("friendly name is empty: %w", errdefs.ErrInvalidArgument))
	}
	if err := spec.validate(); err != nil {
		return newError(OpExec, ctr.id, name, err)
	}
	ctr.pauses.learn()
	p, err := ctr.processes.reserve(name, planProcess(spec))
	if err != nil {
		return err
	}
	added := false
	defer func() { // also if the Backend panics
		if !added {
			p.discard()
		}
	}()
	if err := p.bringUp(); err != nil {
		return err
	}
	added = true
	ctr.client.tasks.add(1)
	go p.watch()
	return nil
}

// bringUp starts the process and hands its streams over.
func (p *process) bringUp() error {
	if err := p.launch(); err != nil {
		return err
	}
	if err := p.enter(attaching); err != nil {
		return err
	}
	if err := p.attach(); err != nil {
		return err
	}
	return p.enter(live)
}

// enter changes the state of a process that is being started. It fails if the process is
// to be given up: the container ends, or is another one by now. Once the streams are
// being handed over, the exit of the container waits for the outcome, up to the grace.
func (p *process) enter(state processState) error {
	ctr := p.container
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	switch {
	case ctr.client.isClosed():
		return newError(OpExec, ctr.id, p.name, errClosed)
	case p.state == concluded, state == attaching && (ctr.system != p.system || !ctr.phase.isUp()):
		return newError(OpExec, ctr.id, p.name, ctr.notRunningLocked())
	}
	p.state = state
	return nil
}

// isAttached reports whether the Backend has the streams, or is being given them, and
// the exit is not queued yet.
func (p *process) isAttached() bool {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	return p.state == attaching || p.state == live
}

// watch waits for the exit of an exec'd process and reports it.
func (p *process) watch() {
	defer p.container.client.tasks.add(-1)
	p.wait()
	won, turn := p.conclude(p.exitInfo(StateExitProcess))
	if won {
		p.release()
	}
	if turn {
		p.container.events.deliver()
	}
}

// lose gives up a process whose container has ended and whose exit HCS does not tell. It
// returns the handle, which is being closed; nil if there is none, or the exit was told.
func (p *process) lose() *handle[ComputeProcess] {
	won, turn := p.conclude(p.lostExit(StateExitProcess))
	if turn {
		p.container.events.deliverInBackground()
	}
	if !won {
		return nil
	}
	return p.letGo()
}

// conclude queues the exit of a process that owes one, and ends its account in the same
// step. It reports false if somebody else has done so, and whether the caller has to
// deliver.
func (p *process) conclude(info StateInfo) (won, turn bool) {
	ctr := p.container
	ctr.mu.Lock()
	if p.state == concluded {
		ctr.mu.Unlock()
		<-p.done
		return false, false
	}
	owed := p.state == live
	if owed {
		turn = ctr.events.pushLocked(event{info: info, exec: p})
	} else {
		ctr.processes.forgetLocked(p)
	}
	p.state = concluded
	ctr.mu.Unlock()
	close(p.done)
	if owed {
		ctr.logExit(info)
	}
	return true, turn
}

// discard ends a process whose start has failed: nobody will learn of it.
func (p *process) discard() {
	ctr := p.container
	ctr.mu.Lock()
	handle, pid := p.handle, p.pid
	ctr.mu.Unlock()
	if handle != nil {
		p.killAndWait(handle, pid)
	}
	p.drop()
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.processes.forgetLocked(p)
	if p.state != concluded {
		p.state = concluded
		close(p.done)
	}
}

// killAndWait kills a process, and again while HCS refuses that, for as long as the
// grace, and waits for its end as long.
func (p *process) killAndWait(handle *handle[ComputeProcess], pid uint32) {
	c := p.container.client
	log := p.log().WithField("pid", pid)
	refused := soon(c.grace)
	for first := true; ; first = false {
		err := request(c, handle, p.op(OpKill), c.callTimeout, ComputeProcess.Kill, nil)
		if errors.Is(err, errGone) {
			return // the container has ended, and the process with it
		}
		if err == nil || isAlreadyStopped(err) {
			break
		}
		if first {
			log.WithError(err).Warn("process of a failed start cannot be killed, trying again")
		}
		pause, more := refused.next()
		if !more || errdefs.IsDeadlineExceeded(err) {
			log.WithError(err).Error("process of a failed start cannot be killed and is given up")
			break
		}
		time.Sleep(pause)
	}
	ended := make(chan struct{})
	c.tasks.start(func() {
		handle.value.Wait()
		close(ended)
	})
	await(ended, c.grace)
}

// forget frees the friendly name.
func (p *process) forget() {
	p.container.mu.Lock()
	defer p.container.mu.Unlock()
	p.container.processes.forgetLocked(p)
}

// op describes a call that concerns the process.
func (p *process) op(name string) Operation {
	return Operation{Op: name, ContainerID: p.container.id, Process: p.name}
}

func (p *process) log() *logrus.Entry { return p.container.log().WithField("process", p.name) }
