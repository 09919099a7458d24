package libcontainerd

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SpecFromOCI makes a Spec from a Windows container's config.json, as the OCI
// runtime specification defines it.
//   - The last of its layerFolders becomes LayerFolder and the others LayerPaths.
//   - A mount onto \\.\pipe\NAME becomes one of Pipes.
//   - A commandLine is taken as it stands. Without one, each of args is escaped by
//     the rules of Windows.
//   - A volume as root.path loses its trailing backslash.
//
// Documents as containerd writes them lack two things that Create needs, which
// SpecFromOCI leaves to the caller:
//   - root.path may be empty. A container with process isolation needs Root.Path,
//     the volume that mounting its layers gives.
//   - windows.network.networkNamespace becomes NetworkNamespace, which the caller
//     resolves to endpoints.
//
// The error joins everything that is wrong with the document, each named by its
// JSON path and of kind errdefs.ErrInvalidArgument. What is valid OCI but beyond
// schema 1 of HCS is of kind errdefs.ErrNotImplemented as well. s is not changed,
// and a nil pointer anywhere in it means that the field is absent. SpecFromOCI may
// be called concurrently.
func SpecFromOCI(s *specs.Spec) (Spec, error) {
	if s == nil {
		return Spec{}, invalid("spec", "is missing")
	}
	w := value(s.Windows)
	p := problems{rename: ociNames(s)}
	refuseForeign(&p, s)

	spec := Spec{
		Version:  Version,
		Platform: Platform{OS: "windows"},
		Root:     rootFromOCI(&p, value(s.Root), w.HyperV != nil),
		Hostname: s.Hostname,
		Windows:  windowsFromOCI(&p, &w),
	}
	spec.Mounts, spec.Windows.Pipes = mountsFromOCI(&p, s.Mounts)
	if s.Process == nil {
		p.add("process", "is missing: there is nothing to run")
	} else {
		spec.Process = processFromOCI(&p, s.Process)
		spec.Process.check(&p)
	}
	spec.checkDocument(&p)
	spec.checkReadonly(&p)
	if spec.Root.Path != "" {
		spec.checkVolume(&p)
	}
	if err := p.join(); err != nil {
		return Spec{}, err
	}
	return spec, nil
}

// ociNames returns a function that turns the name of a field of a Spec into its
// name in the OCI document from which the Spec is made.
func ociNames(s *specs.Spec) func(field string) string {
	scratch := len(value(s.Windows).LayerFolders) - 1
	names := []string{
		"windows.layer_folder", element("windows.layerFolders", scratch),
		"windows.layer_paths", "windows.layerFolders",
		"windows.hv_runtime.image_path", "windows.hyperv.utilityVMPath",
		"windows.networking.endpoints", "windows.network.endpointList",
		"windows.networking.network_namespace", "windows.network.networkNamespace",
		"windows.networking.dns_search_list", "windows.network.DNSSearchList",
		"windows.networking.network_shared_container_name", "windows.network.networkSharedContainerName",
		"windows.credential_spec", "windows.credentialSpec",
		".id_type", ".idType",
	}
	return strings.NewReplacer(append(names, ociProcessNames(s.Process)...)...).Replace
}

func ociProcessNames(o *specs.Process) []string {
	names := []string{
		"process.user.user", "process.user.username",
		"process.initial_console_size[0]", "process.consoleSize.height",
		"process.initial_console_size[1]", "process.consoleSize.width",
	}
	if value(o).CommandLine != "" {
		names = append(names, "process.args[0]", "process.commandLine", "process.args", "process.commandLine")
	}
	return names
}

// refuseForeign refuses what is for other systems than Windows, and hooks.
func refuseForeign(p *problems, s *specs.Spec) {
	foreign := []struct {
		field   string
		present bool
	}{
		{"linux", s.Linux != nil},
		{"solaris", s.Solaris != nil},
		{"vm", s.VM != nil},
		{"zos", s.ZOS != nil},
		{"freebsd", s.FreeBSD != nil},
		{"domainname", s.Domainname != ""},
	}
	for _, f := range foreign {
		if f.present {
			p.refuse(f.field, "is not for Windows containers")
		}
	}
	if h := s.Hooks; h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer)+len(h.StartContainer)+len(h.Poststart)+len(h.Poststop) > 0 { //nolint:staticcheck // Prestart is deprecated, not gone
		p.refuse("hooks", "are run by the engine, not by this package")
	}
}

func rootFromOCI(p *problems, root specs.Root, hyperV bool) Root {
	if hyperV && root.Path != "" {
		p.add("root.path", "must be empty for a Hyper-V container")
	}
	path := volumePath(root.Path)
	if !hyperV && isVolumePath(path) && !isGUID(path[len(volumePrefix):len(path)-1]) {
		p.add("root.path", `%q is not a volume as \\?\Volume{GUID}`, root.Path)
	}
	return Root{Path: path, Readonly: root.Readonly}
}

// ProcessFromOCI returns the process of an OCI document, as AddProcess takes it.
// args and commandLine are treated as in SpecFromOCI; a consoleSize counts with
// terminal only. The error joins everything that is wrong with o, as in
// SpecFromOCI. o is not changed. ProcessFromOCI may be called concurrently.
func ProcessFromOCI(o *specs.Process) (Process, error) {
	if o == nil {
		return Process{}, invalid("process", "is missing")
	}
	p := problems{rename: strings.NewReplacer(ociProcessNames(o)...).Replace}
	process := processFromOCI(&p, o)
	process.check(&p)
	if err := p.join(); err != nil {
		return Process{}, err
	}
	return process, nil
}

func processFromOCI(p *problems, o *specs.Process) Process {
	if o.ExecCPUAffinity != nil {
		p.refuse("process.execCPUAffinity", "schema 1 of HCS has no CPU affinity")
	}
	process := Process{
		Terminal: o.Terminal,
		User:     User{User: o.User.Username},
		Env:      slices.Clone(o.Env),
		Cwd:      o.Cwd,
	}
	if o.Terminal && o.ConsoleSize != nil {
		// A number that int cannot hold turns negative, and Process.check refuses it.
		process.InitialConsoleSize = [2]int{int(o.ConsoleSize.Height), int(o.ConsoleSize.Width)}
	}
	if o.CommandLine != "" {
		process.Args = []string{o.CommandLine}
		return process
	}
	if len(o.Args) > 0 && o.Args[0] == "" {
		p.add("process.args[0]", "names no program")
	}
	for _, arg := range o.Args {
		process.Args = append(process.Args, EscapeArg(arg))
	}
	return process
}

func windowsFromOCI(p *problems, o *specs.Windows) Windows {
	w := Windows{
		Resources:      resourcesFromOCI(p, o.Resources),
		Networking:     networkingFromOCI(o.Network),
		FirstStart:     o.IgnoreFlushesDuringBoot,
		CredentialSpec: credentialsFromOCI(p, o.CredentialSpec),
		Servicing:      o.Servicing,
	}
	if last := len(o.LayerFolders) - 1; last < 1 {
		p.add("windows.layerFolders", "has %d entries, the least are one layer and, last, the scratch", last+1)
	} else {
		w.LayerPaths = slices.Clone(o.LayerFolders[:last])
		w.LayerFolder = o.LayerFolders[last]
		if w.LayerFolder == "" {
			p.add("windows.layer_folder", "is empty")
		}
	}
	if o.HyperV != nil {
		w.HvRuntime = &HvRuntime{ImagePath: o.HyperV.UtilityVMPath}
	}
	for _, d := range o.Devices {
		w.Devices = append(w.Devices, Device{ID: d.ID, IDType: d.IDType})
	}
	return w
}

func resourcesFromOCI(p *problems, o *specs.WindowsResources) *Resources {
	if o == nil {
		return nil
	}
	r := new(Resources)
	if m := o.Memory; m != nil {
		r.Memory = new(Memory)
		switch {
		case m.Limit == nil:
		case *m.Limit > math.MaxInt64:
			p.add("windows.resources.memory.limit", "%d is above %d", *m.Limit, int64(math.MaxInt64))
		default:
			r.Memory.Limit = new(int64(*m.Limit))
		}
	}
	if c := o.CPU; c != nil {
		if len(c.Affinity) > 0 {
			p.refuse("windows.resources.cpu.affinity", "schema 1 of HCS has no CPU affinity")
		}
		r.CPU = &CPU{Count: clone(c.Count), Shares: widen(c.Shares), Maximum: widen(c.Maximum)}
	}
	if s := o.Storage; s != nil {
		r.Storage = &Storage{Iops: clone(s.Iops), Bps: clone(s.Bps), SandboxSize: clone(s.SandboxSize)}
	}
	return r
}

func networkingFromOCI(o *specs.WindowsNetwork) *Networking {
	if o == nil {
		return nil
	}
	return &Networking{
		EndpointList:               slices.Clone(o.EndpointList),
		NetworkNamespace:           o.NetworkNamespace,
		DNSSearchList:              slices.Clone(o.DNSSearchList),
		AllowUnqualifiedDNSQuery:   o.AllowUnqualifiedDNSQuery,
		NetworkSharedContainerName: o.NetworkSharedContainerName,
	}
}

// credentialsFromOCI returns the JSON text of a credential spec, which is a JSON
// object or its text. checkDocument looks at the latter.
func credentialsFromOCI(p *problems, o any) string {
	switch spec := o.(type) {
	case nil:
		return ""
	case string:
		return spec
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(o); err != nil {
		p.add("windows.credential_spec", "is not JSON") // err may quote secrets
		return ""
	}
	if text.String() == "null\n" {
		return "" // a typed nil
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// mountsFromOCI leaves out the mounts that have a problem. So the others have other
// numbers in the lists that it returns than in mounts.
func mountsFromOCI(p *problems, mounts []specs.Mount) (folders []Mount, pipes []Pipe) {
	for i := range mounts {
		m, field, before := &mounts[i], element("mounts", i), len(p.errs)
		if m.Type != "" {
			p.refuse(field+".type", "%q: schema 1 of HCS mounts folders and pipes only, without a type", m.Type)
		}
		p.text(field, "source", m.Source)
		p.text(field, "destination", m.Destination)
		readonly := readonlyFromOCI(p, field+".options", m.Options)
		name, isPipe := pipeName(m.Destination)
		if isPipe {
			checkPipeMount(p, field, m.Source, readonly)
		} else {
			checkFolderMount(p, field, m.Source, m.Destination)
		}
		switch {
		case len(p.errs) > before:
		case isPipe:
			pipes = append(pipes, Pipe{Source: m.Source, Name: name})
		default:
			folders = append(folders, Mount{Destination: m.Destination, Source: m.Source, Readonly: readonly})
		}
	}
	checkOverlap(p, mounts)
	return folders, pipes
}

// readonlyFromOCI reports whether one of the options asks for a read-only mount.
// The options that make a bind mount, which every mount is here, change nothing.
func readonlyFromOCI(p *problems, field string, options []string) (readonly bool) {
	for i, option := range options {
		switch strings.ToLower(option) {
		case "ro":
			readonly = true
		case "rw", "bind", "rbind":
		default:
			p.refuse(element(field, i), "%q is none of ro, rw, bind, rbind", option)
		}
	}
	return readonly
}

func checkPipeMount(p *problems, field, source string, readonly bool) {
	if readonly {
		p.refuse(field+".options", "a pipe cannot be mounted read-only")
	}
	if _, ok := pipeName(source); !ok {
		p.add(field+".source", `%q is not a pipe as \\.\pipe\NAME`, source)
	}
}

func checkFolderMount(p *problems, field, source, destination string) {
	switch {
	case source == "":
		p.add(field+".source", "is empty")
	case hasPathPrefix(source, `\\.\pipe`):
		p.add(field+".source", `%q is a pipe, which can be mounted only onto \\.\pipe\NAME`, source)
	case !winIsAbs(source):
		p.add(field+".source", "%q is not absolute", source)
	}
	switch volume := winVolume(destination); {
	case destination == "":
		p.add(field+".destination", "is empty")
	case len(volume) != len("C:"), destination != volume && !winIsAbs(destination):
		p.add(field+".destination", "%q is not absolute, as C:\\folder", destination)
	case strings.EqualFold(volume, "C:") && winBase(winClean(destination)) == `\`:
		p.add(field+".destination", "%q is the root of the container", destination)
	}
}

// checkOverlap reports folders that are mounted onto the same one.
func checkOverlap(p *problems, mounts []specs.Mount) {
	taken := make(map[string]int, len(mounts))
	for i, m := range mounts {
		if !winIsAbs(m.Destination) {
			continue
		}
		path := strings.Map(upperCase, trimWinSeparators(winClean(m.Destination)))
		if first, ok := taken[path]; ok {
			p.add(element("mounts", i)+".destination", "is mounts[%d].destination, too", first)
			continue
		}
		taken[path] = i
	}
}
