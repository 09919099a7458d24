// Command hcsrun runs a Windows container from a file, prints the document that
// HCS would get for it, and explains what HCS answers.
//
// It exits with the exit code of the container. Outside Windows an exit code has
// eight bits only: a code above 255 becomes 255, and standard error says the code
// itself. Failures of hcsrun itself are 125, and a program that the container
// does not have is 127. Then standard error has one line that begins with
// "hcsrun:".
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
	"github.com/spf13/cobra"
)

// Exit codes for failures of hcsrun itself, as with docker run.
const (
	exitFailure    = 125
	exitNoSuchFile = 127
)

func main() {
	interrupts := make(chan os.Signal, 3)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is reported as a failure, it does not end hcsrun
	a := newApp(os.Stdin, os.Stdout, os.Stderr, interrupts, libcontainerd.HostService)
	os.Exit(status(a.run(os.Args[1:])))
}

// app is the command and its surroundings.
type app struct {
	stdin          io.Reader
	stdout, stderr *output
	interrupts     <-chan os.Signal // each asks for a stop, the second one for an immediate one
	hostHCS        func() (libcontainerd.ComputeService, error)

	// Those of the host if they are nil.
	driver   layers.Driver
	networks networks

	args  []string // the command line
	json  bool     // the flag --json
	store string   // the flag --store
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, interrupts <-chan os.Signal, hostHCS func() (libcontainerd.ComputeService, error)) *app {
	screen := &screen{}
	return &app{
		stdin:      stdin,
		stdout:     newOutput(screen, stdout),
		stderr:     newOutput(screen, stderr),
		interrupts: interrupts,
		hostHCS:    hostHCS,
	}
}

// run executes one command line and returns its exit code.
func (a *app) run(args []string) uint32 {
	a.args = args
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	// Whatever the command did, it failed if its output could not be written.
	if lost := cmp.Or(a.stdout.failure(), a.stderr.failure()); lost != nil {
		a.fail(fmt.Errorf("output is lost: %w", lost))
		return exitFailure
	}
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[exitError](err); ok {
		return exit.code
	}
	a.fail(err)
	if isNoSuchProgram(err) {
		return exitNoSuchFile
	}
	return exitFailure
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "hcsrun",
		Short: "Run Windows containers on the Host Compute Service",
		Long: `hcsrun runs a Windows container from an image, an OCI config.json or a 2016 spec,
on the Host Compute Service (HCS) of Windows. Elsewhere, and with --simulate, it
uses a simulated HCS. hcsrun demo shows every command on one.`,
		Version:           version(debug.ReadBuildInfo()),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON; on standard error a value a line")
	root.PersistentFlags().StringVar(&a.store, "store", defaultStore(), "folder of the images and of what containers write")
	root.AddCommand(
		a.runCommand(), a.imageCommand(), a.layerCommand(), a.execCommand(), a.demoCommand(), a.configCommand(), a.explainCommand(),
		a.abortable(a.psCommand()), a.abortable(a.inspectCommand()), a.abortable(a.statsCommand()),
		a.abortable(a.killCommand()), a.abortable(a.reconcileCommand()), a.abortable(a.doctorCommand()),
	)
	return root
}

// abortable lets Ctrl-C end a command while HCS does not answer.
func (a *app) abortable(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		done := make(chan error, 1)
		go func() { done <- run(cmd, args) }()
		select {
		case err := <-done:
			return err
		case <-a.interrupts:
			return errors.New("interrupted: what HCS was asked for may go on")
		}
	}
	return cmd
}

// exit ends hcsrun with the exit code of a container or process. It prints a code
// that os.Exit would cut off, and one that Windows chose.
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

// isNoSuchProgram reports whether the container does not have the program that
// was to run.
func isNoSuchProgram(err error) bool {
	e, ok := errors.AsType[*libcontainerd.Error](err)
	return ok && e.Process != "" &&
		(errors.Is(err, libcontainerd.CodeFileNotFound) || errors.Is(err, libcontainerd.CodePathNotFound))
}
