package hcstest

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// Service is a simulated HCS. It implements libcontainerd.ComputeService; all
// methods may be called concurrently.
//
// Inside a testing/synctest bubble a Service must be made in that bubble.
type Service struct {
	host       libcontainerd.Host
	hypervisor bool
	utilityVMs []string // layers that have a utility VM, normalised; nil: all have one
	programs   map[string]Program
	rawStops   bool

	record     record
	faults     atomic.Pointer[faults]
	connection atomic.Pointer[connection]
	pids       atomic.Uint32

	violations violations

	mu      sync.Mutex // guards following; taken before system.mu
	systems map[string]*system
	live    map[*system]struct{} // systems of which anything is left
	kept    map[string]bool      // ids of KeepStopped
	idle    chan struct{}        // closed when live has become empty; nil: nobody waits
}

var _ libcontainerd.ComputeService = (*Service)(nil)

// Option changes a Service from its default: a Windows Server 2022 host with
// four processors and Hyper-V, on which every layer has a utility VM.
type Option func(*Service)

// WithBuild sets the Windows build number. Fields of the document that the
// build does not know are refused. 14393 is Server 2016, 17763 Server 2019,
// 20348 Server 2022, 26100 Server 2025.
func WithBuild(build uint16) Option {
	return func(s *Service) { s.host.Build = build }
}

// WithProcessors sets the number of logical processors.
func WithProcessors(n int) Option {
	return func(s *Service) { s.host.Processors = n }
}

// WithTP4 simulates Technical Preview 4, build 10586.
func WithTP4() Option {
	return func(s *Service) { s.host.TP4, s.host.Build = true, 10586 }
}

// WithoutHypervisor simulates a host without Hyper-V: Hyper-V isolation is
// refused with CodeNoHypervisor.
func WithoutHypervisor() Option {
	return func(s *Service) { s.hypervisor = false }
}

// WithUtilityVMs says which layer folders have a "UtilityVM" folder; without
// arguments none has.
func WithUtilityVMs(layerPaths ...string) Option {
	return func(s *Service) {
		s.utilityVMs = make([]string, 0, len(layerPaths))
		for _, path := range layerPaths {
			s.utilityVMs = append(s.utilityVMs, normalPath(path))
		}
	}
}

// WithProgram makes a program known to every container, under the base name of
// its file. Case and ".exe" do not matter. It replaces a default program of the
// same name. A nil program does nothing until it is ended: it is a process
// without a goroutine.
func WithProgram(name string, program Program) Option {
	return func(s *Service) { s.programs[imageKey(name)] = program }
}

// WithRawStops reports the codes that a ComputeService usually hides: Shutdown
// and Terminate of a stopped system answer CodeAlreadyStopped, Kill of an ended
// process CodeProcessStopped, and of one that is being killed CodeAccessDenied.
func WithRawStops() Option {
	return func(s *Service) { s.rawStops = true }
}

// WithCallLimit makes the record keep the newest n calls, by default 10,000. With
// 0 nothing is recorded.
func WithCallLimit(n int) Option {
	return func(s *Service) { s.record.limit = n }
}

// NewService makes a Service for a program that is not a test; see Check. Tests
// use New.
func NewService(options ...Option) *Service {
	s := &Service{
		host:       libcontainerd.Host{Build: 20348, Processors: 4},
		hypervisor: true,
		programs:   defaultPrograms(),
		record:     record{limit: 10_000},
		systems:    map[string]*system{},
		live:       map[*system]struct{}{},
		kept:       map[string]bool{},
	}
	s.faults.Store(newFaults())
	s.connection.Store(newConnection())
	s.pids.Store(1000)
	for _, option := range options {
		option(s)
	}
	return s
}

// TB is the part of testing.TB that New needs.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(func())
}

// settleTime is how long New lets a client close its last handles after the end
// of a test.
const settleTime = 15 * time.Second

// New makes a Service for a test. When the test ends, New ends all faults and
// waits a while. Then the test fails if anything is left over, and for every
// violation of the protocol.
func New(tb TB, options ...Option) *Service {
	tb.Helper()
	s := NewService(options...)
	tb.Cleanup(func() {
		tb.Helper()
		s.Heal()
		if err := s.Settle(settleTime); err != nil {
			tb.Errorf("hcstest: %v", err)
		}
		s.destroy()
	})
	return s
}

// Host describes the simulated machine.
func (s *Service) Host() libcontainerd.Host {
	_ = s.local(Call{Op: OpHost}, func() error { return nil })
	return s.host
}

// layerNamespace is the namespace of the layer ids of the simulator. Windows does
// not publish its own.
const layerNamespace = "hcstest layer "

// Isolations returns both, with WithoutHypervisor only process isolation.
func (s *Service) Isolations() []libcontainerd.Isolation {
	if !s.hypervisor {
		return []libcontainerd.Isolation{libcontainerd.IsolationProcess}
	}
	return []libcontainerd.Isolation{libcontainerd.IsolationProcess, libcontainerd.IsolationHyperV}
}

// LayerID returns a version 5 UUID of name, always the same.
func (s *Service) LayerID(name string) (id string, err error) {
	c := Call{Op: OpLayerID, ID: name}
	err = s.local(c, func() error {
		if name == "" {
			return c.failure(libcontainerd.CodeInvalidParameter, "the name is empty")
		}
		id = uuid5(layerNamespace + name)
		return nil
	})
	return id, err
}

func uuid5(name string) string {
	sum := sha1.Sum([]byte(name))
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	text := hex.EncodeToString(sum[:16])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

// UtilityVM returns the UtilityVM folder of the first layer that has one, see
// WithUtilityVMs.
func (s *Service) UtilityVM(layerPaths []string) (folder string, err error) {
	c := Call{Op: OpUtilityVM}
	err = s.local(c, func() error {
		for _, path := range layerPaths {
			if s.hasUtilityVM(path) {
				folder = strings.TrimRight(path, `\/`) + `\UtilityVM`
				return nil
			}
		}
		return &libcontainerd.Error{
			Op:  c.Op.words(),
			Err: fmt.Errorf("no UtilityVM folder in %d layers: %w", len(layerPaths), errdefs.ErrNotFound),
		}
	})
	return folder, err
}

func (s *Service) hasUtilityVM(layerPath string) bool {
	return s.utilityVMs == nil || slices.Contains(s.utilityVMs, normalPath(layerPath))
}

// normalPath makes paths comparable as Windows compares them.
func normalPath(path string) string {
	return strings.ToLower(strings.TrimRight(strings.ReplaceAll(path, "/", `\`), `\`))
}

// CreateComputeSystem checks the document as HCS would, and creates the system.
// An id is free again as soon as its system has stopped; see KeepStopped.
func (s *Service) CreateComputeSystem(id, configuration string) (libcontainerd.ComputeSystem, error) {
	c := Call{Op: OpCreate, ID: id, Document: configuration}
	return s.handleCall(c, func(connection *connection) (*systemHandle, error) {
		doc, err := s.parseDocument(c)
		if err != nil {
			return nil, err
		}
		return s.create(c, connection, doc)
	})
}

func (s *Service) create(c Call, connection *connection, doc *document) (*systemHandle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Look again: from here on LoseService has to wait.
	if err := connection.check(c); err != nil {
		return nil, err
	}
	if known, ok := s.systems[c.ID]; ok && (s.kept[c.ID] || !known.hasStopped()) {
		return nil, c.failure(libcontainerd.CodeSystemAlreadyExists, "")
	}
	sys := newSystem(s, c.ID, doc)
	s.systems[c.ID] = sys
	s.live[sys] = struct{}{}
	return sys.open(connection), nil
}

// OpenComputeSystem opens another handle. A stopped system can be opened while
// another handle to it is open.
func (s *Service) OpenComputeSystem(id string) (libcontainerd.ComputeSystem, error) {
	c := Call{Op: OpOpen, ID: id}
	return s.handleCall(c, func(connection *connection) (*systemHandle, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		sys, ok := s.systems[id]
		if !ok {
			return nil, c.failure(libcontainerd.CodeSystemNotFound, "")
		}
		return sys.open(connection), nil
	})
}

// handleCall is a call that returns a handle. If a fault replaces the answer by
// an error, the handle is closed again, because the caller does not get it.
func (s *Service) handleCall(c Call, do func(*connection) (*systemHandle, error)) (libcontainerd.ComputeSystem, error) {
	var h *systemHandle
	connection := s.connection.Load()
	err := s.call(c, connection, func() (err error) {
		h, err = do(connection)
		return err
	})
	if err != nil {
		if h != nil {
			h.discard()
		}
		return nil, err
	}
	return h, nil
}

// ComputeSystems lists the systems that have not stopped, and the stopped ones
// that an open handle or KeepStopped keeps.
func (s *Service) ComputeSystems(owner string) (infos []libcontainerd.ComputeSystemInfo, err error) {
	err = s.call(Call{Op: OpList}, s.connection.Load(), func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, sys := range s.systems {
			if owner == "" || owner == sys.doc.Owner {
				infos = append(infos, sys.info())
			}
		}
		return nil
	})
	return infos, err
}

// KeepStopped keeps a system known, and its id in use, after the system has
// stopped, until somebody opens it and closes it again. It simulates a remnant of
// an earlier life. It may be called before or after the system is created.
func (s *Service) KeepStopped(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[id] = true
}

// Crash stops a system that nobody asked to stop: every Wait on it, and on its
// processes, ends with code, such as CodeUnexpectedExit. It reports whether the
// system existed and had not stopped.
func (s *Service) Crash(id string, code libcontainerd.Code) bool {
	sys := s.find(id)
	return sys != nil && sys.end(unknownExit, code)
}

// ExitProcess ends a process from outside, with the given exit code. It reports
// whether the process existed and still ran.
func (s *Service) ExitProcess(id string, pid, exitCode uint32) bool {
	sys := s.find(id)
	if sys == nil {
		return false
	}
	p := sys.process(pid)
	return p != nil && p.end(exitCode, 0)
}

func (s *Service) find(id string) *system {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.systems[id]
}

// LoseService simulates the end of the HCS service. Every Wait ends with
// CodeServiceDisconnect. Every other call fails with CodeServiceNotAvailable
// until RestoreService. All earlier handles stay useless for ever, but must be
// closed. Systems die with the service, except those for which survives, if it is
// given, returns true.
func (s *Service) LoseService(survives func(id string) bool) {
	s.mu.Lock()
	s.connection.Load().lose()
	systems := s.liveLocked()
	s.mu.Unlock()
	for _, sys := range systems {
		if survives == nil || !survives(sys.id) {
			sys.end(unknownExit, libcontainerd.CodeServiceDisconnect)
		}
	}
}

// RestoreService brings the service back after LoseService.
func (s *Service) RestoreService() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connection.Load().isLost() {
		s.connection.Store(newConnection())
	}
}

// Abandon does what Windows does when a process dies: it closes every handle and
// every pipe end that was handed out. Calls still made on them fail, but are not
// a violation. Systems go on, except with TerminateOnLastHandleClosed, and can be
// opened again. Pipes that were never taken stay with the process.
//
// Abandon does not stop the program that used the Service. A Client that runs on
// takes the loss for the end of its containers: it reports exits, and it opens the
// systems again and ends them. To play the death of an engine, call Client.Close
// instead: no callback comes after it, the streams are closed, and the containers
// run on for the next Client to restore. Abandon is for code that calls the Service
// without a Client, and for a system whose streams nobody has taken.
func (s *Service) Abandon() {
	s.mu.Lock()
	systems := s.liveLocked()
	s.mu.Unlock()
	for _, sys := range systems {
		sys.abandon()
	}
}

func (s *Service) liveLocked() []*system {
	systems := make([]*system, 0, len(s.live))
	for sys := range s.live {
		systems = append(systems, sys)
	}
	return systems
}

// destroy ends whatever is left after a test that failed.
func (s *Service) destroy() {
	s.mu.Lock()
	systems := s.liveLocked()
	s.mu.Unlock()
	for _, sys := range systems {
		sys.end(unknownExit, libcontainerd.CodeTerminated)
	}
}

// forget removes a system from the table and from the leak check, if it has
// stopped and nobody holds a handle to it.
func (s *Service) forget(sys *system) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, sys)
	if s.systems[sys.id] == sys && !s.kept[sys.id] {
		delete(s.systems, sys.id)
	}
	if len(s.live) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// unkeep ends KeepStopped: the remnant was opened and closed.
func (s *Service) unkeep(sys *system) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.systems[sys.id] == sys && s.kept[sys.id] {
		delete(s.kept, sys.id)
	}
}

// local is a call that needs no HCS service: vmcompute.dll or the file system
// answers it.
func (s *Service) local(c Call, do func() error) error {
	n := s.record.add(c)
	err := s.meet(c, nil, nil, do)
	s.record.answer(n, err)
	return err
}

// call is a call that the HCS service answers.
func (s *Service) call(c Call, connection *connection, do func() error) error {
	n := s.record.add(c)
	err := s.meet(c, connection.lost, nil, func() error {
		if err := connection.check(c); err != nil {
			return err
		}
		return do()
	})
	s.record.answer(n, err)
	return err
}

// connection is the life of the HCS service between two losses. A handle is
// useless outside the connection in which it was opened.
type connection struct {
	lost chan struct{} // closed by lose
}

func newConnection() *connection { return &connection{lost: make(chan struct{})} }

// lose is called with Service.mu held.
func (s *connection) lose() {
	if !s.isLost() {
		close(s.lost)
	}
}

func (s *connection) isLost() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

func (s *connection) check(c Call) error {
	if s.isLost() {
		return c.failure(libcontainerd.CodeServiceNotAvailable, "")
	}
	return nil
}

// failure is the error that answers c. The cause is for the reader only; HCS does
// not tell it.
func (c Call) failure(code libcontainerd.Code, why string) error {
	err := &libcontainerd.Error{Op: c.Op.words(), Code: code}
	if c.Op != OpLayerID { // ID is the name of a layer
		err.ContainerID = c.ID
	}
	if c.Pid != 0 {
		err.Process = fmt.Sprint(c.Pid)
	}
	if why != "" {
		err.Err = errors.New(why)
	}
	return err
}
