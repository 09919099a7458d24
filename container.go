package libcontainerd

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
)

// container is one container, from the reservation of its id to its exit, restarts
// included: each start makes another system and another init process.
type container struct {
	client *client
	id     string
	createSettings

	former    *container  // the former life of the id, if its exit is being told; nil once that has begun
	removed   bool        // from the table; guarded by client.mu
	exitBegun atomic.Bool // the callback of the exit has begun: the id is free
	exitEnded atomic.Bool // the callback of the exit has ended
	handed    atomic.Bool // the hand-over of the init process's streams has begun: execs may follow
	handedEnd atomic.Bool // it has ended

	mu         sync.Mutex // guards following
	phase      phase      // changed by moveLocked only
	events     events
	plan       *plan         // nil until it is made, and once it is not needed any longer
	isolation  Isolation     // "" until the plan is made
	workingDir string        // of the init process
	starting   bool          // Create, Restore or a restart is at work; the end of the container waits for it
	endSeen    bool          // the container has ended while starting
	cancelled  bool          // a start, or the wait for a restart, is to stop
	cancel     chan struct{} // closed when cancelled is set; nil unless somebody waits
	signalled  bool          // by Signal, which calls the restart manager's Cancel
	deciding   bool          // the restart manager is being asked
	system     *system       // nil until HCS has made it
	init       *process      // nil until it runs
	processes  processTable
	pauses     pauses
}

// plan is what is needed to start the container, made before anything is created.
type plan struct {
	document *containerInit // nil after a reattach without a restart manager
	build    uint16         // of the host
	retry    RetryPolicy
	hyperv   bool
	process  *processPlan
	warnings []string // of what HCS will not honour
}

func newContainer(c *client, id string, settings createSettings) *container {
	ctr := &container{
		client:         c,
		id:             id,
		createSettings: settings,
		starting:       true,
	}
	ctr.events = events{client: c, id: id, mu: &ctr.mu, held: true}
	ctr.pauses.ctr, ctr.processes.ctr = ctr, ctr
	return ctr
}

// create makes the container from spec and runs it. After an error nothing of it is
// left but its id in the table.
func (ctr *container) create(spec *Spec) error {
	plan, err := ctr.makePlan(OpCreate, spec)
	if err != nil {
		return err
	}
	ctr.setPlan(plan)
	return ctr.bringUp()
}

// makePlan translates spec. It asks the ComputeService only for facts.
func (ctr *container) makePlan(op string, spec *Spec) (*plan, error) {
	c := ctr.client
	p, err := bounded(&pending[noHandle, *plan]{client: c, f: func() (*plan, error) {
		host := c.service.Host()
		if err := spec.validate(host); err != nil {
			return nil, err
		}
		doc, warnings, err := translate(ctr.id, spec, c.service, host, documentOptions{c.owner, c.terminateOnClose})
		if err != nil {
			return nil, err
		}
		return &plan{
			document: doc,
			build:    host.Build,
			retry:    c.retryPolicy(host),
			hyperv:   spec.Windows.HvRuntime != nil,
			process:  planProcess(&spec.Process),
			warnings: warnings,
		}, nil
	}}, c.callTimeout)
	if err != nil {
		return nil, newError(op, ctr.id, "", err)
	}
	for _, w := range p.warnings {
		ctr.log().Warn(w)
	}
	return p, nil
}

func (ctr *container) setPlan(p *plan) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.plan = p
	ctr.isolation = IsolationProcess
	if p.hyperv {
		ctr.isolation = IsolationHyperV
	}
	ctr.workingDir = p.process.config.WorkingDirectory
}

// retryPolicy is the one that holds for creations on this host.
func (c *client) retryPolicy(host Host) RetryPolicy {
	switch {
	case c.retry != nil:
		return *c.retry
	case host.TP4:
		return TP4RetryPolicy()
	}
	return RetryPolicy{}
}

// bringUp starts the container and announces it to the Backend. Whatever fails, or
// panics, is undone. The error wraps ErrMayStillRun if HCS does not end what was begun.
func (ctr *container) bringUp() (err error) {
	done := false
	defer func() {
		if done {
			return
		}
		ctr.undo()
		if err != nil && ctr.client.leftovers.mayRun(ctr.id) {
			err = join(err, ErrMayStillRun)
		}
	}()
	if err := ctr.boot(); err != nil {
		return err
	}
	if err := ctr.announce(); err != nil {
		return err
	}
	done = true
	ctr.started()
	return nil
}

// boot creates the compute system, starts it, and starts the init process.
func (ctr *container) boot() error {
	if err := ctr.client.starts.enter(ctr.cancelChan, ctr.client.closing); err != nil {
		return newError(OpCreate, ctr.id, "", err)
	}
	defer ctr.client.starts.leave()
	system, err := ctr.createSystem()
	if err != nil {
		return err
	}
	s := ctr.adopt(system)
	ctr.client.leftovers.released(ctr.id, ctr.client.leftovers.claim(ctr.id)) // the id has been free
	if err := request(ctr.client, s.handle, s.op(OpStart), ctr.client.callTimeout, ComputeSystem.Start, nil); err != nil {
		return err
	}
	if err := ctr.proceed(); err != nil {
		return err
	}
	init := newProcess(ctr, s, InitFriendlyName, ctr.plan.process)
	init.command = ctr.plan.process.program
	err = init.launch()
	if err == nil {
		err = ctr.run(init, StateStart, false)
	}
	if err != nil {
		init.drop() // it ends with its system
	}
	return err
}

// adopt makes system the container's, and watches it.
func (ctr *container) adopt(compute ComputeSystem) *system {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.system = newSystem(ctr.client, ctr.id, compute, ctr)
	if ctr.plan != nil {
		ctr.system.build = ctr.plan.build
	}
	return ctr.system
}

// run makes init the init process of a container that runs, or is paused already. That is
// told with state once the Backend has the streams.
func (ctr *container) run(init *process, state string, isPaused bool) error {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if err := ctr.proceedLocked(); err != nil {
		return err
	}
	ctr.init = init
	ctr.moveLocked(running, event{info: StateInfo{State: state, Pid: init.pid}})
	if isPaused {
		ctr.moveLocked(paused)
	}
	return nil
}

// announce hands the streams and the start over to the Backend.
func (ctr *container) announce() error {
	ctr.letFormerBegin()
	if err := ctr.init.attach(); err != nil {
		return err
	}
	start, _ := ctr.events.pop()
	if err := ctr.events.tell(start); err != nil {
		return newError(OpStateChange, ctr.id, "", err)
	}
	return nil
}

// letFormerBegin keeps the first callback from overtaking the exit of the former life.
func (ctr *container) letFormerBegin() {
	if ctr.former != nil {
		letOtherBegin(&ctr.former.exitEnded)
		ctr.former = nil
	}
}

// started lets the container be ended, and its events be delivered. A client that was
// closed meanwhile lets go of it.
func (ctr *container) started() {
	c, s, init := ctr.client, ctr.system, ctr.init
	ctr.forgetPlan()
	s.count()
	c.tasks.add(1)
	go ctr.watchInit(init)
	ctr.mu.Lock()
	ctr.starting, ctr.events.held = false, false
	ended := ctr.endSeen
	if !c.isClosed() {
		ctr.events.passTurnLocked()
	}
	ctr.mu.Unlock()
	if c.isClosed() {
		ctr.detach()
		return
	}
	if ended {
		c.tasks.start(func() { ctr.end(s) })
	}
	c.patrol()
}

// forgetPlan drops the plan of a container that runs, unless it may be started again: then
// writes must be flushed, which a first boot need not do.
func (ctr *container) forgetPlan() {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if ctr.restartManager == nil {
		ctr.plan = nil
		return
	}
	if doc := ctr.plan.document; doc.IgnoreFlushesDuringBoot {
		again := *doc
		again.IgnoreFlushesDuringBoot = false
		ctr.plan.document = &again
	}
}

// createSystem creates the compute system, again and again as the retry policy has
// it, and for as long as a former life takes to free the id.
func (ctr *container) createSystem() (ComputeSystem, error) {
	c := ctr.client
	taken := soon(c.grace)
	for attempt := 1; ; {
		if err := ctr.proceed(); err != nil {
			return nil, err
		}
		system, err := ctr.tryCreate(attempt)
		if err == nil {
			return system, nil
		}
		if isIDTaken(err) {
			if !c.leftovers.clear(ctr.id) {
				return nil, err
			}
			pause, more := taken.next() // from the first time that the former life had ended
			if !more {
				return nil, err
			}
			ctr.rest(pause)
			continue
		}
		c.leftovers.sweep(ctr.id, err)
		if !ctr.plan.retry.again(attempt, err) {
			return nil, err
		}
		ctr.log().WithFields(logrus.Fields{"attempt": attempt, "attempts": ctr.plan.retry.Attempts}).
			WithError(err).Warn("creating the compute system failed, trying again")
		ctr.rest(ctr.plan.retry.delay(attempt))
		attempt++
	}
}

// tryCreate asks HCS once.
func (ctr *container) tryCreate(attempt int) (ComputeSystem, error) {
	c := ctr.client
	doc, build := ctr.plan.document, ctr.plan.build // a late call finds them, too
	op := Operation{Op: OpCreate, ContainerID: ctr.id, Attempt: attempt}
	return call(c, op, c.callTimeout,
		func() (ComputeSystem, error) { return present(doc.create(c.service, ctr.id, build)) },
		func(system ComputeSystem, err error) { c.leftovers.disposeLate(ctr.id, system, err) })
}

// errCancelled ends a start that was signalled before the container ran.
var errCancelled = fmt.Errorf("signalled before it ran: %w", errdefs.ErrAborted)

// proceed returns an error if a start is not to go on.
func (ctr *container) proceed() error {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	return ctr.proceedLocked()
}

// proceedLocked is proceed; ctr.mu is held.
func (ctr *container) proceedLocked() error {
	switch {
	case ctr.client.isClosed():
		return newError(OpCreate, ctr.id, "", errClosed)
	case ctr.cancelled:
		return newError(OpCreate, ctr.id, "", errCancelled)
	}
	return nil
}

// cancelLocked stops a start, or the wait for a restart; ctr.mu is held.
func (ctr *container) cancelLocked() {
	if !ctr.cancelled && ctr.cancel != nil {
		close(ctr.cancel)
	}
	ctr.cancelled = true
}

// cancelChan returns a channel that is closed to stop a start, or the wait for a restart.
func (ctr *container) cancelChan() <-chan struct{} {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if ctr.cancel == nil {
		ctr.cancel = make(chan struct{})
		if ctr.cancelled {
			close(ctr.cancel)
		}
	}
	return ctr.cancel
}

// isSignalled reports whether Signal has called the restart manager's Cancel, or will.
func (ctr *container) isSignalled() bool {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	return ctr.signalled
}

// rest waits for d, unless the container is signalled or the client closed.
func (ctr *container) rest(d time.Duration) {
	ctr.client.awaitEither(ctr.cancelChan(), ctr.client.closing, d)
}

// undo ends a start that has failed: nothing is left of it. Exec'd processes that were
// added meanwhile have their exits told.
func (ctr *container) undo() {
	c := ctr.client
	defer ctr.startOver() // also if the Backend panics
	s, init := ctr.endStart()
	if s != nil {
		if err := s.endFailedStart(); err != nil {
			ctr.log().WithError(err).Error("compute system of a failed start does not stop, going on in the background")
			c.leftovers.leave(ctr.id, &claim{ran: true})
		}
		ctr.processes.collect(time.Now().Add(c.grace))
		if init != nil {
			init.drop()
		}
		s.close()
	}
	ctr.events.deliverHeld()
}

// startOver says that nobody starts the container any longer.
func (ctr *container) startOver() {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.starting = false
}

// endStart begins the end of a start that has failed: no exec can be added any longer,
// and of what is queued only the exits of exec'd processes are told.
func (ctr *container) endStart() (*system, *process) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.moveLocked(exiting)
	ctr.events.pending = slices.DeleteFunc(ctr.events.pending, func(e event) bool { return e.info.State != StateExitProcess })
	return ctr.system, ctr.init
}

// detach lets go of the container of a client that is closed: it runs on, unwatched.
// One that is starting is left to whoever starts it.
func (ctr *container) detach() {
	ctr.mu.Lock()
	ctr.cancelLocked()
	if ctr.starting {
		ctr.mu.Unlock()
		return
	}
	ctr.moveLocked(gone)
	init, system := ctr.init, ctr.system
	execs := slices.Clone(ctr.processes.order)
	execs = slices.DeleteFunc(execs, func(p *process) bool { return p.state != live }) // others are left to AddProcess
	ctr.mu.Unlock()
	if init != nil {
		init.letGo()
	}
	for _, p := range execs {
		p.letGo()
	}
	if system != nil {
		system.handle.close(ctr.client)
	}
}

// upSystem returns the system of a container that is up, else nil.
func (ctr *container) upSystem() *system {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if !ctr.phase.isUp() || ctr.starting {
		return nil
	}
	return ctr.system
}

// notRunningLocked says why the container cannot do what was asked; ctr.mu is held.
func (ctr *container) notRunningLocked() error { return errNotRunning(ctr.phase) }

func errNotRunning(p phase) error {
	return fmt.Errorf("container is not running but %v: %w", p, errdefs.ErrFailedPrecondition)
}

// op describes a call that concerns the container as a whole.
func (ctr *container) op(name string) Operation {
	return Operation{Op: name, ContainerID: ctr.id}
}

func (ctr *container) log() *logrus.Entry { return ctr.client.log(ctr.id) }
