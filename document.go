package libcontainerd

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// containerInit is the document that HCS creates a compute system from, schema
// 1. HCS accepts the fields of Technical Preview 4 and of later releases alike.
// Fields without omitempty are always sent, as they were in 2016.
//
// A field that is added here is also added to text below, to the simulator
// (hcstest/document.go), to the Windows adapter (client_windows.go) and to a
// golden document (testdata/golden). A test fails for each that is forgotten.
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

// device is a network adapter on a NAT, the only kind of device that the 2016
// client gave to Technical Preview 4.
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

// create has service create the compute system id from doc. build is the Windows
// build of the host. An error carries the text of the document. Without an error
// the text is made only for a service that takes text.
func (doc *containerInit) create(service ComputeService, id string, build uint16) (ComputeSystem, error) {
	if direct, ok := service.(documentCreator); ok {
		system, err := direct.createFromDocument(id, doc)
		if err != nil {
			err = withDocument(err, doc.text(), build)
		}
		return system, err
	}
	text := doc.text()
	system, err := service.CreateComputeSystem(id, text)
	return system, withDocument(err, text, build)
}

// text returns the document as HCS reads it, with the same bytes as encoding/json
// would give.
//
// It is written by hand, because encoding/json takes more time for it than a whole
// document may cost, and puts the document on the heap. BenchmarkDocumentText
// measures both: 0.5 and 1.4 µs.
func (doc *containerInit) text() string {
	var space [1024]byte // holds most documents, so that only the string costs memory
	return string(doc.append(space[:0]))
}

func (doc *containerInit) append(t jsonText) jsonText {
	t = t.text(`{"SystemType":`, doc.SystemType).
		text(`,"Name":`, doc.Name).
		text(`,"Owner":`, doc.Owner).
		flag(`,"IsDummy":`, doc.IsDummy).
		text(`,"VolumePath":`, doc.VolumePath).
		devices(doc.Devices).
		flag(`,"IgnoreFlushesDuringBoot":`, doc.IgnoreFlushesDuringBoot).
		text(`,"LayerFolderPath":`, doc.LayerFolderPath).
		layers(doc.Layers).
		numberIfSet(`,"ProcessorWeight":`, doc.ProcessorWeight).
		signedIfSet(`,"ProcessorMaximum":`, doc.ProcessorMaximum).
		numberIfSet(`,"ProcessorCount":`, uint64(doc.ProcessorCount)).
		numberIfSet(`,"StorageIOPSMaximum":`, doc.StorageIOPSMaximum).
		numberIfSet(`,"StorageBandwidthMaximum":`, doc.StorageBandwidthMaximum).
		numberIfSet(`,"StorageSandboxSize":`, doc.StorageSandboxSize).
		signedIfSet(`,"MemoryMaximumInMB":`, doc.MemoryMaximumInMB).
		text(`,"HostName":`, doc.HostName).
		mappedDirectories(doc.MappedDirectories).
		mappedPipes(doc.MappedPipes).
		text(`,"SandboxPath":`, doc.SandboxPath).
		flag(`,"HvPartition":`, doc.HvPartition)
	if doc.HvRuntime != nil {
		t = t.text(`,"HvRuntime":{"ImagePath":`, doc.HvRuntime.ImagePath).raw(`}`)
	}
	return t.endpoints(doc.EndpointList).
		textIfSet(`,"Credentials":`, doc.Credentials).
		textIfSet(`,"DNSSearchList":`, doc.DNSSearchList).
		flagIfSet(`,"AllowUnqualifiedDNSQuery":`, doc.AllowUnqualifiedDNSQuery).
		textIfSet(`,"NetworkSharedContainerName":`, doc.NetworkSharedContainerName).
		flagIfSet(`,"Servicing":`, doc.Servicing).
		flagIfSet(`,"TerminateOnLastHandleClosed":`, doc.TerminateOnLastHandleClosed).
		assignedDevices(doc.AssignedDevices).
		raw(`}`)
}

func (t jsonText) devices(devices []device) jsonText {
	if devices == nil {
		return t.raw(`,"Devices":null`)
	}
	return t.raw(`,"Devices":`).encode(devices) // on Technical Preview 4 only
}

func (t jsonText) layers(layers []layer) jsonText {
	if layers == nil {
		return t.raw(`,"Layers":null`)
	}
	t = t.raw(`,"Layers":[`)
	for i := range layers {
		t = t.comma(i).text(`{"ID":`, layers[i].ID).text(`,"Path":`, layers[i].Path).raw(`}`)
	}
	return t.raw(`]`)
}

func (t jsonText) mappedDirectories(directories []mappedDirectory) jsonText {
	if directories == nil {
		return t.raw(`,"MappedDirectories":null`)
	}
	t = t.raw(`,"MappedDirectories":[`)
	for i := range directories {
		d := &directories[i]
		t = t.comma(i).text(`{"HostPath":`, d.HostPath).text(`,"ContainerPath":`, d.ContainerPath).flag(`,"ReadOnly":`, d.ReadOnly).raw(`}`)
	}
	return t.raw(`]`)
}

func (t jsonText) mappedPipes(pipes []mappedPipe) jsonText {
	if len(pipes) == 0 {
		return t
	}
	t = t.raw(`,"MappedPipes":[`)
	for i := range pipes {
		t = t.comma(i).text(`{"HostPath":`, pipes[i].HostPath).text(`,"ContainerPipeName":`, pipes[i].ContainerPipeName).raw(`}`)
	}
	return t.raw(`]`)
}

func (t jsonText) endpoints(ids []string) jsonText {
	if ids == nil {
		return t.raw(`,"EndpointList":null`)
	}
	t = t.raw(`,"EndpointList":[`)
	for i, id := range ids {
		t = t.comma(i).quote(id)
	}
	return t.raw(`]`)
}

func (t jsonText) assignedDevices(devices []assignedDevice) jsonText {
	if len(devices) == 0 {
		return t
	}
	t = t.raw(`,"AssignedDevices":[`)
	for i := range devices {
		t = t.comma(i).text(`{"InterfaceClassGuid":`, devices[i].InterfaceClassGUID).raw(`}`)
	}
	return t.raw(`]`)
}

// jsonText is the beginning of a JSON text. Each method returns the text with
// something appended, as encoding/json writes it; those with IfSet append nothing
// for a zero value, as omitempty does. key is what stands before a value. No
// method has a pointer receiver, which would put the text on the heap.
type jsonText []byte

func (t jsonText) raw(s string) jsonText { return append(t, s...) }

// comma separates the i-th element of a list from the one before.
func (t jsonText) comma(i int) jsonText {
	if i == 0 {
		return t
	}
	return append(t, ',')
}

func (t jsonText) text(key, s string) jsonText { return t.raw(key).quote(s) }

func (t jsonText) textIfSet(key, s string) jsonText {
	if s == "" {
		return t
	}
	return t.text(key, s)
}

func (t jsonText) flag(key string, set bool) jsonText { return strconv.AppendBool(t.raw(key), set) }

func (t jsonText) flagIfSet(key string, set bool) jsonText {
	if !set {
		return t
	}
	return t.flag(key, set)
}

func (t jsonText) numberIfSet(key string, n uint64) jsonText {
	if n == 0 {
		return t
	}
	return strconv.AppendUint(t.raw(key), n, 10)
}

func (t jsonText) signedIfSet(key string, n int64) jsonText {
	if n == 0 {
		return t
	}
	return strconv.AppendInt(t.raw(key), n, 10)
}

// quote appends a string. Of the characters that JSON escapes, Windows paths have
// backslashes only; a string with a rarer one is left to encoding/json.
func (t jsonText) quote(s string) jsonText {
	start := len(t)
	t = append(t, '"')
	copied := 0
	for i := range len(s) {
		e := escapes[s[i]]
		if e == never {
			continue
		}
		if e == rarely {
			return t[:start].encode(s)
		}
		t = append(append(t, s[copied:i]...), '\\')
		copied = i
	}
	t = append(t, s[copied:]...)
	return append(t, '"')
}

// escape is how JSON escapes a byte of a string.
type escape byte

const (
	never escape = iota
	withBackslash
	rarely
)

var escapes = func() (table [256]escape) {
	for c := range table {
		switch {
		case c == '\\', c == '"':
			table[c] = withBackslash
		case c < ' ', c >= utf8.RuneSelf, c == '<', c == '>', c == '&':
			table[c] = rarely
		}
	}
	return table
}()

// encode appends v, which holds nothing that JSON has no form for.
func (t jsonText) encode(v any) jsonText {
	text, _ := json.Marshal(v)
	return append(t, text...)
}
