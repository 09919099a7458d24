package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/spf13/cobra"
)

func (a *app) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [COMMAND [ARGUMENT…]]",
		Short: "Show what hcsrun does, on a simulated HCS; or try a command there",
		Long: `demo shows what the commands of hcsrun do, on a simulated HCS, where the container
web1 runs. With a command of hcsrun as its arguments it runs that command instead.`,
		Example: "  hcsrun demo\n  hcsrun demo ps web1\n  hcsrun demo exec -t web1 cmd",
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := a.newDemo()
			if err != nil {
				return err
			}
			defer d.end()
			if len(args) > 0 {
				return d.try(args)
			}
			return d.show()
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// demo is an hcsrun on a simulated HCS, where the container web1 runs.
type demo struct {
	*app
	service *hcstest.Service
	stop    chan os.Signal
	ended   chan struct{} // closed when the other hcsrun has ended
}

// newDemo starts web1 with another hcsrun, and drops its output.
func (a *app) newDemo() (*demo, error) {
	service := hcstest.NewService()
	host := func() (libcontainerd.ComputeService, error) { return service, nil }
	d := &demo{
		app:     &app{stdin: a.stdin, stdout: a.stdout, stderr: a.stderr, interrupts: a.interrupts, hostHCS: host},
		service: service,
		stop:    make(chan os.Signal, 2),
		ended:   make(chan struct{}),
	}
	background := newApp(strings.NewReader(""), io.Discard, io.Discard, d.stop, host)
	go func() {
		defer close(d.ended)
		background.run(strings.Fields("run --name web1 --image nanoserver ping -t localhost"))
	}()
	for {
		if processes := d.processes("web1"); strings.Contains(processes, "ping.exe") {
			return d, nil
		}
		select {
		case <-d.ended:
			return nil, errors.New("web1 does not run")
		case <-time.After(time.Millisecond):
		}
	}
}

// processes are the programs that run in a container.
func (d *demo) processes(id string) string {
	var names []string
	_ = withSystem(d.service, id, func(system libcontainerd.ComputeSystem) error {
		list, err := system.ProcessList()
		for _, p := range list {
			names = append(names, p.ImageName)
		}
		return err
	})
	return strings.Join(names, " ")
}

// end ends web1, if it still runs.
func (d *demo) end() {
	d.stop <- os.Interrupt
	<-d.ended
}

// try runs one command.
func (d *demo) try(args []string) error {
	if code := d.run(args); code != 0 {
		return exitError{code}
	}
	return nil
}

// scenes are the commands that demo shows.
var scenes = []struct {
	says, line string
	code       uint32
}{
	{"A container of an image. A simulated HCS has no files, so that any image will do.", "run --image nanoserver cmd /c echo hello", 0},
	{"Its exit code is that of hcsrun.", "run --image nanoserver cmd /c exit 3", 3},
	{"web1 runs, started by another hcsrun.", "ps", 0},
	{"Its processes.", "ps web1", 0},
	{"One more process in it.", "exec web1 cmd /c echo I am on %COMPUTERNAME%", 0},
	{"What it has used.", "stats web1", 0},
	{"A program that it does not have: the error says so, and what is known of its code.", "exec web1 notepad", exitNoSuchFile},
	{"The same for any code of Windows.", "explain 0xC0370106", 0},
	{"What this host needs to run containers itself.", "doctor --simulate", 0},
	{"The end of web1.", "kill web1", 0},
	{"Nothing is left.", "ps", 0},
}

// show prints the text of each scene and runs its command.
func (d *demo) show() error {
	for _, scene := range scenes {
		fmt.Fprintf(d.stdout, "%s\n%s\n", d.stdout.paint(green, "# "+scene.says), d.stdout.paint(bold, "$ hcsrun "+scene.line))
		if code := d.run(strings.Fields(scene.line)); code != scene.code {
			return fmt.Errorf("hcsrun %s: exit code %d, not %d", scene.line, code, scene.code)
		}
		fmt.Fprintln(d.stdout)
		if strings.HasPrefix(scene.line, "kill") {
			<-d.ended
			_ = d.service.Settle(time.Second) // HCS forgets it when the last handle is closed
		}
	}
	return nil
}
