package libcontainerd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-connections/nat"
)

// documentOptions are the settings of a client that its documents carry.
type documentOptions struct {
	owner                       string
	terminateOnLastHandleClosed bool
}

// Configuration returns the HCS document, JSON of schema 1, that a Client with
// default settings sends to create the container. It asks service about the host
// and the layers. It creates nothing, and does not look at spec.Process. Equal
// input gives equal bytes. It may be called concurrently.
//
// The error joins everything that is wrong with the spec, and names each field.
//   - A value that HCS cannot be given is of kind errdefs.ErrInvalidArgument.
//   - What this host is too old for, and a network namespace, which schema 1 of HCS
//     does not know, is of that kind and of kind errdefs.ErrNotImplemented.
//
// A missing field is not an error here: Create refuses it.
func Configuration(containerID string, spec Spec, service ComputeService) (string, error) {
	if service == nil {
		return "", invalid("service", "is nil: it is asked about the host and the layers")
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
	var doc containerInit // translate would put it on the heap
	if _, err := doc.fill(containerID, &spec, service, host, documentOptions{owner: DefaultOwner}); err != nil {
		return "", err
	}
	return doc.text(), nil
}

// translate makes the document for spec, which has been checked and is not
// changed. Each warning names a field that HCS will not do as the spec says.
func translate(containerID string, spec *Spec, service ComputeService, host Host, opts documentOptions) (doc *containerInit, warnings []string, err error) {
	doc = new(containerInit)
	if warnings, err = doc.fill(containerID, spec, service, host, opts); err != nil {
		return nil, nil, err
	}
	doc.EndpointList = slices.Clone(doc.EndpointList) // the document outlives the call, the list belongs to the caller
	return doc, warnings, nil
}

// fill is translate for a document that is empty.
func (doc *containerInit) fill(containerID string, spec *Spec, service ComputeService, host Host, opts documentOptions) (warnings []string, err error) {
	w := &spec.Windows
	doc.SystemType = "Container"
	doc.Name = containerID
	doc.Owner = opts.owner
	doc.Devices = natAdapters(new(problems), w.Networking, host)
	doc.IgnoreFlushesDuringBoot = w.FirstStart
	doc.LayerFolderPath = w.LayerFolder
	doc.HostName = spec.Hostname
	doc.MappedDirectories = mappedDirectories(spec.Mounts)
	doc.MappedPipes = mappedPipes(w.Pipes)
	doc.Credentials = w.CredentialSpec
	doc.Servicing = w.Servicing
	doc.TerminateOnLastHandleClosed = opts.terminateOnLastHandleClosed
	doc.AssignedDevices = assignedDevices(w.Devices)
	doc.setNetworking(w.Networking)
	warnings = doc.setResources(w.Resources, host, w.HvRuntime != nil)
	if err := doc.setLayers(w.LayerPaths, service); err != nil {
		return nil, err
	}
	return warnings, doc.setIsolation(spec, service)
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

// findUtilityVM returns the "UtilityVM" folder of the topmost layer that has one.
// exists reports whether a folder is there.
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

func assignedDevices(devices []Device) []assignedDevice {
	assigned := make([]assignedDevice, len(devices))
	for i, d := range devices {
		assigned[i] = assignedDevice{InterfaceClassGUID: d.ID}
	}
	return assigned
}

// setNetworking writes the network settings that every release honours. An
// endpoint list that is there and empty is [], an absent one is null.
func (doc *containerInit) setNetworking(n *Networking) {
	if n == nil {
		return
	}
	doc.EndpointList = n.EndpointList
	doc.DNSSearchList = strings.Join(n.DNSSearchList, ",")
	doc.AllowUnqualifiedDNSQuery = n.AllowUnqualifiedDNSQuery
	doc.NetworkSharedContainerName = n.NetworkSharedContainerName
}

// natAdapters returns the network adapter of a container on Technical Preview
// 4, which has no endpoints, and nil on any other host.
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

// portBindings returns the bindings of a NAT, ordered by their ports. A port that
// is bound to nothing is not looked at, as in 2016.
func portBindings(p *problems, ports nat.PortMap) []portBinding {
	var bindings []portBinding
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		if hosts := ports[port]; len(hosts) > 0 {
			bindings = append(bindings, natBinding(p, port, hosts))
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

// natBinding returns the binding of one port of the container to hosts, which a
// NAT needs to be one port on all addresses.
func natBinding(p *problems, port nat.Port, hosts []nat.PortBinding) portBinding {
	field := fmt.Sprintf("windows.networking.port_bindings[%q]", port)
	protocol := portProtocol(port)
	binding := portBinding{
		Protocol:     strings.ToUpper(protocol),
		InternalPort: portNumber(p, field, "container port", port.Port()),
	}
	if binding.Protocol != "TCP" && binding.Protocol != "UDP" {
		p.add(field, "protocol %q is neither tcp nor udp", protocol)
	}
	if len(hosts) > 1 {
		p.add(field, "is bound to %d ports of the host, a NAT binds to one", len(hosts))
	}
	for _, host := range hosts {
		if host.HostIP != "" {
			p.add(field, "is bound to the host IP %q, a NAT binds to all", host.HostIP)
		}
		binding.ExternalPort = portNumber(p, field, "host port", host.HostPort)
	}
	return binding
}

// portProtocol returns the protocol of a key PORT/PROTOCOL, tcp if the key has
// none. What follows a second slash is ignored, as in 2016.
func portProtocol(port nat.Port) string {
	_, rest, _ := strings.Cut(string(port), "/")
	protocol, _, _ := strings.Cut(rest, "/")
	return cmp.Or(protocol, "tcp")
}

func portNumber(p *problems, field, what, s string) int {
	port, err := strconv.Atoi(s)
	if err != nil || port < 0 || port > 65535 {
		p.add(field, "%s %q is not a number within 0…65535", what, s)
	}
	return port
}
