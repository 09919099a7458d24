package engine_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/sirupsen/logrus"
)

// mortal is the process of an engine that can be killed: from then on nothing that
// the engine does reaches HCS or the disk. Its steps are what it does there, each
// with a step before and one after.
type mortal struct {
	svc    *hcstest.Service
	engine *engine.Engine
	killed chan struct{} // closed when the last step is done

	mu    sync.Mutex // guards following
	left  int        // steps to live; below 0: without end
	steps int
	dead  bool
}

var errDead = errors.New("the engine is dead")

// startMortal starts an engine that dies after so many steps, below 0 never.
func startMortal(t *testing.T, svc *hcstest.Service, steps int, options ...engine.Option) *mortal {
	t.Helper()
	m := &mortal{svc: svc, left: steps, killed: make(chan struct{})}
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	var err error
	m.engine, err = engine.StartMortal(m.step, append([]engine.Option{
		engine.WithComputeService(mortalService{m}), engine.WithLogger(logrus.NewEntry(logger)),
	}, options...)...)
	must(t, err)
	return m
}

// step reports whether the engine still lives.
func (m *mortal) step() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return false
	}
	m.steps++
	if m.left == 0 {
		m.dead = true
		close(m.killed)
		return false
	}
	m.left--
	return true
}

// kill ends the process, if that has not happened yet, and what the system does then.
func (m *mortal) kill(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	if !m.dead {
		m.dead = true
		close(m.killed)
	}
	m.mu.Unlock()
	must(t, m.engine.LoseStore())
	m.svc.Abandon()
	m.engine.Close(context.Background()) // only so that its goroutines end
}

// do makes a call of HCS, if the engine lives; it hears nothing of the answer if it
// has died meanwhile.
func do[T any](m *mortal, f func() (T, error), lose func(T)) (value T, err error) {
	if !m.step() {
		return value, errDead
	}
	value, err = f()
	if !m.step() {
		if err == nil && lose != nil {
			lose(value)
		}
		return *new(T), errDead
	}
	return value, err
}

func try(m *mortal, f func() error) error {
	_, err := do(m, func() (struct{}, error) { return struct{}{}, f() }, nil)
	return err
}

func (m *mortal) close(handle io.Closer) error {
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return nil
	}
	return handle.Close()
}

type mortalService struct{ m *mortal }

func (s mortalService) Host() libcontainerd.Host { return s.m.svc.Host() }

func (s mortalService) LayerID(name string) (string, error) { return s.m.svc.LayerID(name) }

func (s mortalService) UtilityVM(layers []string) (string, error) { return s.m.svc.UtilityVM(layers) }

func (s mortalService) CreateComputeSystem(id, document string) (libcontainerd.ComputeSystem, error) {
	return s.system(func() (libcontainerd.ComputeSystem, error) { return s.m.svc.CreateComputeSystem(id, document) })
}

func (s mortalService) OpenComputeSystem(id string) (libcontainerd.ComputeSystem, error) {
	return s.system(func() (libcontainerd.ComputeSystem, error) { return s.m.svc.OpenComputeSystem(id) })
}

func (s mortalService) system(f func() (libcontainerd.ComputeSystem, error)) (libcontainerd.ComputeSystem, error) {
	system, err := do(s.m, f, func(system libcontainerd.ComputeSystem) { system.Close() })
	if err != nil {
		return nil, err
	}
	return mortalSystem{system, s.m}, nil
}

func (s mortalService) ComputeSystems(owner string) ([]libcontainerd.ComputeSystemInfo, error) {
	return do(s.m, func() ([]libcontainerd.ComputeSystemInfo, error) { return s.m.svc.ComputeSystems(owner) }, nil)
}

type mortalSystem struct {
	libcontainerd.ComputeSystem
	m *mortal
}

func (s mortalSystem) Start() error     { return try(s.m, s.ComputeSystem.Start) }
func (s mortalSystem) Shutdown() error  { return try(s.m, s.ComputeSystem.Shutdown) }
func (s mortalSystem) Terminate() error { return try(s.m, s.ComputeSystem.Terminate) }

// Close leaves it to the system to close the handles of a process that has died.
func (s mortalSystem) Close() error { return s.m.close(s.ComputeSystem) }

func (s mortalSystem) CreateProcess(config *libcontainerd.ProcessConfig) (libcontainerd.ComputeProcess, error) {
	return s.process(func() (libcontainerd.ComputeProcess, error) { return s.ComputeSystem.CreateProcess(config) })
}

func (s mortalSystem) OpenProcess(pid uint32) (libcontainerd.ComputeProcess, error) {
	return s.process(func() (libcontainerd.ComputeProcess, error) { return s.ComputeSystem.OpenProcess(pid) })
}

func (s mortalSystem) process(f func() (libcontainerd.ComputeProcess, error)) (libcontainerd.ComputeProcess, error) {
	process, err := do(s.m, f, func(process libcontainerd.ComputeProcess) { process.Close() })
	if err != nil {
		return nil, err
	}
	return mortalProcess{process, s.m}, nil
}

type mortalProcess struct {
	libcontainerd.ComputeProcess
	m *mortal
}

func (p mortalProcess) Kill() error       { return try(p.m, p.ComputeProcess.Kill) }
func (p mortalProcess) Close() error      { return p.m.close(p.ComputeProcess) }
func (p mortalProcess) CloseStdin() error { return try(p.m, p.ComputeProcess.CloseStdin) }
