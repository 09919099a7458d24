package libcontainerd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-connections/nat"
)

// containerInit is the document that HCS creates a compute system from, schema
// 1. HCS takes the fields of Technical Preview 4 and of later releases alike;
// those without omitempty are always sent, as they were in 2016.
type containerInit struct {
	SystemType                  string
	Name                        string
	Owner                       string
	IsDummy                     bool
	VolumePath                  string // scratch volume, process isolation only
	Devices                     []device
	IgnoreFlushesDuringBoot     bool
	LayerFolderPath             string // scratch layer
	Layers                      []layer
	ProcessorWeight             uint64 `json:",omitempty"`
	ProcessorMaximum            int64  `json:",omitempty"` // 1/10000 of all processors
	ProcessorCount              uint32 `json:",omitempty"`
	StorageIOPSMaximum          uint64 `json:",omitempty"`
	StorageBandwidthMaximum     uint64 `json:",omitempty"` // bytes per second
	StorageSandboxSize          uint64 `json:",omitempty"` // bytes
	MemoryMaximumInMB           int64  `json:",omitempty"` // MiB, in spite of the name
	HostName                    string
	MappedDirectories           []mappedDirectory
	MappedPipes                 []mappedPipe `json:",omitempty"`
	SandboxPath                 string       // folder of the scratch layers, Hyper-V only
	HvPartition                 bool
	HvRuntime                   *hvRuntime `json:",omitempty"`
	EndpointList                []string
	Credentials                 string           `json:",omitempty"`
	DNSSearchList               string           `json:",omitempty"`
	AllowUnqualifiedDNSQuery    bool             `json:",omitempty"`
	NetworkSharedContainerName  string           `json:",omitempty"`
	Servicing                   bool             `json:",omitempty"`
	TerminateOnLastHandleClosed bool             `json:",omitempty"`
	AssignedDevices             []assignedDevice `json:",omitempty"`
}

type layer struct {
	ID   string
	Path string
}

type mappedDirectory struct {
	HostPath      string
	ContainerPath string
	ReadOnly      bool
}

type mappedPipe struct {
	HostPath          string
	ContainerPipeName string
}

type hvRuntime struct {
	ImagePath string
}

type assignedDevice struct {
	InterfaceClassGUID string `json:"InterfaceClassGuid"`
}

// device is a network adapter on a NAT, the one kind of device that Technical
// Preview 4 was given.
type device struct {
	DeviceType string
	Connection natConnection
	Settings   *natSettings
}

type natConnection struct {
	NetworkName string
	Nat         natDevice
}

type natDevice struct {
	Name         string
	PortBindings []portBinding
}

type natSettings struct {
	MacAddress string
}

type portBinding struct {
	Protocol     string // "TCP" or "UDP"
	InternalPort int
	ExternalPort int
}

// documentOptions are the settings of a client that its documents carry.
type documentOptions struct {
	owner                       string
	terminateOnLastHandleClosed bool
}

// Configuration returns the HCS document, JSON of schema 1, that a Client with
// default settings sends for spec to create the container. It asks service
// about the host and the layers; it creates nothing and does not look at
// spec.Process. Equal input gives equal bytes.
//
// Values that HCS cannot be given, and features that the host is too old for,
// are errors of kind errdefs.ErrInvalidArgument that name each field, all of
// them joined; the latter are of kind errdefs.ErrNotImplemented as well. What
// is only missing is left for Create to refuse. Configuration may be called
// concurrently.
func Configuration(containerID string, spec Spec, service ComputeService) (string, error) {
	if service == nil {
		return "", invalid("service", "there is none to ask about the host")
	}
	host := service.Host()
	var p problems
	if fault := idFault(containerID); fault != "" {
		p.add("container id", "%s", fault)
	}
	spec.checkDocument(&p)
	spec.checkHost(&p, host)
	if err := p.join(); err != nil {
		return "", err
	}
	doc, _, err := translate(containerID, &spec, service, host, documentOptions{owner: DefaultOwner})
	if err != nil {
		return "", err
	}
	return doc.text()
}

// translate makes the document for spec, which has been checked and is not
// changed. warnings say where HCS will do something other than what the spec says.
func translate(containerID string, spec *Spec, service ComputeService, host Host, opts documentOptions) (doc *containerInit, warnings []string, err error) {
	w := &spec.Windows
	doc = &containerInit{
		SystemType:                  "Container",
		Name:                        containerID,
		Owner:                       opts.owner,
		Devices:                     natAdapters(new(problems), w.Networking, host),
		IgnoreFlushesDuringBoot:     w.FirstStart,
		LayerFolderPath:             w.LayerFolder,
		HostName:                    spec.Hostname,
		MappedDirectories:           mappedDirectories(spec.Mounts),
		MappedPipes:                 mappedPipes(w.Pipes),
		Credentials:                 w.CredentialSpec,
		Servicing:                   w.Servicing,
		TerminateOnLastHandleClosed: opts.terminateOnLastHandleClosed,
		AssignedDevices:             assignedDevices(w.Devices),
	}
	doc.setNetworking(w.Networking)
	warnings = doc.setResources(w.Resources, host, w.HvRuntime != nil)
	if err := doc.setLayers(w.LayerPaths, service); err != nil {
		return nil, nil, err
	}
	if err := doc.setIsolation(spec, service); err != nil {
		return nil, nil, err
	}
	return doc, warnings, nil
}

// text is the document as HCS takes it.
func (doc *containerInit) text() (string, error) {
	text, err := json.Marshal(doc)
	return string(text), err
}

// setIsolation gives the container its volume or, with Hyper-V, its utility VM.
// A Hyper-V container must not name a volume: its scratch is attached to the VM.
func (doc *containerInit) setIsolation(spec *Spec, service ComputeService) error {
	runtime := spec.Windows.HvRuntime
	if runtime == nil {
		doc.VolumePath = volumePath(spec.Root.Path)
		return nil
	}
	image := runtime.ImagePath
	if image == "" && len(spec.Windows.LayerPaths) == 0 {
		return invalid("windows.hv_runtime.image_path", "is empty, and there are no layers to find a utility VM in")
	}
	if image == "" {
		var err error
		if image, err = service.UtilityVM(spec.Windows.LayerPaths); err != nil {
			return fmt.Errorf("windows.hv_runtime.image_path: none is given, and none was found: %w", err)
		}
	}
	doc.HvPartition = true
	doc.HvRuntime = &hvRuntime{ImagePath: image}
	doc.SandboxPath = winDir(spec.Windows.LayerFolder)
	return nil
}

// volumePath returns the path of a volume as HCS wants it, without a backslash
// at its end.
func volumePath(root string) string {
	if len(root) < len(volumePrefix) || !strings.EqualFold(root[:len(volumePrefix)], volumePrefix) {
		return root
	}
	return strings.TrimRight(root, `\`)
}

// setLayers asks service for the id of each layer.
func (doc *containerInit) setLayers(paths []string, service ComputeService) error {
	if len(paths) == 0 {
		return nil
	}
	doc.Layers = make([]layer, len(paths))
	for i, path := range paths {
		name := layerName(path)
		id, err := service.LayerID(name)
		if err != nil {
			return fmt.Errorf("windows.layer_paths[%d]: no id for layer %q: %w", i, name, err)
		}
		doc.Layers[i] = layer{ID: id, Path: path}
	}
	return nil
}

// layerName returns the last element of a layer's path, "" if it has none.
func layerName(path string) string {
	switch name := winBase(path); name {
	case ".", `\`:
		return ""
	default:
		return name
	}
}

// findUtilityVM returns the "UtilityVM" folder of the topmost of the layers
// that has one. exists tells whether a folder is there.
func findUtilityVM(layerPaths []string, exists func(folder string) (bool, error)) (string, error) {
	for _, path := range layerPaths {
		folder := winJoin(path, "UtilityVM")
		found, err := exists(folder)
		if err != nil {
			return "", err
		}
		if found {
			return folder, nil
		}
	}
	return "", fmt.Errorf("none of the layers %q has a UtilityVM folder: %w", layerPaths, errdefs.ErrNotFound)
}

// setResources carries the limits over. warnings name those that HCS will not
// honour as they are.
func (doc *containerInit) setResources(r *Resources, host Host, hyperV bool) (warnings []string) {
	if r == nil {
		return nil
	}
	if s := r.Storage; s != nil {
		doc.StorageIOPSMaximum = value(s.Iops)
		doc.StorageBandwidthMaximum = value(s.Bps)
		doc.StorageSandboxSize = value(s.SandboxSize)
	}
	if m := r.Memory; m != nil {
		doc.MemoryMaximumInMB = value(m.Limit) / mebibyte
		if value(m.Reservation) != 0 {
			warnings = append(warnings, "windows.resources.memory.reservation: HCS has no such limit, it is ignored")
		}
	}
	if r.Network != nil && value(r.Network.Bandwidth) != 0 {
		warnings = append(warnings, "windows.resources.network.bandwidth: HCS has no such limit, it is ignored")
	}
	if r.CPU != nil {
		warnings = append(warnings, doc.setProcessor(r.CPU, host, hyperV)...)
	}
	return warnings
}

func (doc *containerInit) setProcessor(cpu *CPU, host Host, hyperV bool) (warnings []string) {
	doc.ProcessorWeight = value(cpu.Shares)
	doc.ProcessorMaximum = value(cpu.Percent) * (maxPart / 100)
	if maximum := value(cpu.Maximum); maximum != 0 {
		doc.ProcessorMaximum = int64(maximum)
	}
	count := value(cpu.Count)
	if processors := uint64(max(host.Processors, 0)); processors != 0 && count > processors {
		warnings = append(warnings, fmt.Sprintf("windows.resources.cpu.count: %d processors are more than the host's, %d are used", count, processors))
		count = processors
	}
	doc.ProcessorCount = uint32(count)

	if hyperV {
		return warnings
	}
	set := make([]string, 0, 3)
	for _, limit := range []struct {
		name  string
		isSet bool
	}{
		{"count", doc.ProcessorCount != 0}, // in the order in which Windows prefers them
		{"shares", doc.ProcessorWeight != 0},
		{"percent or maximum", doc.ProcessorMaximum != 0},
	} {
		if limit.isSet {
			set = append(set, limit.name)
		}
	}
	if len(set) > 1 {
		warnings = append(warnings, fmt.Sprintf("windows.resources.cpu: process isolation honours one limit: %s, not %s", set[0], strings.Join(set[1:], " and ")))
	}
	return warnings
}

func mappedDirectories(mounts []Mount) []mappedDirectory {
	directories := make([]mappedDirectory, len(mounts))
	for i, m := range mounts {
		directories[i] = mappedDirectory{HostPath: m.Source, ContainerPath: m.Destination, ReadOnly: m.Readonly}
	}
	return directories
}

func mappedPipes(pipes []Pipe) []mappedPipe {
	mapped := make([]mappedPipe, len(pipes))
	for i, pipe := range pipes {
		mapped[i] = mappedPipe{HostPath: pipePath(pipe.Source), ContainerPipeName: pipe.Name}
	}
	return mapped
}

// pipePath returns path, which may begin with //./pipe/, with the backslashes
// that HCS expects; a slash in the pipe's name is a part of it.
func pipePath(path string) string {
	return fromSlash(path[:len(pipePrefix)]) + path[len(pipePrefix):]
}

func assignedDevices(devices []Device) []assignedDevice {
	assigned := make([]assignedDevice, len(devices))
	for i, d := range devices {
		assigned[i] = assignedDevice{InterfaceClassGUID: d.ID}
	}
	return assigned
}

// setNetworking carries over the network settings that every release honours.
func (doc *containerInit) setNetworking(n *Networking) {
	if n == nil {
		return
	}
	if len(n.EndpointList) > 0 {
		doc.EndpointList = n.EndpointList
	}
	doc.DNSSearchList = strings.Join(n.DNSSearchList, ",")
	doc.AllowUnqualifiedDNSQuery = n.AllowUnqualifiedDNSQuery
	doc.NetworkSharedContainerName = n.NetworkSharedContainerName
}

// natAdapters returns the network adapter of a container on Technical Preview
// 4, which has no endpoints; nil elsewhere.
func natAdapters(p *problems, n *Networking, host Host) []device {
	if !host.TP4 || n == nil || n.Bridge == "" {
		return nil
	}
	adapter := device{
		DeviceType: "Network",
		Connection: natConnection{
			NetworkName: n.Bridge,
			Nat:         natDevice{Name: "ContainerNAT", PortBindings: portBindings(p, n.PortBindings)},
		},
	}
	if n.MacAddress != "" {
		adapter.Settings = &natSettings{MacAddress: strings.ReplaceAll(n.MacAddress, ":", "-")}
	}
	return []device{adapter}
}

// portBindings returns the bindings of a NAT, ordered by their ports. A port
// that is bound to nothing gets none, one that is bound to no port in
// particular gets 0: the NAT chooses.
func portBindings(p *problems, ports nat.PortMap) []portBinding {
	var bindings []portBinding
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		field := fmt.Sprintf("windows.networking.port_bindings[%q]", port)
		protocol := strings.ToUpper(port.Proto())
		if protocol != "TCP" && protocol != "UDP" {
			p.add(field, "protocol %q is neither tcp nor udp", port.Proto())
		}
		internal := portNumber(p, field, "container port", port.Port())
		hosts := ports[port]
		if len(hosts) > 1 {
			p.add(field, "is bound to %d ports of the host, a NAT binds to one", len(hosts))
		}
		for _, host := range hosts {
			if host.HostIP != "" {
				p.add(field, "is bound to the host IP %q, a NAT binds to all", host.HostIP)
			}
			external := 0
			if host.HostPort != "" {
				external = portNumber(p, field, "host port", host.HostPort)
			}
			bindings = append(bindings, portBinding{Protocol: protocol, InternalPort: internal, ExternalPort: external})
		}
	}
	slices.SortStableFunc(bindings, func(a, b portBinding) int {
		return cmp.Or(
			cmp.Compare(a.InternalPort, b.InternalPort),
			cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.ExternalPort, b.ExternalPort),
		)
	})
	return bindings
}

func portNumber(p *problems, field, what, s string) int {
	port, err := strconv.Atoi(s)
	if err != nil || port < 0 || port > 65535 {
		p.add(field, "%s %q is not a number within 0…65535", what, s)
	}
	return port
}
