package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	units "github.com/docker/go-units"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
	"github.com/spf13/cobra"
)

// imageOptions are the flags that describe a container of an image.
type imageOptions struct {
	image     string
	env       []string
	volumes   []string
	cwd, user string
	hostname  string
	memory    string
	cpus      float64
	isolation string
	network   string
	detach    bool
	tty       bool
	input     bool
}

// ofImage are the names of the flags that need --image.
var ofImage = []string{"env", "volume", "cwd", "user", "hostname", "memory", "cpus", "isolation", "network", "tty", "interactive", "detach", "rm"}

func (o *imageOptions) addFlags(cmd *cobra.Command) {
	var remove bool
	flags := cmd.Flags()
	flags.StringVar(&o.image, "image", "", "folder of an image in Docker's store, tar of an image, or name of one in the store")
	flags.StringArrayVarP(&o.env, "env", "e", nil, "NAME=value, or NAME for the value that hcsrun has; may be repeated")
	flags.StringArrayVarP(&o.volumes, "volume", "v", nil, `HOST:CONTAINER[:ro], a folder or \\.\pipe\NAME of the host; may be repeated`)
	flags.StringVarP(&o.cwd, "cwd", "w", "", "working directory in the container")
	flags.StringVarP(&o.user, "user", "u", "", "account in the container, such as ContainerUser")
	flags.StringVar(&o.hostname, "hostname", "", "name of the container's computer")
	flags.StringVarP(&o.memory, "memory", "m", "", "limit on committed memory, such as 512m or 2g")
	flags.Float64Var(&o.cpus, "cpus", 0, "limit on processors, such as 1.5")
	flags.StringVar(&o.isolation, "isolation", "process", "process or hyperv")
	flags.StringVar(&o.network, "network", "none", "network of the host that the container gets an endpoint on, such as nat; or none")
	flags.BoolVarP(&o.tty, "tty", "t", false, "give the container a terminal, and it all keys; includes -i")
	flags.BoolVarP(&o.input, "interactive", "i", false, "connect the input")
	flags.BoolVarP(&o.detach, "detach", "d", false, "print the id when the container runs, and leave another hcsrun with it, which drops its output")
	flags.BoolVar(&remove, "rm", true, "as ever: what the container wrote is removed after its exit")
	_ = cmd.RegisterFlagCompletionFunc("isolation", cobra.FixedCompletions([]string{"process", "hyperv"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses flags that do not fit together, or that belong to the other form
// of run.
func (o *imageOptions) check(cmd *cobra.Command) error {
	if o.image == "" {
		if cmd.Flags().Changed("image") {
			return errors.New("--image is empty")
		}
		for _, name := range ofImage {
			if cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s goes with --image; with FILE it is in the file", name)
			}
		}
		return nil
	}
	if remove, _ := cmd.Flags().GetBool("rm"); !remove {
		return errors.New("--rm=false: hcsrun keeps no containers")
	}
	if o.detach && (o.tty || o.input) {
		return errors.New("--detach goes without --tty and --interactive: nobody would be there")
	}
	return nil
}

// spec makes the spec of a container of an image, without its layers and its
// endpoints. It returns an error for each flag that is wrong, joined.
func (o *imageOptions) spec(img image, command []string, host libcontainerd.Host) (libcontainerd.Spec, error) {
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	process, err := o.process(img.config, command)
	note(err)
	mounts, err := o.mounts()
	note(err)
	resources, err := o.resources(host)
	note(err)
	windows := &specs.Windows{LayerFolders: append(slices.Clone(img.layers), `C:\scratch`), Resources: resources}
	switch o.isolation {
	case string(libcontainerd.IsolationProcess):
	case string(libcontainerd.IsolationHyperV):
		windows.HyperV = &specs.WindowsHyperV{}
	default:
		note(fmt.Errorf("--isolation %q: want process or hyperv", o.isolation))
	}
	if len(errs) > 0 {
		return libcontainerd.Spec{}, errors.Join(errs...)
	}
	spec, err := libcontainerd.SpecFromOCI(&specs.Spec{
		Version: specs.Version, Process: process, Mounts: mounts, Windows: windows, Hostname: o.hostname, Root: &specs.Root{},
	})
	spec.Windows.LayerFolder, spec.Windows.LayerPaths = "", img.layers // the scratch does not exist yet
	return spec, err
}

func (o *imageOptions) process(config layers.Config, command []string) (*specs.Process, error) {
	p := &specs.Process{
		Terminal: o.tty,
		Cwd:      cmp.Or(o.cwd, config.WorkingDir, `C:\`),
		User:     specs.User{Username: cmp.Or(o.user, config.User)},
		Env:      slices.Clone(config.Env),
	}
	p.Args = append(slices.Clone(config.Entrypoint), command...)
	if len(command) == 0 {
		p.Args = append(slices.Clone(config.Entrypoint), config.Cmd...)
		if config.ArgsEscaped && len(p.Args) > 0 {
			p.CommandLine, p.Args = p.Args[0], nil
		}
	}
	if len(p.Args) == 0 && p.CommandLine == "" {
		return nil, errors.New("run wants a COMMAND: the image names none")
	}
	for _, entry := range o.env {
		entry, err := environmentEntry(entry)
		if err != nil {
			return nil, err
		}
		p.Env = append(p.Env, entry)
	}
	return p, nil
}

// volume is HOST:CONTAINER[:MODE], where HOST and CONTAINER may begin with a drive.
var volume = regexp.MustCompile(`^([A-Za-z]:[^:]+|[^:]{2,}):((?:[A-Za-z]:)?[^:]+?)(?::(ro|rw))?$`)

func (o *imageOptions) mounts() ([]specs.Mount, error) {
	var mounts []specs.Mount
	for _, text := range o.volumes {
		parts := volume.FindStringSubmatch(text)
		if parts == nil {
			return nil, fmt.Errorf(`--volume %q: want HOST:CONTAINER or HOST:CONTAINER:ro, such as C:\data:C:\data`, text)
		}
		m := specs.Mount{Source: parts[1], Destination: parts[2]}
		if parts[3] != "" {
			m.Options = []string{parts[3]}
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func (o *imageOptions) resources(host libcontainerd.Host) (*specs.WindowsResources, error) {
	var r specs.WindowsResources
	var errs []error
	if o.memory != "" {
		limit, err := units.RAMInBytes(o.memory)
		if err != nil || limit < units.MiB { // less would be no limit
			errs = append(errs, fmt.Errorf("--memory %q: want a size from 1m up, such as 512m or 2g", o.memory))
		}
		r.Memory = &specs.WindowsMemoryResources{Limit: new(uint64(limit))}
	}
	if o.cpus != 0 {
		if !(o.cpus > 0 && o.cpus < math.MaxUint16) { // so that NaN is refused, too
			errs = append(errs, fmt.Errorf("--cpus %v: want a number above 0, such as 1.5", o.cpus))
		}
		r.CPU = o.cpu(host)
	}
	return &r, errors.Join(errs...)
}

// cpu gives a utility VM whole processors, and the container a share of them.
// Without a utility VM the container gets a share of the host's processors.
func (o *imageOptions) cpu(host libcontainerd.Host) *specs.WindowsCPUResources {
	var cpu specs.WindowsCPUResources
	processors := float64(cmp.Or(host.Processors, 1))
	if o.isolation == string(libcontainerd.IsolationHyperV) {
		processors = min(processors, math.Ceil(o.cpus))
		cpu.Count = new(uint64(processors))
	}
	const whole = 10_000
	share := math.Round(o.cpus / processors * whole)
	cpu.Maximum = new(uint16(max(1, min(whole, share))))
	return &cpu
}

// environmentEntry is NAME=value, or NAME with the value that hcsrun has.
func environmentEntry(entry string) (string, error) {
	name, _, ok := strings.Cut(entry, "=")
	if name == "" {
		return "", fmt.Errorf("--env %q: want NAME=value or NAME", entry)
	}
	if !ok {
		entry += "=" + os.Getenv(name)
	}
	return entry, nil
}
