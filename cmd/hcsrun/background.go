package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// inBackground is set in the environment of the hcsrun that run -d starts.
const inBackground = "HCSRUN_BACKGROUND"

// runInBackground starts another hcsrun with the same command line, which stays
// with the container to its end. It returns when the container runs.
func (a *app) runInBackground() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, a.args...)
	cmd.Env = append(os.Environ(), inBackground+"=1")
	cmd.SysProcAttr = ownProcessGroup()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run in the background: %w", err)
	}
	done := a.wait("starting a container in the background")
	// The other hcsrun closes both when the container runs, or ends.
	var copies sync.WaitGroup
	var told int64
	copies.Go(func() { told, _ = io.Copy(a.stdout, stdout) })
	copies.Go(func() { _, _ = io.Copy(a.stderr, stderr) })
	copies.Wait()
	done()
	if told > 0 {
		return cmd.Process.Release()
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitError{uint32(exit.ExitCode())}
	}
	return err
}

// leaveForeground tells the hcsrun in the foreground that the container runs, and
// lets it end. Nobody reads the output of this hcsrun after that.
func (a *app) leaveForeground(id string) {
	fmt.Fprintln(a.stdout, id)
	a.stdout.close()
	a.stderr.close()
}
