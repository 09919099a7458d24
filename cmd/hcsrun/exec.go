package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) execCommand() *cobra.Command {
	config := libcontainerd.ProcessConfig{CreateStdInPipe: true, CreateStdOutPipe: true}
	var env []string
	cmd := &cobra.Command{
		Use:   "exec ID COMMAND [ARGUMENT…]",
		Short: "Run a process in a running container and exit with its exit code",
		Long: `exec runs a process in a container that runs, connects it to the streams of
hcsrun and exits with its exit code. Ctrl-C ends the process.`,
		Example: `  hcsrun exec web1 cmd /c dir "C:\Program Files"`,
		Args:    cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			config.CreateStdErrPipe = !config.EmulateConsole
			config.CommandLine = commandLine(args[1:])
			if config.Environment, err = environment(env); err != nil {
				return err
			}
			return withSystem(service, args[0], func(system libcontainerd.ComputeSystem) error {
				return nameProcess(a.runProcess(system, &config), args[1])
			})
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows ID belongs to the command
	cmd.Flags().StringVar(&config.WorkingDirectory, "cwd", `C:\`, "working directory in the container")
	cmd.Flags().StringVar(&config.User, "user", "", "account in the container (default: the container's)")
	cmd.Flags().StringArrayVar(&env, "env", nil, "NAME=value of the environment, may be repeated")
	cmd.Flags().BoolVar(&config.EmulateConsole, "tty", false, "give the process a console: errors are part of its output")
	return cmd
}

// runProcess runs a process to its end, which is its exit code.
func (a *app) runProcess(system libcontainerd.ComputeSystem, config *libcontainerd.ProcessConfig) error {
	created, err := system.CreateProcess(config)
	if err != nil {
		return err
	}
	process := &openProcess{ComputeProcess: created}
	defer process.Close()
	stdin, stdout, stderr, err := process.Stdio()
	if err != nil {
		return errors.Join(err, process.Kill())
	}
	closeOutputs := func() {
		_ = stdout.Close()
		if stderr != nil {
			_ = stderr.Close()
		}
	}
	defer closeOutputs()
	term := newTerminal(a.stdin, a.stdout, a.stderr)
	term.attach(libcontainerd.IOPipe{Stdin: processInput{stdin, process}, Stdout: stdout, Stderr: reader(stderr)})

	ended := make(chan struct{})
	go a.killOnInterrupt(process, ended)
	code, err := process.Wait()
	close(ended)
	if err != nil {
		return err
	}
	// HCS does not always end the output with the process.
	defer time.AfterFunc(libcontainerd.DefaultGrace, closeOutputs).Stop()
	if err := term.drain(); err != nil {
		return err
	}
	return a.exit(code)
}

// nameProcess completes the error of a service, which knows no name for the
// process.
func nameProcess(err error, name string) error {
	e, ok := errors.AsType[*libcontainerd.Error](err)
	if !ok {
		return err
	}
	named := *e
	named.Process = name
	return &named
}

// killOnInterrupt ends the process when the user asks for that.
func (a *app) killOnInterrupt(process *openProcess, ended <-chan struct{}) {
	select {
	case <-a.interrupts:
		if err := process.call(process.Kill); err != nil {
			a.notice("%v", err)
		}
	case <-ended:
	}
}

// openProcess is a process whose handle other goroutines use as well. It is not
// closed while one of their calls runs, and none begins afterwards.
type openProcess struct {
	libcontainerd.ComputeProcess

	mu     sync.RWMutex // held by calls, to be waited for by Close; guards following
	closed bool
}

func (p *openProcess) call(f func() error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil // the process has ended
	}
	return f()
}

func (p *openProcess) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.ComputeProcess.Close()
}

// processInput ends the input of a process on both ends.
type processInput struct {
	io.WriteCloser
	process *openProcess
}

func (p processInput) Close() error {
	return errors.Join(p.WriteCloser.Close(), p.process.call(p.process.CloseStdin))
}

// reader is r, but nil where there is none.
func reader(r io.ReadCloser) io.Reader {
	if r == nil {
		return nil
	}
	return r
}

func commandLine(args []string) string {
	escaped := make([]string, len(args))
	for i, arg := range args {
		escaped[i] = libcontainerd.EscapeArg(arg)
	}
	return strings.Join(escaped, " ")
}

func environment(entries []string) (map[string]string, error) {
	variables := map[string]string{}
	for _, entry := range entries {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--env %q is not NAME=value", entry)
		}
		variables[name] = value
	}
	return variables, nil
}
