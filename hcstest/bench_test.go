package hcstest_test

import (
	"fmt"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// BenchmarkLife is a container's life with one process that does nothing.
func BenchmarkLife(b *testing.B) {
	svc := hcstest.New(b, hcstest.WithProgram("nothing", hcstest.Exit(0)))
	document, err := libcontainerd.Configuration("c", spec(), svc)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := life(svc, document); err != nil {
			b.Fatal(err)
		}
	}
}

func life(svc *hcstest.Service, document string) error {
	system, err := svc.CreateComputeSystem("c", document)
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
