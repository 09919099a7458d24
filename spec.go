package libcontainerd

import "github.com/docker/go-connections/nat"

// Version is the version of the spec, as in Spec.Version.
const Version = "0.3.0 (Windows)"

// Spec describes a container. Its fields, and their JSON names, are those of
// the Windows spec of 2016; what later releases of Windows brought stands under
// Windows. A number that is 0 means the same as one that is absent. A Spec that
// is written as JSON and read again is the same Spec.
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
	// InitialConsoleSize is height and width, in characters, 0…65535. HCS gets it
	// with and without Terminal, as in 2016, and uses it with Terminal only.
	InitialConsoleSize [2]int `json:"initial_console_size,omitzero"`
	// User is the account that runs the process; empty: the container's default user.
	User User `json:"user"`
	// Args, joined by blanks, are the command line. Each is escaped already where
	// it needs to be; SpecFromOCI does that.
	Args []string `json:"args"`
	// Env holds NAME=value entries. Names are compared as Windows does it, without
	// regard to case; the last of several wins.
	Env []string `json:"env,omitzero"`
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
	// boots: a faster first start of a scratch that could be made again.
	FirstStart bool `json:"first_start,omitempty"`
	// LayerFolder is the folder of the scratch layer.
	LayerFolder string `json:"layer_folder,omitempty"`
	// LayerPaths are the folders of the read-only layers, the topmost first.
	LayerPaths []string `json:"layer_paths,omitzero"`
	// HvRuntime asks for Hyper-V isolation.
	HvRuntime *HvRuntime `json:"hv_runtime,omitempty"`

	// CredentialSpec is the JSON text of a group managed service account.
	CredentialSpec string `json:"credential_spec,omitempty"`
	// Pipes are named pipes of the host; they need Windows build 16299.
	Pipes []Pipe `json:"pipes,omitzero"`
	// Devices are assigned to the container; process isolation on Windows build
	// 17763 and later.
	Devices []Device `json:"devices,omitzero"`
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
	// Preview 4; later releases ignore them. A port is bound to one port of the
	// host, on all addresses; a port that is bound to nothing is ignored.
	MacAddress   string      `json:"mac,omitempty"`
	Bridge       string      `json:"bridge,omitempty"`
	PortBindings nat.PortMap `json:"port_bindings,omitzero"`

	// EndpointList holds the ids of the HNS endpoints to attach.
	EndpointList []string `json:"endpoints,omitzero"`

	// NetworkNamespace is the id of an HCN namespace, as containerd's documents
	// have it. Schema 1 of HCS does not know namespaces: Create and Configuration
	// refuse one with errdefs.ErrNotImplemented. Whoever starts the container
	// clears the field, and puts the endpoints of the namespace into EndpointList.
	NetworkNamespace string `json:"network_namespace,omitempty"`

	// DNSSearchList holds the suffixes for name resolution.
	DNSSearchList []string `json:"dns_search_list,omitzero"`
	// AllowUnqualifiedDNSQuery resolves names that have no dot.
	AllowUnqualifiedDNSQuery bool `json:"allow_unqualified_dns_query,omitempty"`
	// NetworkSharedContainerName is the id of another container, whose network this
	// container shares; process isolation only.
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
