package endtoend

import (
	"errors"
	"runtime"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
)

// An idle handle costs one goroutine of hcsshim, and one for its Wait.
func TestGoroutinesOfAHandle(t *testing.T) {
	const handles = 20
	service, _ := standIn(t)
	system := createSystem(t, service, "web")
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	var opened []libcontainerd.ComputeSystem
	waited := make(chan error)
	for range handles {
		s, err := service.OpenComputeSystem("web")
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, s)
		go func() { waited <- s.Wait() }()
	}
	if n := runtime.NumGoroutine() - before; n > 2*handles {
		t.Errorf("%d goroutines for %d handles, each with a wait", n, handles)
	}
	for _, s := range opened {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waited; !errors.Is(err, libcontainerd.CodeInvalidHandle) {
			t.Errorf("wait: %v", err)
		}
	}
}
