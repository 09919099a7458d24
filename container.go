package libcontainerd

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
)

// phase is where in its life a container is.
type phase int

const (
	creating   phase = iota // the id is reserved, HCS may be at work
	running                 // the init process runs
	paused                  //
	exiting                 // the init process or the compute system has ended
	restarting              // the restart manager has been asked and is waited for
	gone                    // no longer this object's: ended, replaced or let go
)

func (p phase) String() string {
	return [...]string{"being created", "running", "paused", "exiting", "waiting for its restart", "gone"}[p]
}

// isUp tells whether the init process runs, be it frozen.
func (p phase) isUp() bool { return p == running || p == paused }

// container is one incarnation of a container: a restart makes the next.
type container struct {
	client *client
	id     string
	createSettings
	log    *logrus.Entry
	events *eventQueue

	plan plan // set before HCS is asked

	stopped chan struct{} // closed when the compute system has stopped
	settled chan struct{} // closed when the bring-up is over
	cancel  chan struct{} // closed when a container that does not run yet shall not

	mu          sync.Mutex             // guards following
	system      *handle[ComputeSystem] // nil until HCS has made it, never changed then
	phase       phase
	cancelled   bool                // cancel is closed
	switching   bool                // a pause or a resume is under way
	switches    int                 // counts their beginnings and ends
	suspect     bool                // a pause or a resume was given up: HCS knows phase better, and may yet notify system
	terminating bool                // a Terminate was asked for
	stopErr     error               // why the compute system stopped by itself, set before stopped is closed
	init        *process            // nil until it runs
	execs       map[string]*process // by friendly name
	seq         int                 // counts exec'd processes, to list them in order
	next        *container          // the incarnation that took the place of this one
	leftover    *claim              // on what HCS may have left under the id; nil: nothing
}

// plan is what Create makes of a spec before anything is created: all that is
// needed to start the container, and to start it again.
type plan struct {
	document string
	build    uint16 // of the host
	retry    RetryPolicy
	hyperv   bool
	process  processPlan

	// restart is the document for another start: writes during a first boot need
	// not be flushed, those of later ones must.
	restart string
}

func newContainer(c *client, id string, settings createSettings) *container {
	return &container{
		client:         c,
		id:             id,
		createSettings: settings,
		log:            c.logger.WithField("container", id),
		events:         newEventQueue(c, id),
		stopped:        make(chan struct{}),
		settled:        make(chan struct{}),
		cancel:         make(chan struct{}),
		execs:          make(map[string]*process),
	}
}

// create makes the container from spec and runs it. After an error nothing of it
// is left but its id in the table.
func (ctr *container) create(spec Spec) error {
	p, err := ctr.makePlan(spec)
	if err != nil {
		return err
	}
	ctr.plan = p
	return ctr.bringUp(StateStart, ctr.boot, ctr.undo)
}

// makePlan translates spec. It asks the ComputeService only for facts.
func (ctr *container) makePlan(spec Spec) (plan, error) {
	c := ctr.client
	type result struct {
		plan     plan
		warnings []string
	}
	r, err := bounded(&c.tasks, c.callTimeout, func() (result, error) {
		var r result
		host := c.service.Host()
		if err := spec.validate(host); err != nil {
			return r, err
		}
		doc, warnings, err := translate(ctr.id, &spec, c.service, host, documentOptions{c.owner, c.terminateOnClose})
		if err != nil {
			return r, err
		}
		r.warnings = warnings
		r.plan.build = host.Build
		r.plan.retry = c.retryPolicy(host)
		r.plan.hyperv = spec.Windows.HvRuntime != nil
		r.plan.process = planProcess(&spec.Process)
		if r.plan.document, err = doc.text(); err != nil {
			return r, err
		}
		if ctr.restartManager != nil {
			doc.IgnoreFlushesDuringBoot = false
			r.plan.restart, err = doc.text()
		}
		return r, err
	}, nil)
	for _, w := range r.warnings {
		ctr.log.Warn(w)
	}
	if err != nil {
		return plan{}, newError(OpCreate, ctr.id, "", err)
	}
	return r.plan, nil
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

// bringUp boots the container, hands its streams and its start to the Backend,
// and lets its exits be watched for. Whatever fails is undone.
func (ctr *container) bringUp(state string, boot func() error, undo func()) error {
	err := boot()
	if err == nil {
		err = ctr.announce(state)
	}
	if err != nil {
		undo()
		return err
	}
	close(ctr.settled)
	ctr.events.release()
	ctr.client.tasks.start(ctr.watchInit)
	return nil
}

// boot creates the compute system, starts it, and starts the init process.
func (ctr *container) boot() error {
	system, err := ctr.createSystem()
	if err != nil {
		return err
	}
	ctr.watch(system)
	c := ctr.client
	if err := order(c, ctr.system, ctr.op(OpStart), c.callTimeout, ComputeSystem.Start, nil); err != nil {
		return err
	}
	if err := ctr.proceed(); err != nil {
		return err
	}
	init := newProcess(ctr, InitFriendlyName, ctr.plan.process)
	err = init.launch()
	if err == nil {
		err = ctr.run(init)
	}
	if err != nil {
		init.drop() // it ends with its system
	}
	return err
}

// run makes init the init process of a container that runs.
func (ctr *container) run(init *process) error {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	if err := ctr.proceedLocked(); err != nil {
		return err
	}
	ctr.phase = running
	ctr.init = init
	return nil
}

// announce hands the streams and the start over to the Backend.
func (ctr *container) announce(state string) error {
	if err := ctr.init.attach(ctr.id); err != nil {
		return err
	}
	if err := ctr.client.backend.StateChanged(ctr.id, StateInfo{State: state, Pid: ctr.init.pid}); err != nil {
		return newError(OpStateChange, ctr.id, "", err)
	}
	return nil
}

// createSystem creates the compute system, again and again as the retry policy
// has it, and for as long as a former life takes to free the id.
func (ctr *container) createSystem() (ComputeSystem, error) {
	taken := patience{limit: ctr.client.grace}
	for attempt := 1; ; {
		if err := ctr.proceed(); err != nil {
			return nil, err
		}
		system, err := ctr.tryCreate(attempt)
		if err == nil {
			ctr.forgetLeftover()
			return system, nil
		}
		if isIDTaken(err) {
			if !ctr.clearPreviousLife() {
				return nil, err
			}
			pause, more := taken.next() // from the first time that the former life had ended
			if !more {
				return nil, err
			}
			ctr.rest(pause)
			continue
		}
		ctr.sweep(err)
		if !ctr.plan.retry.again(attempt, err) {
			return nil, err
		}
		ctr.log.WithFields(logrus.Fields{"attempt": attempt, "attempts": ctr.plan.retry.Attempts}).
			WithError(err).Warn("creating the compute system failed, trying again")
		ctr.rest(ctr.plan.retry.delay(attempt))
		attempt++
	}
}

// tryCreate asks HCS once.
func (ctr *container) tryCreate(attempt int) (ComputeSystem, error) {
	c := ctr.client
	op := ctr.op(OpCreate)
	op.Attempt = attempt
	return call(c, op, c.callTimeout, func() (ComputeSystem, error) {
		system, err := c.service.CreateComputeSystem(ctr.id, ctr.plan.document)
		return system, withDocument(err, ctr.plan.document, ctr.plan.build)
	}, ctr.disposeLate)
}

// watch takes charge of system.
func (ctr *container) watch(system ComputeSystem) {
	ctr.mu.Lock()
	ctr.system = newHandle(system)
	ctr.mu.Unlock()
	ctr.client.tasks.start(ctr.watchSystem)
}

// errCancelled ends a bring-up that was signalled before the container ran.
var errCancelled = fmt.Errorf("signalled before it ran: %w", errdefs.ErrAborted)

// proceed tells whether a bring-up is to go on.
func (ctr *container) proceed() error {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	return ctr.proceedLocked()
}

// proceedLocked is proceed; ctr.mu is held.
func (ctr *container) proceedLocked() error {
	switch {
	case ctr.client.isClosing():
		return newError(OpCreate, ctr.id, "", errClosed)
	case ctr.cancelled:
		return newError(OpCreate, ctr.id, "", errCancelled)
	}
	return nil
}

// undo ends a bring-up that failed: nothing is left, and nothing is reported.
func (ctr *container) undo() {
	ctr.events.close()
	ctr.mu.Lock()
	ctr.phase = gone
	init, execs := ctr.init, ctr.execsLocked()
	ctr.mu.Unlock()
	close(ctr.settled)
	if ctr.system == nil {
		return
	}
	ctr.endFailedStart()
	if init != nil {
		init.drop()
	}
	for _, p := range execs {
		p.abandon()
	}
	closeHandle(ctr.client, ctr.system)
}

// watchSystem waits until the compute system has stopped.
func (ctr *container) watchSystem() {
	err := ctr.system.value.Wait()
	if err != nil {
		err = newError(OpWait, ctr.id, "", err)
	}
	ctr.mu.Lock()
	ctr.stopErr = err
	ctr.mu.Unlock()
	close(ctr.stopped)
	select {
	case <-ctr.settled:
		ctr.finishOnce()
	case <-ctr.client.closing: // perhaps from a callback that the bring-up waits for
	}
}

// watchInit waits until the init process has ended.
func (ctr *container) watchInit() {
	ctr.init.wait()
	ctr.finishOnce()
}

// finishOnce ends the container, in the goroutine that first sees it ending.
func (ctr *container) finishOnce() {
	ctr.mu.Lock()
	first := ctr.phase.isUp()
	if first {
		ctr.phase = exiting
	}
	ctr.mu.Unlock()
	if first {
		ctr.finish()
	}
}

// finish stops the compute system, collects the exits of all processes, and
// restarts the container or reports its end.
func (ctr *container) finish() {
	teardown := ctr.stop()
	if teardown != nil {
		ctr.endLater(claimOfLife())
	}
	deadline := time.Now().Add(ctr.client.grace)
	exit := ctr.initExit(teardown, deadline)
	ctr.collectExecs(deadline)
	ctr.init.end()
	closeHandle(ctr.client, ctr.init.handle)
	closeHandle(ctr.client, ctr.system)
	if ctr.client.isClosing() {
		return
	}
	if wait, again := ctr.shouldRestart(exit.ExitCode); again {
		ctr.restart(exit, wait)
		return
	}
	ctr.reportExit(exit)
}

// initExit waits for the init process's exit code, and makes the exit event
// from it and from what went wrong.
func (ctr *container) initExit(teardown error, deadline time.Time) StateInfo {
	exit := ctr.init.exit(StateExit, deadline)
	if teardown != nil {
		exit.Err = join(exit.Err, teardown, ErrMayStillRun)
	}
	return exit
}

// collectExecs waits for the exec'd processes' exits to be reported, and reports
// those that HCS keeps to itself past the deadline.
func (ctr *container) collectExecs(deadline time.Time) {
	ctr.mu.Lock()
	execs := ctr.execsLocked()
	ctr.mu.Unlock()
	for _, p := range execs {
		if !await(p.done, time.Until(deadline)) {
			p.abandon()
		}
	}
}

// crash is why the compute system stopped, if nobody had asked it to.
func (ctr *container) crash() error {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	switch {
	case ctr.stopErr == nil:
		return nil
	case ctr.terminating && !isServiceLost(ctr.stopErr):
		return nil
	}
	return ctr.stopErr
}

// reportExit ends the life of the id. The table knows it no more when the
// Backend hears of it, so that it may be created again at once.
func (ctr *container) reportExit(exit StateInfo) {
	ctr.log.WithFields(logrus.Fields{"exit": exit.ExitCode, "pid": exit.Pid}).Debug("container ended")
	ctr.events.post(event{
		info: exit,
		last: true,
		before: func() {
			ctr.setPhase(gone)
			ctr.client.remove(ctr)
		},
	})
}

// shouldRestart asks the restart manager. One that fails restarts nothing.
func (ctr *container) shouldRestart(exitCode uint32) (wait chan error, again bool) {
	if ctr.restartManager == nil {
		return nil, false
	}
	ctr.client.tasks.apart(func() {
		var err error
		if again, wait, err = ctr.restartManager.ShouldRestart(exitCode); err != nil {
			ctr.log.WithError(err).Error("restart manager failed, container is not restarted")
			again = false
		}
	})
	return wait, again
}

// restart reports the restart, waits until the restart manager lets it begin, and
// makes the next incarnation.
func (ctr *container) restart(exit StateInfo, wait chan error) {
	c := ctr.client
	ctr.setPhase(restarting)
	info := exit
	info.State = StateRestart
	delivered := make(chan struct{})
	ctr.events.post(event{info: info, after: func() { close(delivered) }})
	select {
	case <-delivered:
	case <-c.closing:
		return
	}
	if wait != nil {
		select {
		case err := <-wait:
			if err != nil {
				exit.Err = join(exit.Err, newError(OpRestart, ctr.id, "", err))
				ctr.reportExit(exit)
				return
			}
		case <-ctr.cancel:
		case <-c.closing:
			return
		}
	}
	next, ok := ctr.succeed()
	if !ok {
		return // the client is closed
	}
	var err error
	c.tasks.apart(func() { err = next.bringUp(StateStart, next.boot, next.undo) }) // it calls the Backend
	if err != nil {
		next.reportFailedRestart(exit, err)
	}
}

// succeed puts the next incarnation in ctr's place. A signal that came to ctr
// is one for its successor.
func (ctr *container) succeed() (*container, bool) {
	next := newContainer(ctr.client, ctr.id, ctr.createSettings)
	next.plan = ctr.plan
	next.plan.document = ctr.plan.restart
	if !ctr.client.replace(ctr, next) {
		return nil, false
	}
	ctr.mu.Lock()
	cancelled, leftover := ctr.cancelled, ctr.leftover
	ctr.phase = gone
	ctr.next = next
	ctr.mu.Unlock()
	if leftover != nil {
		next.endLater(leftover)
	}
	if cancelled {
		next.cancelBringUp()
	}
	return next, true
}

// reportFailedRestart reports the end of a container that could not be created
// again: with the last exit if a signal was the reason, else as unknown.
func (ctr *container) reportFailedRestart(last StateInfo, err error) {
	c := ctr.client
	if c.isClosing() {
		return
	}
	exit := last
	if !errors.Is(err, errCancelled) {
		exit = StateInfo{State: StateExit, ExitCode: UnknownExitCode, ProcessID: InitFriendlyName, ExitedAt: time.Now(), Err: err}
	}
	c.remove(ctr)
	c.tasks.apart(func() { c.stateChanged(ctr.id, exit) })
}

// detach lets go of the container: it runs on, unwatched. One that does not run
// yet is undone by whoever brings it up.
func (ctr *container) detach() {
	ctr.cancelBringUp()
	ctr.events.close()
	ctr.mu.Lock()
	if ctr.phase == creating {
		ctr.mu.Unlock()
		return
	}
	ctr.phase = gone
	init, execs, system := ctr.init, ctr.execsLocked(), ctr.system
	ctr.mu.Unlock()
	if init != nil {
		init.letGo()
	}
	for _, p := range execs {
		p.letGo()
	}
	if system != nil {
		system.close(ctr.client)
	}
}

// cancelBringUp keeps a container that does not run yet from running.
func (ctr *container) cancelBringUp() {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.cancelBringUpLocked()
}

// cancelBringUpLocked is cancelBringUp; ctr.mu is held.
func (ctr *container) cancelBringUpLocked() {
	if !ctr.cancelled {
		ctr.cancelled = true
		close(ctr.cancel)
	}
}

func (ctr *container) setPhase(p phase) {
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	ctr.phase = p
}

// op describes a call that concerns the container as a whole.
func (ctr *container) op(name string) Operation {
	return Operation{Op: name, ContainerID: ctr.id}
}

// isClosed tells whether done is closed.
func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// await waits for done, for no longer than limit.
func await(done <-chan struct{}, limit time.Duration) bool {
	if isClosed(done) {
		return true
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// rest waits for d, unless the container is signalled or the client closed.
func (ctr *container) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctr.cancel:
	case <-ctr.client.closing:
	}
}
