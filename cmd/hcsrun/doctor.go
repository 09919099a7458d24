package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	var choice hcsChoice
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what keeps containers from running on this host",
		Long: `doctor looks at what containers need of the host and gives a verdict on each: ok,
warning or failure, with a remedy. Its exit code is 1 when something fails.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			done := a.wait("examining the host")
			findings := diagnose(a.examine(choice))
			done()
			if a.json {
				if err := a.printJSON(findings); err != nil {
					return err
				}
			} else {
				a.printFindings(findings)
			}
			if slices.ContainsFunc(findings, func(f finding) bool { return f.Verdict == failure }) {
				return exitError{1}
			}
			return nil
		},
	}
	choice.addFlags(cmd)
	return cmd
}

func (a *app) printFindings(findings []finding) {
	for _, f := range findings {
		verdict := a.stdout.paint(verdictColours[f.Verdict], fmt.Sprintf("%-8s", f.Verdict))
		fmt.Fprintf(a.stdout, "%s %-12s %s\n", verdict, f.Name, f.Detail)
		if f.Remedy != "" {
			fmt.Fprintf(a.stdout, "%-8s %-12s remedy: %s\n", "", "", f.Remedy)
		}
	}
}

// verdict says how bad a finding is.
type verdict string

const (
	ok      verdict = "ok"
	warning verdict = "warning" // some containers will not run
	failure verdict = "failure" // none will
)

var verdictColours = map[verdict]colour{ok: green, warning: yellow, failure: red}

// finding is the verdict of doctor on one subject.
type finding struct {
	Name    string  `json:"name"`
	Verdict verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	Remedy  string  `json:"remedy,omitempty"`
}

// symptoms are what doctor has seen.
type symptoms struct {
	os         string
	host       libcontainerd.Host
	connectErr error                     // why HCS was not found
	listErr    error                     // the answer of HCS to the simplest request
	systems    int                       // compute systems of all owners
	isolations []libcontainerd.Isolation // nil if the service does not tell
	machine    machine
	overrides  []string // NAME=value of environment variables that change what hcsshim does
}

// machine has the facts that only Windows can tell; see machine_windows.go.
type machine struct {
	services map[string]string // state of the services that matter
	admin    bool
}

// services that containers need: HCS and its network.
const (
	serviceHCS = "vmcompute"
	serviceHNS = "hns"

	running = "running"
	missing = "missing"
)

// examine collects the symptoms, which diagnose then judges.
func (a *app) examine(choice hcsChoice) symptoms {
	var s symptoms
	var service libcontainerd.ComputeService
	if choice.simulated() {
		s.os = "windows"
		s.machine = machine{services: map[string]string{serviceHCS: running, serviceHNS: running}, admin: true}
		service, s.connectErr = a.hcs(choice)
	} else {
		s.os = runtime.GOOS
		s.machine = examineMachine()
		s.overrides = overrides(os.Environ())
		service, s.connectErr = a.hostHCS()
	}
	if s.connectErr != nil {
		return s
	}
	s.host = service.Host()
	if reporter, ok := service.(libcontainerd.IsolationReporter); ok {
		s.isolations = reporter.Isolations()
	}
	systems, err := service.ComputeSystems("")
	s.systems, s.listErr = len(systems), err
	return s
}

// overrides are the variables of an environment that hcsshim obeys.
func overrides(environ []string) []string {
	return slices.DeleteFunc(environ, func(entry string) bool {
		return !strings.HasPrefix(strings.ToUpper(entry), "HCSSHIM_")
	})
}

// diagnose gives a verdict on each subject.
func diagnose(s symptoms) []finding {
	if s.os != "windows" {
		return []finding{{
			Name: "windows", Verdict: failure, Detail: "this is " + s.os,
			Remedy: "run on Windows Server 2016 or later, or simulate: hcsrun run, hcsrun doctor --simulate",
		}}
	}
	findings := []finding{diagnoseHCS(s)}
	if s.connectErr == nil {
		findings = append(findings, diagnoseBuild(s.host), diagnoseHyperV(s.isolations))
	}
	findings = append(findings,
		diagnoseService(s.machine, serviceHCS, failure),
		diagnoseService(s.machine, serviceHNS, warning),
		diagnoseRights(s.machine))
	for _, entry := range s.overrides {
		name, value, _ := strings.Cut(entry, "=")
		findings = append(findings, finding{
			Name: "environment", Verdict: warning, Detail: fmt.Sprintf("%s is set to %q and changes what HCS gets or how long it may take", name, value),
			Remedy: "remove " + name + " from the environment of the engine unless it is meant to be there",
		})
	}
	return findings
}

func diagnoseHCS(s symptoms) finding {
	f := finding{Name: "hcs", Verdict: ok, Detail: fmt.Sprintf("answers; it has %d compute systems", s.systems)}
	err := errors.Join(s.connectErr, s.listErr)
	if err == nil {
		return f
	}
	f.Verdict, f.Detail = failure, err.Error()
	if e, ok := errors.AsType[*libcontainerd.Error](err); ok {
		f.Remedy = e.Hint()
	}
	return f
}

func diagnoseBuild(host libcontainerd.Host) finding {
	f := finding{Name: "windows", Verdict: ok, Detail: fmt.Sprintf("build %d, %d processors", host.Build, host.Processors)}
	if name := host.Release(); name != "" {
		f.Detail = name + ", " + f.Detail
	}
	switch {
	case host.Build < 14393:
		f.Verdict, f.Remedy = failure, "Windows Server 2016 (build 14393) or later is needed"
	case host.Build < 17763:
		f.Verdict, f.Remedy = warning, "named pipes need build 16299, devices build 17763"
	}
	return f
}

// diagnoseService judges a service that Windows starts on demand: if it is
// stopped, that is a warning; if it is missing, the verdict is bad.
func diagnoseService(m machine, name string, bad verdict) finding {
	f := finding{Name: "service", Verdict: ok, Detail: name + " is " + m.services[name]}
	switch m.services[name] {
	case running:
	case missing:
		f.Verdict, f.Remedy = bad, "Enable-WindowsOptionalFeature -Online -FeatureName Containers, then restart"
	default:
		f.Verdict, f.Remedy = warning, "Start-Service "+name
	}
	return f
}

func diagnoseRights(m machine) finding {
	if m.admin {
		return finding{Name: "rights", Verdict: ok, Detail: "administrator or Hyper-V administrator"}
	}
	return finding{
		Name: "rights", Verdict: failure, Detail: "neither administrator nor Hyper-V administrator",
		Remedy: "start as administrator, or add the account to Hyper-V Administrators (https://aka.ms/hcsadmin)",
	}
}

func diagnoseHyperV(isolations []libcontainerd.Isolation) finding {
	if slices.Contains(isolations, libcontainerd.IsolationHyperV) {
		return finding{Name: "hyper-v", Verdict: ok, Detail: "containers can have Hyper-V isolation"}
	}
	return finding{
		Name: "hyper-v", Verdict: warning, Detail: "not running: there is process isolation at most",
		Remedy: "Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All, then restart; in a VM, nested virtualization",
	}
}
