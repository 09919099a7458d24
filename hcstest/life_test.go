package hcstest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// BenchmarkLife runs a container with one process that does nothing.
func BenchmarkLife(b *testing.B) {
	svc := hcstest.New(b, hcstest.WithProgram("nothing", hcstest.Exit(0)))
	document, err := libcontainerd.Configuration("c", spec(), svc)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := life(svc, "c", document); err != nil {
			b.Fatal(err)
		}
	}
}

func TestManyLivesLeaveNothing(t *testing.T) {
	svc := hcstest.New(t, hcstest.WithProgram("nothing", hcstest.Exit(0)), hcstest.WithCallLimit(100))
	errs := make(chan error)
	for i := range 8 {
		id := fmt.Sprint("c", i)
		document := configuration(t, svc, id, spec())
		go func() {
			var err error
			for range 250 {
				err = errors.Join(err, life(svc, id, document))
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := len(svc.Calls()); n != 100 {
		t.Error("calls kept:", n)
	}
}

func life(svc *hcstest.Service, id, document string) error {
	system, err := svc.CreateComputeSystem(id, document)
	if err != nil {
		return err
	}
	defer system.Close()
	if err := system.Start(); err != nil {
		return err
	}
	process, err := system.CreateProcess(&libcontainerd.ProcessConfig{CommandLine: "nothing", CreateStdInPipe: true, CreateStdOutPipe: true})
	if err != nil {
		return err
	}
	defer process.Close()
	stdin, stdout, _, err := process.Stdio()
	if err != nil {
		return err
	}
	defer stdin.Close()
	defer stdout.Close()
	if code, err := process.Wait(); code != 0 || err != nil {
		return fmt.Errorf("process ended with %d, %w", code, err)
	}
	if err := system.Shutdown(); err != nil {
		return err
	}
	return system.Wait()
}
