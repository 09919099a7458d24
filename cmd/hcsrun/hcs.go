package main

import (
	"fmt"
	"runtime"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/spf13/cobra"
)

// hcsChoice says which HCS a command uses.
type hcsChoice struct {
	simulate bool
	tp4      bool
	build    uint16
}

func (c *hcsChoice) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.simulate, "simulate", false, "use a simulated HCS, on Windows too")
	cmd.Flags().BoolVar(&c.tp4, "tp4", false, "simulate Windows Server 2016 Technical Preview 4")
	cmd.Flags().Uint16Var(&c.build, "build", 0, "simulate this build of Windows: 14393, 17763, 20348, 26100 (default 20348)")
	cmd.MarkFlagsMutuallyExclusive("tp4", "build")
}

// explainSimulator adds to the error of a run that the simulator has few
// programs: the spec may be right.
func explainSimulator(err error, service libcontainerd.ComputeService) error {
	if _, ok := service.(*hcstest.Service); ok && isNoSuchProgram(err) {
		return fmt.Errorf("%w; the simulated HCS knows only cmd, powershell, ping and a few more", err)
	}
	return err
}

// hostOnly returns the HCS of the host, for commands that look at running
// containers.
func (a *app) hostOnly() (libcontainerd.ComputeService, error) {
	service, err := a.hostHCS()
	if err != nil && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("this command looks into the HCS of the host, and there is none on %s: hcsrun demo shows it on a simulated one", runtime.GOOS)
	}
	return service, err
}

// needsWindows refuses commands that a simulated HCS cannot use.
func (a *app) needsWindows() error {
	if runtime.GOOS != "windows" && a.driver == nil {
		return fmt.Errorf("layers need Windows, and this is %s: hcsrun run --image takes any name here", runtime.GOOS)
	}
	return nil
}

// simulated reports whether the user asked for a simulated HCS.
func (c *hcsChoice) simulated() bool { return c.simulate || c.tp4 || c.build != 0 }

// hcs returns the host's HCS, or a simulated one, and then says so.
func (a *app) hcs(choice hcsChoice) (libcontainerd.ComputeService, error) {
	reason := ""
	if !choice.simulated() {
		service, err := a.hostHCS()
		if err == nil || runtime.GOOS == "windows" {
			return service, err
		}
		reason = ", since there is none on " + runtime.GOOS
	}
	var options []hcstest.Option
	if choice.build != 0 {
		options = append(options, hcstest.WithBuild(choice.build))
	}
	if choice.tp4 {
		options = append(options, hcstest.WithTP4())
	}
	service := hcstest.NewService(options...)
	a.notice("simulating the HCS of Windows build %d%s", service.Host().Build, reason)
	return service, nil
}

// load reads the spec of a file and finds the HCS that it is for.
func (a *app) load(file string, choice hcsChoice) (libcontainerd.Spec, libcontainerd.ComputeService, error) {
	spec, err := a.readSpec(file)
	if err != nil {
		return libcontainerd.Spec{}, nil, err
	}
	service, err := a.hcs(choice)
	return spec, service, err
}
