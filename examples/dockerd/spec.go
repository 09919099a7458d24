package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// spec translates what a client has asked for, but for the scratch.
func (d *daemon) spec(r record) (libcontainerd.Spec, error) {
	mounts, err := mountsOf(r.HostConfig)
	if err != nil {
		return libcontainerd.Spec{}, err
	}
	windows := &specs.Windows{
		LayerFolders: []string{`C:\image`, `C:\scratch`}, // mounting puts the real ones in their place
		Resources:    resources(r.HostConfig),
	}
	if r.HostConfig.Isolation.IsHyperV() {
		windows.HyperV = &specs.WindowsHyperV{}
	}
	return libcontainerd.SpecFromOCI(&specs.Spec{
		Version: specs.Version, Process: initProcess(r), Root: &specs.Root{}, Mounts: mounts, Windows: windows,
		Hostname: cmp.Or(r.Config.Hostname, strings.ToUpper(r.ID[:12])),
	})
}

// initProcess is the process of the container. The image's part is in r.Config since
// the container was created.
func initProcess(r record) *specs.Process {
	p := &specs.Process{
		Terminal: r.Config.Tty,
		User:     specs.User{Username: r.Config.User},
		Env:      r.Config.Env,
		Cwd:      cmp.Or(r.Config.WorkingDir, `C:\`),
		Args:     command(r.Config),
	}
	if r.Config.ArgsEscaped && len(p.Args) == 1 {
		p.CommandLine, p.Args = p.Args[0], nil
	}
	if size := r.HostConfig.ConsoleSize; size != [2]uint{} {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	return p
}

// command are the words that the container runs.
func command(config *container.Config) []string {
	return append(slices.Clone(config.Entrypoint), config.Cmd...)
}

// execProcess is a process in a container that runs.
func execProcess(r record, request container.ExecCreateRequest) (libcontainerd.Process, error) {
	p := &specs.Process{
		Terminal: request.Tty,
		User:     specs.User{Username: cmp.Or(request.User, r.Config.User)},
		Env:      append(slices.Clone(r.Config.Env), request.Env...),
		Cwd:      cmp.Or(request.WorkingDir, r.Config.WorkingDir, `C:\`),
		Args:     request.Cmd,
	}
	if size := request.ConsoleSize; size != nil {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	return libcontainerd.ProcessFromOCI(p)
}

// mountsOf returns the folders and pipes of the host that the container sees.
func mountsOf(h *container.HostConfig) ([]specs.Mount, error) {
	var mounts []specs.Mount
	for _, bind := range h.Binds {
		m, err := parseBind(bind)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	for _, m := range h.Mounts {
		if m.Type != mount.TypeBind && m.Type != mount.TypeNamedPipe {
			return nil, unsupported("mounts of type %q are not served", m.Type)
		}
		mounts = append(mounts, specs.Mount{Source: m.Source, Destination: m.Target, Options: mode(m.ReadOnly)})
	}
	return mounts, nil
}

func mode(readOnly bool) []string {
	if readOnly {
		return []string{"ro"}
	}
	return nil
}

// parseBind reads HOST:CONTAINER[:ro|:rw], where each of HOST and CONTAINER may begin
// with a drive.
func parseBind(bind string) (specs.Mount, error) {
	rest, readOnly := strings.CutSuffix(strings.TrimSuffix(bind, ":rw"), ":ro")
	drive := 0
	if len(rest) > 2 && rest[1] == ':' && (rest[2] == '\\' || rest[2] == '/') {
		drive = 2
	}
	i := strings.IndexByte(rest[drive:], ':')
	if i <= 0 || i+drive+1 == len(rest) {
		return specs.Mount{}, invalid(`volume %q: want HOST:CONTAINER or HOST:CONTAINER:ro, such as C:\data:C:\data`, bind)
	}
	source, destination := rest[:drive+i], rest[drive+i+1:]
	if !strings.ContainsAny(source, `\/`) {
		return specs.Mount{}, unsupported("volume %s: named volumes are not served, folders of the host are", source)
	}
	return specs.Mount{Source: source, Destination: destination, Options: mode(readOnly)}, nil
}

// resources returns the limits that the client has set.
func resources(h *container.HostConfig) *specs.WindowsResources {
	r := &specs.WindowsResources{}
	if h.Memory > 0 {
		r.Memory = &specs.WindowsMemoryResources{Limit: new(uint64(h.Memory))}
	}
	switch cpu := (&specs.WindowsCPUResources{}); {
	case h.CPUCount > 0:
		cpu.Count = new(uint64(h.CPUCount))
		r.CPU = cpu
	case h.NanoCPUs > 0: // whole processors, and what is left of one is given in full
		cpu.Count = new(uint64((h.NanoCPUs + 1e9 - 1) / 1e9))
		r.CPU = cpu
	case h.CPUPercent > 0:
		cpu.Maximum = new(uint16(h.CPUPercent * 100))
		r.CPU = cpu
	case h.CPUShares > 0:
		cpu.Shares = new(uint16(min(h.CPUShares, 10000)))
		r.CPU = cpu
	}
	if h.IOMaximumIOps > 0 || h.IOMaximumBandwidth > 0 {
		r.Storage = &specs.WindowsStorageResources{}
		if h.IOMaximumIOps > 0 {
			r.Storage.Iops = new(h.IOMaximumIOps)
		}
		if h.IOMaximumBandwidth > 0 {
			r.Storage.Bps = new(h.IOMaximumBandwidth)
		}
	}
	return r
}

// restartPolicy returns the engine's form of the policy, which was checked.
func restartPolicy(r record) engine.RestartPolicy {
	switch p := r.HostConfig.RestartPolicy; p.Name {
	case container.RestartPolicyAlways:
		return engine.Always()
	case container.RestartPolicyUnlessStopped:
		return engine.UnlessStopped()
	case container.RestartPolicyOnFailure:
		return engine.OnFailure(p.MaximumRetryCount)
	default:
		return engine.Never()
	}
}

// check refuses what the daemon could only ignore, before anything is created.
func check(config *container.Config, h *container.HostConfig) error {
	var errs []error
	for what, asked := range map[string]bool{
		"publishing ports":          len(h.PortBindings) > 0 || h.PublishAllPorts,
		"networks":                  !slices.Contains([]container.NetworkMode{"", "default", "none"}, h.NetworkMode),
		"volumes from a container":  len(h.VolumesFrom) > 0,
		"volumes without a folder":  len(config.Volumes) > 0,
		"links":                     len(h.Links) > 0,
		"devices":                   len(h.Devices) > 0 || len(h.DeviceRequests) > 0,
		"privileged containers":     h.Privileged,
		"capabilities":              len(h.CapAdd) > 0 || len(h.CapDrop) > 0,
		"a read-only root":          h.ReadonlyRootfs,
		"tmpfs":                     len(h.Tmpfs) > 0,
		"health checks":             config.Healthcheck != nil && len(config.Healthcheck.Test) > 0 && config.Healthcheck.Test[0] != "NONE",
		"security options":          len(h.SecurityOpt) > 0,
		"storage options":           len(h.StorageOpt) > 0,
		"extra hosts":               len(h.ExtraHosts) > 0,
		"name servers":              len(h.DNS) > 0 || len(h.DNSSearch) > 0 || len(h.DNSOptions) > 0,
		"an init process of Docker": h.Init != nil && *h.Init,
	} {
		if asked {
			errs = append(errs, unsupported("%s: not served by this daemon", what))
		}
	}
	if h.AutoRemove && !h.RestartPolicy.IsNone() {
		errs = append(errs, invalid("can't create 'AutoRemove' container with restart policy"))
	}
	if i := h.Isolation; !i.IsDefault() && !i.IsHyperV() && !i.IsProcess() {
		errs = append(errs, invalid("isolation %q is none of default, process and hyperv", i))
	}
	if h.CPUPercent < 0 || h.CPUPercent > 100 {
		errs = append(errs, invalid("CpuPercent %d is not in 0…100", h.CPUPercent))
	}
	errs = append(errs, container.ValidateRestartPolicy(h.RestartPolicy))
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return errors.Join(errs...)
}

// complete puts into config what the image says and the client does not.
func complete(config *container.Config, i image) error {
	if len(config.Entrypoint) == 0 {
		if len(config.Cmd) == 0 {
			config.Cmd = i.Config.Cmd
			config.ArgsEscaped = i.Config.ArgsEscaped
		}
		config.Entrypoint = i.Config.Entrypoint
	}
	if len(config.Entrypoint) == 1 && config.Entrypoint[0] == "" { // --entrypoint "" takes the image's away
		config.Entrypoint = nil
	}
	if len(command(config)) == 0 {
		return invalid("no command specified")
	}
	config.Env = mergeEnv(i.Config.Env, config.Env)
	config.WorkingDir = cmp.Or(config.WorkingDir, i.Config.WorkingDir)
	config.User = cmp.Or(config.User, i.Config.User)
	return nil
}

// mergeEnv returns the entries of both, those of b in place of those of a. A name
// without a value takes away the entry.
func mergeEnv(a, b []string) []string {
	taken := map[string]bool{}
	for _, entry := range b {
		name, _, _ := strings.Cut(entry, "=")
		taken[strings.ToUpper(name)] = true
	}
	merged := slices.DeleteFunc(slices.Clone(a), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return taken[strings.ToUpper(name)]
	})
	for _, entry := range b {
		if strings.Contains(entry, "=") {
			merged = append(merged, entry)
		}
	}
	return merged
}
