package libcontainerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
)

// What has happened to a container, as StateInfo.State names it.
const (
	StateStart        = "start-container" // it runs; told from inside Create, or after a restart
	StatePause        = "pause"           // it is frozen; told from inside Pause
	StateResume       = "resume"          // it runs on; told from inside Resume, or Signal
	StateExit         = "exit"            // it has ended, and its compute system with it
	StateRestart      = "restart"         // it has ended, and is about to start again
	StateRestore      = "restore"         // Restore has taken it up; told from inside Restore
	StateStartProcess = "start-process"   // never told: AddProcess returns instead
	StateExitProcess  = "exit-process"    // an exec'd process has ended
	StateOOM          = "oom"             // never told: HCS does not report it
)

// InitFriendlyName is the friendly name of a container's init process.
const InitFriendlyName = "init"

// UnknownExitCode is the exit code of a process whose exit code HCS does not tell.
const UnknownExitCode uint32 = 0xffffffff

// RestoreExitCode is the exit code with which Restore reports a container that it
// does not take up again. Engines have known it since 2016.
const RestoreExitCode uint32 = 1 << 31

// Signals that Client.Signal and Client.SignalProcess tell apart. Any other
// positive number means the same as SignalTerminate.
const (
	SignalCheck     = 0  // only checks that the container or the process runs
	SignalKill      = 9  // ends it at once
	SignalTerminate = 15 // asks the container to shut down; kills an exec'd process
)

// What Client.State answers.
const (
	StatusCreating   = "creating"   // Create or Restore has not returned yet
	StatusRunning    = "running"    // the init process runs
	StatusPaused     = "paused"     // Pause has frozen it
	StatusExiting    = "exiting"    // it has ended, its exit is not reported yet
	StatusRestarting = "restarting" // it waits for the restart manager to let it start again
)

// ErrMayStillRun is in the chain of StateInfo.Err of an exit, or of the error of a Create,
// whose compute system may still be there, because HCS refused to end it or did not answer. The scratch
// must not be unmounted yet. The client goes on trying to end the system; see
// EndBackend.
var ErrMayStillRun = errors.New("compute system may still be there: hint: keep its scratch mounted until hcsrun ps no longer lists it")

// Client runs the containers of one engine. Its methods may be called
// concurrently, and from inside a callback of the Backend.
//
// Every method answers an id it does not know with errdefs.ErrNotFound.
//
// None waits for ever for an HCS that does not answer: the error is of kind
// deadline exceeded then, and what HCS does later all the same is undone. With C,
// T and G for the call timeout, the terminate timeout and the grace (see
// WithCallTimeout, WithTerminateTimeout, WithGrace) a method takes at most
//
//	Create                C for each call into HCS; T + G for a former life to end and free the id; T + 4G to undo what was done;
//	                      with WithMaxConcurrentStarts until it is its turn
//	Signal                C; for a paused container 2C, and C more while a Pause or Resume is under way; 9: 2T; 0: nothing
//	AddProcess            C for each of its two calls, then C + 3G to undo them
//	SignalProcess, Resize, Pause, Stats, Summary, Info    C
//	Resume                C, and C more while a Signal resumes the container
//	Restore               C + T + G, but C + 2G if HCS refuses or does not answer; WithReattach: C for each call besides
//	Reconcile             C + T + G, or until its context is done
//	GetPidsForContainer, UpdateResources, State    nothing: they do not ask HCS
//	Close                 C; a second one C more
//
// and the time that the Backend and the restart manager take for what is called meanwhile.
//
// On Windows hcsshim gives a call up after four minutes, which is before the default
// call timeout, and never tells what HCS made of it. So the client looks:
//
//   - It looks for a compute system that comes late during an hour, and ends it.
//   - Once a pause or a resume was given up, each Pause, Resume, Signal and AddProcess of
//     that container asks HCS for its state, which takes up to 3C more, and reports a
//     change that it finds.
//   - A process that comes late cannot be told from others: Summary lists it, and it ends
//     with its container.
//
// HCS does not always tell that a compute system has stopped. Once a stop was asked for and
// the grace is over, the client asks HCS now and again whether it still lists the system
// as running, and believes the answer. For containers that nobody has signalled it asks
// once a minute, with one list for all of them.
type Client interface {
	// Create creates the container, starts it and its init process, attaches the
	// streams and reports StateStart; all that before it returns. After an error
	// nothing is left of the container. An id in use is errdefs.ErrAlreadyExists,
	// a bad spec errdefs.ErrInvalidArgument.
	Create(containerID string, spec Spec, options ...CreateOption) error

	// Signal ends the container: 9 (SIGKILL) terminates its compute system, any
	// other signal shuts it down gracefully; 0 only checks that it runs. It does not
	// wait for the exit. A paused container is resumed before it is shut down. While a
	// restart is pending, Signal ends the wait for it; while Create starts the container,
	// Signal ends that start; while Restore takes it up, Restore ends it instead.
	Signal(containerID string, sig int) error

	// SignalProcess ends one process; it does not wait for the exit. For the init
	// process it is Signal. 0 only checks that the process runs.
	SignalProcess(containerID, processFriendlyName string, sig int) error

	// AddProcess starts a process in a running container and attaches its streams.
	// The friendly name must not be in use, else errdefs.ErrAlreadyExists.
	AddProcess(containerID, processFriendlyName string, process Process) error

	// Resize sets the console of a process to width × height characters, 1…65535.
	Resize(containerID, processFriendlyName string, width, height int) error

	// Pause freezes a container with Hyper-V isolation and reports StatePause;
	// under process isolation it is errdefs.ErrNotImplemented.
	Pause(containerID string) error

	// Resume lets a paused container run on and reports StateResume. After a Signal that
	// has resumed the container to shut it down, Resume of one that runs or ends does
	// nothing and succeeds.
	Resume(containerID string) error

	// Restore takes care of a container that an engine before this one left. By
	// default the container is terminated, if it still exists, and reported with
	// StateExit and RestoreExitCode; see WithReattach. StateInfo.Err is nil if Restore has
	// ended it, an errdefs.ErrNotFound if it was gone, and wraps ErrMayStillRun if HCS
	// refuses to end it or does not answer within the grace: then the client goes on
	// trying. An id that this client runs is errdefs.ErrAlreadyExists.
	Restore(containerID string, options ...CreateOption) error

	// Reconcile ends every compute system of owner that is not a container of this
	// client, waits until they are gone, and returns them. An empty owner stands for that
	// of WithOwner; without WithOwner it is an errdefs.ErrInvalidArgument, since the
	// default is also the owner of Docker's containers. An engine calls Reconcile at its
	// start, after the last Restore. Cancelling ctx ends the wait, not the work.
	Reconcile(ctx context.Context, owner string) ([]ComputeSystemInfo, error)

	// Stats returns the resource use of a running container.
	Stats(containerID string) (*Stats, error)

	// GetPidsForContainer returns the pids of the init process and the exec'd
	// ones, in this order.
	GetPidsForContainer(containerID string) ([]int, error)

	// Summary describes the init process, the exec'd ones, and every other process
	// HCS knows of in the container, in this order.
	Summary(containerID string) ([]Summary, error)

	// State returns the state of a container, one of StatusCreating, StatusRunning,
	// StatusPaused, StatusExiting and StatusRestarting. It does not ask HCS.
	State(containerID string) (string, error)

	// UpdateResources changes the limits of a running container. HCS can change
	// none of them with schema 1: any limit that is set is an
	// errdefs.ErrNotImplemented naming the field.
	UpdateResources(containerID string, resources Resources) error

	// Info describes the host: its build, what it can run, and, since HCS is asked
	// for it, that HCS is there. If HCS does not answer the error says why.
	Info() (*Info, error)

	// Close stops watching: containers run on, their streams are closed, no
	// callback begins any more, and every other method fails with
	// errdefs.ErrFailedPrecondition. It waits for the client's goroutines, as
	// long as a call into HCS may take, but not for callbacks that run.
	Close() error
}

// Backend is the engine, as the Client calls it. For one container the state
// changes come one at a time, in the order in which they happened. Its methods may call
// the Client, and may panic: the panic reaches the caller of the method of Client that
// made the callback, and ends the program if a goroutine of the client made it.
//
// StateStart, StatePause, StateResume and StateRestore arrive inside Create, Pause,
// Resume and Restore, in the goroutine of the caller. An engine that holds a lock over
// such a call, and takes the same lock in StateChanged, waits for itself for ever: it
// gives up the lock before the call, or puts the events into a queue.
type Backend interface {
	// StateChanged reports what happened to a container. An error ends a Create
	// that has just reported StateStart; any other is logged, nothing more.
	StateChanged(containerID string, state StateInfo) error

	// AttachStreams hands over the streams of a process: for an init process the
	// name is the container's id. The Backend reads the outputs to their end and
	// closes Stdin; an error ends the process.
	AttachStreams(processFriendlyName string, io IOPipe) error
}

// ProcessBackend is an optional part of a Backend, which tells to which
// container the streams of an exec'd process belong. AttachProcessStreams is called
// instead of AttachStreams for each exec'd process, never for an init process,
// before any exit of that process is reported. An error ends the process.
type ProcessBackend interface {
	AttachProcessStreams(containerID, processFriendlyName string, pid uint32, io IOPipe) error
}

// EndBackend is an optional part of a Backend. ComputeSystemEnded tells that a compute
// system has ended after all, of which an exit, or the error of a Create, had said
// ErrMayStillRun: the scratch may be unmounted now.
type EndBackend interface {
	ComputeSystemEnded(containerID string)
}

// StateInfo is a change of a container's state.
type StateInfo struct {
	State     string    // StateStart, StateExit …
	Pid       uint32    // of the process concerned, 0 if none is
	ExitCode  uint32    // UnknownExitCode if HCS does not tell it
	ProcessID string    // friendly name of the process that ended
	OOMKilled bool      // never set: HCS does not tell
	ExitedAt  time.Time // when the process ended, as far as the client saw
	Err       error     // of an exit: what went wrong at the end, or nil; never why a container failed to start
}

// IOPipe holds the streams of a process. Stdout and Stderr close themselves
// when they have been read to their end; Stderr is nil with Terminal. Closing
// Stdin ends the input of the process.
type IOPipe struct {
	Stdin    io.WriteCloser
	Stdout   io.Reader
	Stderr   io.Reader
	Terminal bool
}

// Summary describes one process of a container.
type Summary struct {
	Pid     uint32
	Name    string // friendly name, "" for a process that nobody named
	Command string // init: its program; exec'd: its command line; else: image name

	// The rest is what HCS knows; zero if it does not know the process.
	ImageName                    string
	CreatedAt                    time.Time
	KernelTime                   time.Duration
	UserTime                     time.Duration
	MemoryCommitBytes            uint64
	MemoryWorkingSetPrivateBytes uint64
	MemoryWorkingSetSharedBytes  uint64
}

// Remote makes clients.
type Remote interface {
	// Client returns a new client for backend.
	Client(backend Backend) (Client, error)

	// Cleanup closes the clients.
	Cleanup()
}

// New returns a Remote for the HCS of the host, or for the one that
// WithComputeService gives. stateDir is not used on Windows, and may be empty.
func New(stateDir string, options ...RemoteOption) (Remote, error) {
	r := &remote{settings: defaultSettings()}
	for _, o := range options {
		if o == nil {
			return nil, fmt.Errorf("option is nil: %w", errdefs.ErrInvalidArgument)
		}
		if err := o.Apply(r); err != nil {
			return nil, err
		}
	}
	if r.settings.service == nil {
		service, err := hostService()
		if err != nil {
			return nil, err
		}
		r.settings.service = service
	}
	return r, nil
}

// NewClient is New and Client in one, for an engine with a single Backend.
func NewClient(backend Backend, options ...RemoteOption) (Client, error) {
	r, err := New("", options...)
	if err != nil {
		return nil, err
	}
	return r.Client(backend)
}

type remote struct {
	settings settings

	mu      sync.Mutex // guards following
	clients []*client
}

func (r *remote) Client(backend Backend) (Client, error) {
	if backend == nil {
		return nil, fmt.Errorf("backend is nil: %w", errdefs.ErrInvalidArgument)
	}
	c := &client{
		settings:   r.settings,
		forgetMe:   r.forget,
		closing:    make(chan struct{}),
		closeDone:  make(chan struct{}),
		containers: make(map[string]*container),
	}
	if n := r.settings.maxStarts; n > 0 {
		c.starts = make(starts, n)
	}
	c.gate.backend, c.gate.tasks = backend, &c.tasks
	c.leftovers.client = c
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, c)
	return c, nil
}

// forget drops a client that is closed.
func (r *remote) forget(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = slices.DeleteFunc(r.clients, func(other *client) bool { return other == c })
}

func (r *remote) Cleanup() {
	r.mu.Lock()
	clients := slices.Clone(r.clients)
	r.mu.Unlock()
	for _, c := range clients {
		if err := c.Close(); err != nil {
			c.logger.WithError(err).Warn("client did not close in time")
		}
	}
}

type client struct {
	settings
	gate     gate
	forgetMe func(*client) // tells the Remote that the client is closed

	tasks     tasks         // what Close waits for
	slots     sync.Pool     // of *slot
	starts    starts        // containers that are starting, if their number is limited
	lingering lingering     // output that is not read to its end
	leftovers leftovers     // compute systems that did not end when they should
	closing   chan struct{} // closed by Close, right after the gate is shut
	closeDone chan struct{} // closed when the first Close is over

	systems question[noHandle, listing]
	info    question[noHandle, Info]

	mu          sync.RWMutex // guards following
	containers  map[string]*container
	patrolling  bool        // a patrol is due or under way
	patrolTimer *time.Timer // of the next patrol
}

var errInUse = fmt.Errorf("container id is in use: %w", errdefs.ErrAlreadyExists)

var errClosed = fmt.Errorf("client is closed: %w", errdefs.ErrFailedPrecondition)

// enter counts a method that makes calls into HCS, or of the Backend, so that Close
// waits for it. The caller counts it out.
func (c *client) enter(op, containerID string) error {
	c.tasks.add(1)
	if c.isClosed() {
		c.tasks.add(-1)
		return newError(op, containerID, "", errClosed)
	}
	return nil
}

func (c *client) Create(containerID string, spec Spec, options ...CreateOption) error {
	if err := c.enter(OpCreate, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.reserve(OpCreate, containerID, options)
	if err != nil {
		return err
	}
	up := false
	defer func() { // also if the Backend panics
		if !up {
			c.remove(ctr)
		}
	}()
	if err := ctr.create(&spec); err != nil {
		return err
	}
	up = true
	return nil
}

func (c *client) AddProcess(containerID, processFriendlyName string, process Process) error {
	if err := c.enter(OpExec, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpExec, containerID)
	if err != nil {
		return err
	}
	return ctr.addProcess(processFriendlyName, &process)
}

func (c *client) Signal(containerID string, sig int) error {
	if err := c.enter(OpSignal, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpSignal, containerID)
	if err != nil {
		return err
	}
	if sig < 0 {
		return newError(OpSignal, containerID, "", fmt.Errorf("signal %d: %w", sig, errdefs.ErrInvalidArgument))
	}
	return ctr.signal(sig)
}

func (c *client) SignalProcess(containerID, processFriendlyName string, sig int) error {
	if processFriendlyName == InitFriendlyName {
		return c.Signal(containerID, sig)
	}
	if err := c.enter(OpSignal, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpSignal, containerID)
	if err != nil {
		return err
	}
	if sig < 0 {
		return newError(OpSignal, containerID, processFriendlyName, fmt.Errorf("signal %d: %w", sig, errdefs.ErrInvalidArgument))
	}
	return ctr.signalProcess(processFriendlyName, sig)
}

func (c *client) Resize(containerID, processFriendlyName string, width, height int) error {
	if err := c.enter(OpResize, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpResize, containerID)
	if err != nil {
		return err
	}
	return ctr.resize(processFriendlyName, width, height)
}

func (c *client) Pause(containerID string) error {
	if err := c.enter(OpPause, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpPause, containerID)
	if err != nil {
		return err
	}
	return ctr.pauses.pause()
}

func (c *client) Resume(containerID string) error {
	if err := c.enter(OpResume, containerID); err != nil {
		return err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpResume, containerID)
	if err != nil {
		return err
	}
	return ctr.pauses.resume()
}

func (c *client) Stats(containerID string) (*Stats, error) {
	if err := c.enter(OpStats, containerID); err != nil {
		return nil, err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpStats, containerID)
	if err != nil {
		return nil, err
	}
	return ctr.stats()
}

func (c *client) GetPidsForContainer(containerID string) ([]int, error) {
	ctr, err := c.find(OpListProcesses, containerID)
	if err != nil {
		return nil, err
	}
	list, _ := ctr.processes.running()
	pids := make([]int, len(list))
	for i, p := range list {
		pids[i] = int(p.pid)
	}
	return pids, nil
}

func (c *client) Summary(containerID string) ([]Summary, error) {
	if err := c.enter(OpListProcesses, containerID); err != nil {
		return nil, err
	}
	defer c.tasks.add(-1)
	ctr, err := c.find(OpListProcesses, containerID)
	if err != nil {
		return nil, err
	}
	return ctr.summary()
}

func (c *client) State(containerID string) (string, error) {
	ctr, err := c.find(OpState, containerID)
	if err != nil {
		return "", err
	}
	ctr.mu.Lock()
	defer ctr.mu.Unlock()
	return ctr.phase.status(), nil
}

func (c *client) UpdateResources(containerID string, resources Resources) error {
	if _, err := c.find(OpUpdate, containerID); err != nil {
		return err
	}
	if err := resources.unchangeable(); err != nil {
		return newError(OpUpdate, containerID, "", err)
	}
	return nil
}

func (c *client) Close() error {
	if c.gate.shut.CompareAndSwap(false, true) {
		defer close(c.closeDone)
		return c.close()
	}
	<-c.closeDone
	return c.awaitTasks() // the first one may have given up
}

// close lets go of the containers, and waits until nothing runs. The gate is shut.
func (c *client) close() error {
	close(c.closing)
	c.forgetMe(c)
	c.stopPatrol()
	c.leftovers.stop()
	for _, ctr := range c.all() {
		ctr.detach()
	}
	defer c.lingering.cut()
	defer letAllBegin(&c.gate)
	return c.awaitTasks()
}

// awaitTasks waits until nothing runs any longer.
func (c *client) awaitTasks() error {
	if n := c.tasks.wait(c.callTimeout); n > 0 {
		return newError(OpClose, "", "", fmt.Errorf("%d calls have not come back from HCS: %w", n, errTimeout(c.callTimeout)))
	}
	return nil
}

// all lists the containers of the table.
func (c *client) all() []*container {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Values(c.containers))
}

// log is the logger, for what concerns one container.
func (c *client) log(containerID string) *logrus.Entry {
	if containerID == "" {
		return c.logger
	}
	return c.logger.WithField("container", containerID)
}

// isClosed reports whether Close has begun.
func (c *client) isClosed() bool { return c.gate.shut.Load() }

// reserve takes containerID, so that nobody else can, before HCS is asked.
func (c *client) reserve(op, containerID string, options []CreateOption) (*container, error) {
	settings, err := applyCreateOptions(options)
	if err != nil {
		return nil, newError(op, containerID, "", err)
	}
	if fault := idFault(containerID); fault != "" {
		return nil, newError(op, containerID, "", invalid("container id", "%s", fault))
	}
	ctr := newContainer(c, containerID, settings)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.inUseLocked(containerID); err != nil {
		return nil, newError(op, containerID, "", err)
	}
	ctr.former = c.containers[containerID]
	c.containers[containerID] = ctr
	return ctr, nil
}

// find returns a container of the table.
func (c *client) find(op, containerID string) (*container, error) {
	if c.isClosed() {
		return nil, newError(op, containerID, "", errClosed)
	}
	c.mu.RLock()
	ctr := c.containers[containerID]
	c.mu.RUnlock()
	if ctr == nil || ctr.exitBegun.Load() {
		return nil, newError(op, containerID, "", fmt.Errorf("no such container: %w", errdefs.ErrNotFound))
	}
	return ctr, nil
}

// inUseLocked returns an error if the id belongs to a container, or may; c.mu is held.
// It is free from the moment at which the callback of the exit begins.
func (c *client) inUseLocked(id string) error {
	if c.isClosed() {
		return errClosed // the containers that it had run on
	}
	if ctr := c.containers[id]; ctr != nil && !ctr.exitBegun.Load() {
		return errInUse
	}
	return nil
}

// inUse is inUseLocked, as the reason not to end the system that HCS has under id.
func (c *client) inUse(id string) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return newError(OpTerminate, id, "", c.inUseLocked(id))
}

// remove takes ctr out of the table. Its id may belong to the next life already. If the
// exit of the former life is still being told, that one comes back, for the next life to
// be kept from overtaking it.
func (c *client) remove(ctr *container) {
	ctr.mu.Lock()
	ctr.moveLocked(gone)
	ctr.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	ctr.removed = true
	switch former := ctr.former; {
	case c.containers[ctr.id] != ctr:
	case former != nil && !former.removed:
		c.containers[ctr.id] = former
	default:
		delete(c.containers, ctr.id)
	}
}
