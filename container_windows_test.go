package libcontainerd

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/Microsoft/hcsshim"
)

// fakeContainer is hcsshim's container as far as these tests script it.
type fakeContainer struct {
	hcsshim.Container // nil: nothing else is called

	start     error
	terminate func() error
	waited    error // what Wait returns when exit is closed
	exit      chan struct{}
	refusals  int32 // how many closes are refused

	closeOnce sync.Once
	closed    chan struct{}
	closes    atomic.Int32
}

func newFakeContainer() *fakeContainer {
	return &fakeContainer{exit: make(chan struct{}), closed: make(chan struct{})}
}

func (c *fakeContainer) Start() error     { return c.start }
func (c *fakeContainer) Terminate() error { return c.terminate() }

func (c *fakeContainer) Wait() error {
	select {
	case <-c.exit:
		return c.waited
	case <-c.closed:
		return hcsshim.ErrAlreadyClosed
	}
}

func (c *fakeContainer) Close() error {
	if c.closes.Add(1) <= c.refusals {
		return syscall.Errno(1726) // the remote procedure call failed
	}
	c.closeOnce.Do(func() { close(c.closed) })
	return nil
}

// Of two terminations the one that HCS accepts counts, in whatever order the
// answers come.
func TestRefusedTerminationDoesNotTakeBackAnother(t *testing.T) {
	const unexpectedExit = syscall.Errno(0xc0370106)
	tests := []struct {
		name    string
		answers [2]error // to the first, which is answered last, and to the second
		crash   bool
	}{
		{"first refused", [2]error{syscall.ERROR_ACCESS_DENIED, hcsshim.ErrVmcomputeOperationPending}, false},
		{"second refused", [2]error{hcsshim.ErrVmcomputeOperationPending, syscall.ERROR_ACCESS_DENIED}, false},
		{"both refused", [2]error{syscall.ERROR_ACCESS_DENIED, syscall.ERROR_ACCESS_DENIED}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			container := newFakeContainer()
			container.waited = unexpectedExit
			system := newComputeSystem("web", container)

			asked, answer := make(chan struct{}), make(chan struct{})
			container.terminate = func() error {
				close(asked)
				<-answer
				return tt.answers[0]
			}
			first := make(chan error)
			go func() { first <- system.Terminate() }()
			<-asked
			container.terminate = func() error { return tt.answers[1] }
			second := system.Terminate()
			close(answer)
			for i, err := range []error{<-first, second} {
				if refused := errors.Is(tt.answers[i], syscall.ERROR_ACCESS_DENIED); (err != nil) != refused {
					t.Errorf("termination %d: %v", i+1, err)
				}
			}

			close(container.exit)
			if err := system.Wait(); errors.Is(err, CodeUnexpectedExit) != tt.crash {
				t.Errorf("wait: %v, want a crash: %v", err, tt.crash)
			}
		})
	}
}

// hcsshim's Wait does not return when its Start has taken the notice of the end.
func TestEndThatAStartIsToldReachesTheWait(t *testing.T) {
	container := newFakeContainer()
	container.start = hcsshim.ErrUnexpectedContainerExit
	container.refusals = 1
	system := newComputeSystem("web", container)
	waited := make(chan error)
	go func() { waited <- system.Wait() }()
	if err := system.Start(); !errors.Is(err, CodeUnexpectedExit) {
		t.Errorf("start: %v", err)
	}
	for range 2 {
		if err := <-waited; !errors.Is(err, CodeUnexpectedExit) {
			t.Errorf("wait: %v", err)
		}
		go func() { waited <- system.Wait() }() // whoever asks later
	}
	<-waited
	if err := system.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
