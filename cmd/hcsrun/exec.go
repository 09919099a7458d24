package main

import (
	"errors"
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
hcsrun and exits with its exit code. Ctrl-C ends the process. With --tty the process
gets every key, Ctrl-C too, and ctrl-p ctrl-q leaves it running without hcsrun.`,
		Example: `  hcsrun exec web1 cmd /c dir "C:\Program Files"`,
		Args:    cobra.MinimumNArgs(2),

		ValidArgsFunction: a.completeIDs(1),
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
	cmd.Flags().SetInterspersed(false) // flags after ID belong to the command
	cmd.Flags().StringVarP(&config.WorkingDirectory, "cwd", "w", `C:\`, "working directory in the container")
	cmd.Flags().StringVarP(&config.User, "user", "u", "", "account in the container (default: the container's)")
	cmd.Flags().StringArrayVarP(&env, "env", "e", nil, "NAME=value, or NAME for the value that hcsrun has; may be repeated")
	cmd.Flags().BoolVarP(&config.EmulateConsole, "tty", "t", false, "give the process a console: errors are part of its output")
	return cmd
}

// runProcess runs a process to its end, which is its exit code.
func (a *app) runProcess(system libcontainerd.ComputeSystem, config *libcontainerd.ProcessConfig) error {
	term := a.newTerminal(a.stdin, config.EmulateConsole)
	defer term.release()
	defer term.releaseOnPanic()
	if width, height := term.size(); width > 0 {
		config.ConsoleSize = [2]uint{uint(height), uint(width)}
	}
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
	defer stdin.Close() // if it is still open
	closeOutputs := func() {
		_ = stdout.Close()
		if stderr != nil {
			_ = stderr.Close()
		}
	}
	defer closeOutputs()
	pipes := libcontainerd.IOPipe{Stdin: processInput{stdin, process}, Stdout: stdout, Stderr: reader(stderr)}
	if err := term.attach(pipes, process.resize); err != nil {
		return errors.Join(err, process.Kill())
	}

	exited := make(chan processExit, 1)
	go func() {
		code, err := process.Wait()
		exited <- processExit{code, err}
	}()
	exit, err := a.awaitProcess(process, term, exited)
	if err != nil {
		return err
	}
	// HCS does not always end the output with the process.
	defer time.AfterFunc(libcontainerd.DefaultGrace, closeOutputs).Stop()
	if err := term.drain(); err != nil {
		return err
	}
	term.release()
	return a.exit(exit)
}

// nameProcess adds the name of the process to an error of a service, which does
// not know it.
func nameProcess(err error, name string) error {
	e, ok := errors.AsType[*libcontainerd.Error](err)
	if !ok {
		return err
	}
	named := *e
	named.Process = name
	return &named
}

// processExit is the result of a process's Wait.
type processExit struct {
	code uint32
	err  error
}

// awaitProcess waits for the exit of a process. It ends the process when the user
// asks for that, and when its output can no longer be written.
func (a *app) awaitProcess(process *openProcess, term *terminal, exited <-chan processExit) (uint32, error) {
	for {
		select {
		case exit := <-exited:
			return exit.code, exit.err
		case <-term.detached:
			term.release()
			a.notice("process %d runs on without hcsrun", process.Pid())
			return 0, exitError{0}
		case <-term.lost:
		case signal := <-a.interrupts:
			if term.takes(signal) {
				continue
			}
		}
		if err := process.call(process.Kill); err != nil {
			a.warn("%v", err)
		}
	}
}

// openProcess is a process whose handle several goroutines use. Close waits for
// their calls, and no call begins after it.
type openProcess struct {
	libcontainerd.ComputeProcess

	mu     sync.RWMutex // calls hold it for reading, so that Close waits for them; guards following
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

func (p *openProcess) resize(width, height int) error {
	return p.call(func() error { return p.ResizeConsole(uint16(width), uint16(height)) })
}

func (p *openProcess) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.ComputeProcess.Close()
}

// processInput closes both ends of the input of a process.
type processInput struct {
	io.WriteCloser
	process *openProcess
}

func (p processInput) Close() error {
	return errors.Join(p.WriteCloser.Close(), p.process.call(p.process.CloseStdin))
}

// reader returns r as a reader, nil if there is none.
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
		entry, err := environmentEntry(entry)
		if err != nil {
			return nil, err
		}
		name, value, _ := strings.Cut(entry, "=")
		variables[name] = value
	}
	return variables, nil
}
