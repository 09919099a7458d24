package main

import (
	"cmp"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

// Signals of Client.Signal: an orderly stop, and one at once.
const (
	sigTerm = 15
	sigKill = 9
)

func (a *app) runCommand() *cobra.Command {
	var choice hcsChoice
	var id string
	var events, debug bool
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a container and exit with its exit code",
		Long: `run creates the container of FILE, an OCI config.json or a 2016 spec ("-" is
standard input), connects it to the streams of hcsrun, and exits with its exit
code. Ctrl-C stops the container in order, a second one terminates it, a third
one leaves it behind.

Exit codes above 255 become 255 on systems that have no larger ones; standard
error tells the code itself. 125 is a failure of hcsrun, 127 a program that the
container does not have.`,
		Example: "  hcsrun run testdata/specs/oci-nanoserver-process.json",
		Args:    wants("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			spec, service, err := a.load(args[0], choice)
			if err != nil {
				return err
			}
			in := a.stdin
			if args[0] == "-" {
				in = nil // it held the spec
			}
			return a.runContainer(cmp.Or(id, defaultID(args[0])), spec, service, newTerminal(in, a.stdout, a.stderr), events, debug)
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "id of the container (default: the name of the file)")
	cmd.Flags().BoolVar(&events, "events", false, "print the container's events on standard error")
	cmd.Flags().BoolVar(&debug, "debug", false, "log what the library does on standard error")
	choice.addFlags(cmd)
	return cmd
}

// runContainer runs one container to its end, which is its exit code.
func (a *app) runContainer(id string, spec libcontainerd.Spec, service libcontainerd.ComputeService, term *terminal, events, debug bool) error {
	backend := &backend{terminal: term, exited: make(chan libcontainerd.StateInfo, 1)}
	if events {
		backend.event = a.printEvent
	}
	client, err := libcontainerd.NewClient(backend,
		libcontainerd.WithComputeService(service), libcontainerd.WithLogger(a.logger(debug)))
	if err != nil {
		return err
	}

	created := make(chan error, 1)
	go func() { created <- client.Create(id, spec) }()
	exit, err := a.await(client, id, created, backend.exited)
	if err != nil {
		return explainSimulator(err, service)
	}
	// The client is not closed: hcsrun ends now, and will not wait for a call
	// that hangs.
	if err := term.drain(); err != nil {
		return err
	}
	if exit.Err != nil {
		a.notice("%v", exit.Err)
	}
	return a.exit(exit.ExitCode)
}

// await waits for the exit of a container that is being created, and stops it
// when the user asks for that.
func (a *app) await(client libcontainerd.Client, id string, created <-chan error, exited <-chan libcontainerd.StateInfo) (libcontainerd.StateInfo, error) {
	running := false
	wishes := 0 // to stop
	for {
		select {
		case err := <-created:
			if err != nil {
				return libcontainerd.StateInfo{}, err
			}
			created, running = nil, true
		case exit := <-exited:
			return exit, nil
		case <-a.interrupts:
			wishes++
		}
		switch {
		case wishes > 2:
			return libcontainerd.StateInfo{}, fmt.Errorf("interrupted: container %q may be left behind, see hcsrun ps", id)
		case running && wishes > 0:
			go a.stop(client, id, wishes) // HCS may take its time to answer, or never do
		}
	}
}

// stop asks for an orderly stop at the first wish and for one at once at the
// second. A container that is gone needs neither.
func (a *app) stop(client libcontainerd.Client, id string, wishes int) {
	signal := sigTerm
	if wishes > 1 {
		signal = sigKill
	}
	if err := client.Signal(id, signal); err != nil && !errdefs.IsNotFound(err) {
		a.notice("%v", err)
	}
}

// backend connects the container to the terminal and waits for its exit event.
type backend struct {
	terminal *terminal
	exited   chan libcontainerd.StateInfo // receives one exit
	event    func(containerID string, state libcontainerd.StateInfo)
}

func (b *backend) AttachStreams(_ string, pipes libcontainerd.IOPipe) error {
	b.terminal.attach(pipes)
	return nil
}

func (b *backend) StateChanged(containerID string, state libcontainerd.StateInfo) error {
	if b.event != nil {
		b.event(containerID, state)
	}
	if state.State == libcontainerd.StateExit {
		b.exited <- state
	}
	return nil
}

// printEvent prints what happened to a container.
func (a *app) printEvent(containerID string, state libcontainerd.StateInfo) {
	text := fmt.Sprintf("event %s container=%q", state.State, containerID)
	if state.ProcessID != "" {
		text += fmt.Sprintf(" process=%q", state.ProcessID)
	}
	if state.Pid != 0 {
		text += fmt.Sprintf(" pid=%d", state.Pid)
	}
	if state.State == libcontainerd.StateExit || state.State == libcontainerd.StateExitProcess {
		text += fmt.Sprintf(" code=%d", state.ExitCode)
	}
	if state.Err != nil {
		text += fmt.Sprintf(" error=%q", state.Err)
	}
	a.notice("%s", text)
}
