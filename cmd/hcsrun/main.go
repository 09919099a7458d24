// Command hcsrun runs a Windows container from a file, prints the document that
// HCS would get for it, and explains what HCS answers.
//
// It exits with the container's exit code. Where the system has only eight bits
// for that (everywhere but on Windows) a code above 255 becomes 255, and
// standard error tells the code itself. hcsrun's own failures are 125, and a
// program that the container does not have is 127; standard error tells them in
// one line that begins with "hcsrun:".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

// Exit codes for failures that are not the container's, as docker run has them.
const (
	exitFailure    = 125
	exitNoSuchFile = 127
)

func main() {
	interrupts := make(chan os.Signal, 3)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	a := newApp(os.Stdin, os.Stdout, os.Stderr, interrupts, libcontainerd.HostService)
	os.Exit(status(a.run(os.Args[1:])))
}

// app is the command with what it has of its surroundings.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	interrupts     <-chan os.Signal // the wish to stop; the second one insists
	hostHCS        func() (libcontainerd.ComputeService, error)
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, interrupts <-chan os.Signal, hostHCS func() (libcontainerd.ComputeService, error)) *app {
	lock := &sync.Mutex{} // one for both, which are often the same console
	return &app{
		stdin:      stdin,
		stdout:     lockedWriter{lock, stdout},
		stderr:     lockedWriter{lock, stderr},
		interrupts: interrupts,
		hostHCS:    hostHCS,
	}
}

// run executes one command line and returns its exit code.
func (a *app) run(args []string) uint32 {
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[exitError](err); ok {
		return exit.code
	}
	a.notice("%v", err)
	if isNoSuchProgram(err) {
		return exitNoSuchFile
	}
	return exitFailure
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "hcsrun",
		Short: "Run Windows containers on the Host Compute Service",
		Long: `hcsrun runs a Windows container from an OCI config.json or a 2016 spec, on the
Host Compute Service (HCS) of Windows. Elsewhere, and with --simulate, it uses a
simulated HCS.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(
		a.configCommand(), a.runCommand(), a.explainCommand(),
		a.psCommand(), a.statsCommand(), a.execCommand(), a.killCommand(), a.reconcileCommand(), a.doctorCommand(),
	)
	return root
}

// wants checks the number of arguments and says what they are.
func wants(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(strings.Fields(what)); len(args) != n {
			return fmt.Errorf("%s wants %s, got %d arguments: see hcsrun %[1]s --help", cmd.Name(), what, len(args))
		}
		return nil
	}
}

// exit ends hcsrun with the exit code of a container or process, and tells one
// that may not get through or that Windows chose.
func (a *app) exit(code uint32) error {
	name := libcontainerd.ExitName(code)
	if code > 255 || name != "" {
		a.notice("exit code 0x%X %s", code, name)
	}
	if code == 0 {
		return nil
	}
	return exitError{code}
}

// exitError ends hcsrun with the exit code of a container or process.
type exitError struct{ code uint32 }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// isNoSuchProgram reports whether the container lacks the program it was to run.
func isNoSuchProgram(err error) bool {
	e, ok := errors.AsType[*libcontainerd.Error](err)
	return ok && e.Process != "" &&
		(errors.Is(err, libcontainerd.CodeFileNotFound) || errors.Is(err, libcontainerd.CodePathNotFound))
}
