package libcontainerd

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/docker/go-connections/nat"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version is the version of the spec, as in Spec.Version.
const Version = "0.3.0 (Windows)"

// Spec describes a container. Its fields, and their JSON names, are those of
// the Windows spec of 2016; what later releases of Windows brought stands under
// Windows. A number that is 0 means the same as one that is absent.
type Spec struct {
	Version  string   `json:"ociVersion"`
	Platform Platform `json:"platform"`
	Process  Process  `json:"process"`
	Root     Root     `json:"root"`
	Hostname string   `json:"hostname,omitempty"`
	Mounts   []Mount  `json:"mounts"`
	Windows  Windows  `json:"windows"`
}

// Platform names the system that the container is made for. Nothing depends on
// it.
type Platform struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
}

// Process describes a process of a container, its init process or an exec'd one.
type Process struct {
	// Terminal gives the process an emulated console: stderr is part of stdout,
	// and Resize works.
	Terminal bool `json:"terminal"`
	// InitialConsoleSize is height and width, in characters, 0…65535; it is used
	// only with Terminal.
	InitialConsoleSize [2]int `json:"-"`
	// User runs the process; empty: the container's default user.
	User User `json:"user"`
	// Args, joined by blanks, are the command line. Each is escaped already where
	// it needs to be; SpecFromOCI does that.
	Args []string `json:"args"`
	// Env holds NAME=value entries. Names are compared as Windows does it, without
	// regard to case; the last of several wins.
	Env []string `json:"env,omitempty"`
	// Cwd is the working directory in the container.
	Cwd string `json:"cwd"`
}

// User is the account that a process runs as.
type User struct {
	User string `json:"user,omitempty"`
}

// Root is the container's root file system.
type Root struct {
	// Path is the volume of the scratch, \\?\Volume{GUID} without a trailing
	// backslash. Process isolation needs it, Hyper-V isolation ignores it.
	Path     string `json:"path"`
	Readonly bool   `json:"readonly"`
}

// Mount maps a folder of the host into the container.
type Mount struct {
	Destination string `json:"destination"`
	Type        string `json:"type"`
	Source      string `json:"source"`
	Readonly    bool   `json:"readonly"`
}

// Windows is the part of a Spec that only Windows has.
type Windows struct {
	Resources  *Resources  `json:"resources,omitempty"`
	Networking *Networking `json:"networking,omitempty"`
	// FirstStart tells HCS that it need not flush writes while the container
	// boots: a faster first start of a scratch that could be made anew.
	FirstStart bool `json:"first_start,omitempty"`
	// LayerFolder is the folder of the scratch layer.
	LayerFolder string `json:"layer_folder,omitempty"`
	// LayerPaths are the folders of the read-only layers, the topmost first.
	LayerPaths []string `json:"layer_paths,omitempty"`
	// HvRuntime asks for Hyper-V isolation.
	HvRuntime *HvRuntime `json:"hv_runtime,omitempty"`

	// CredentialSpec is the JSON text of a group managed service account.
	CredentialSpec string `json:"credential_spec,omitempty"`
	// Pipes are named pipes of the host; they need Windows build 16299.
	Pipes []Pipe `json:"pipes,omitempty"`
	// Devices are assigned to the container; process isolation on Windows build
	// 17763 and later.
	Devices []Device `json:"devices,omitempty"`
	// Servicing starts the container to install updates.
	Servicing bool `json:"servicing,omitempty"`
}

// HvRuntime holds the settings of Hyper-V isolation.
type HvRuntime struct {
	// ImagePath is the folder of the utility VM's image; empty: the "UtilityVM"
	// folder of the topmost layer that has one.
	ImagePath string `json:"image_path,omitempty"`
}

// Networking connects the container.
type Networking struct {
	// MacAddress, Bridge and PortBindings make the NAT device of Technical
	// Preview 4; later releases ignore them.
	MacAddress   string      `json:"mac,omitempty"`
	Bridge       string      `json:"bridge,omitempty"`
	PortBindings nat.PortMap `json:"port_bindings,omitempty"`

	// EndpointList holds the ids of the HNS endpoints to attach.
	EndpointList []string `json:"endpoints,omitempty"`

	// DNSSearchList holds the suffixes for name resolution.
	DNSSearchList []string `json:"dns_search_list,omitempty"`
	// AllowUnqualifiedDNSQuery resolves names that have no dot.
	AllowUnqualifiedDNSQuery bool `json:"allow_unqualified_dns_query,omitempty"`
	// NetworkSharedContainerName is the id of the container whose network this
	// one shares; process isolation only.
	NetworkSharedContainerName string `json:"network_shared_container_name,omitempty"`
}

// Pipe maps a named pipe of the host into the container.
type Pipe struct {
	Source string `json:"source"` // \\.\pipe\NAME on the host
	Name   string `json:"name"`   // NAME in the container
}

// Device names devices of the host by their interface class.
type Device struct {
	ID     string `json:"id"`      // GUID
	IDType string `json:"id_type"` // "class" or "vpci-class-guid"
}

// Resources limits what the container may use. It is also the argument of
// UpdateResources.
type Resources struct {
	Memory  *Memory  `json:"memory,omitempty"`
	CPU     *CPU     `json:"cpu,omitempty"`
	Storage *Storage `json:"storage,omitempty"`
	Network *Network `json:"network,omitempty"`
}

// Memory limits memory.
type Memory struct {
	Limit       *int64  `json:"limit,omitempty"`       // bytes, from 1 MiB
	Reservation *uint64 `json:"reservation,omitempty"` // bytes; HCS has no such limit
}

// CPU limits processor time. Under process isolation Windows honours one limit
// only: count before shares before percent or maximum.
type CPU struct {
	Count   *uint64 `json:"count,omitempty"`   // processors, capped at the host's
	Shares  *uint64 `json:"shares,omitempty"`  // relative weight, 1…10000
	Percent *int64  `json:"percent,omitempty"` // of all processors, 1…100
	Maximum *uint64 `json:"maximum,omitempty"` // 1/10000 of all processors, 1…10000; excludes Percent
}

// Storage limits the use of the container's system drive.
type Storage struct {
	Iops        *uint64 `json:"iops,omitempty"`         // operations per second
	Bps         *uint64 `json:"bps,omitempty"`          // bytes per second
	SandboxSize *uint64 `json:"sandbox_size,omitempty"` // bytes the drive is expanded to
}

// Network limits network traffic.
type Network struct {
	Bandwidth *uint64 `json:"bandwidth,omitempty"` // bytes per second; HCS has no such limit
}

// SpecFromOCI makes a Spec from a Windows container's config.json, as the OCI
// runtime specification defines it.
//
// The last of its layerFolders becomes LayerFolder and the others LayerPaths. A
// mount onto \\.\pipe\NAME becomes one of Pipes. Without a commandLine, which is
// taken as it stands, each of args is escaped by the rules of Windows. A volume
// as root.path loses its trailing backslash.
//
// The error joins everything that is wrong with the document, each named by its
// JSON path and of kind errdefs.ErrInvalidArgument. What is valid OCI but beyond
// schema 1 of HCS is of kind errdefs.ErrNotImplemented as well. s is not changed,
// and a nil pointer anywhere in it means that the field is absent.
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
	spec.checkRoot(&p)
	if err := p.join(); err != nil {
		return Spec{}, err
	}
	return spec, nil
}

// ociNames returns how a field of a Spec is called in the OCI document that the
// Spec is made from.
func ociNames(s *specs.Spec) func(field string) string {
	scratch := len(value(s.Windows).LayerFolders) - 1
	names := []string{
		"windows.layer_folder", element("windows.layerFolders", scratch),
		"windows.layer_paths", "windows.layerFolders",
		"windows.hv_runtime.image_path", "windows.hyperv.utilityVMPath",
		"windows.networking.endpoints", "windows.network.endpointList",
		"windows.networking.dns_search_list", "windows.network.DNSSearchList",
		"windows.networking.network_shared_container_name", "windows.network.networkSharedContainerName",
		"windows.credential_spec", "windows.credentialSpec",
		".id_type", ".idType",
		"process.user.user", "process.user.username",
	}
	if value(s.Process).CommandLine != "" {
		names = append(names, "process.args[0]", "process.commandLine", "process.args", "process.commandLine")
	}
	return strings.NewReplacer(names...).Replace
}

// refuseForeign refuses what is for other systems than Windows, or for whoever
// runs this package.
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
		p.refuse("hooks", "are the engine's to run")
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
// All that is wrong with it is one error of kind errdefs.ErrInvalidArgument.
func ProcessFromOCI(o *specs.Process) (Process, error) {
	if o == nil {
		return Process{}, invalid("process", "is missing")
	}
	var p problems
	process := processFromOCI(&p, o)
	if err := p.join(); err != nil {
		return Process{}, err
	}
	return process, process.validate()
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
		// What int cannot hold turns negative, and is refused like the rest.
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
		Networking:     networkingFromOCI(p, o.Network),
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

func clone[T any](v *T) *T {
	if v == nil {
		return nil
	}
	return new(*v)
}

func widen(v *uint16) *uint64 {
	if v == nil {
		return nil
	}
	return new(uint64(*v))
}

func networkingFromOCI(p *problems, o *specs.WindowsNetwork) *Networking {
	if o == nil {
		return nil
	}
	if o.NetworkNamespace != "" {
		p.refuse("windows.network.networkNamespace", "schema 1 of HCS knows endpoints, not network namespaces")
	}
	return &Networking{
		EndpointList:               slices.Clone(o.EndpointList),
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

// mountsFromOCI leaves out the mounts that it finds fault with: in the lists that
// it returns, the others have not the numbers they have in mounts.
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
		p.add(field+".destination", "%q is the container's own root", destination)
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
