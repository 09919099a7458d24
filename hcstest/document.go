package hcstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
)

// document is a schema 1 document of a container, with every field that HCS
// knows.
type document struct {
	SystemType                  string
	Name                        string
	Owner                       string
	IsDummy                     bool
	VolumePath                  string
	Devices                     []device
	IgnoreFlushesDuringBoot     bool
	LayerFolderPath             string
	Layers                      []layer
	ProcessorWeight             uint64
	ProcessorMaximum            int64
	ProcessorCount              uint32
	StorageIOPSMaximum          uint64
	StorageBandwidthMaximum     uint64
	StorageSandboxSize          uint64
	MemoryMaximumInMB           int64
	HostName                    string
	MappedDirectories           []mappedDir
	MappedPipes                 []mappedPipe
	SandboxPath                 string
	HvPartition                 bool
	HvRuntime                   *hvRuntime
	EndpointList                []string
	Credentials                 string
	DNSSearchList               string
	AllowUnqualifiedDNSQuery    bool
	NetworkSharedContainerName  string
	Servicing                   bool
	TerminateOnLastHandleClosed bool
	AssignedDevices             []assignedDevice
}

type layer struct{ ID, Path string }

type mappedDir struct {
	HostPath, ContainerPath string
	ReadOnly                bool
}

type mappedPipe struct{ HostPath, ContainerPipeName string }

type hvRuntime struct{ ImagePath string }

type assignedDevice struct{ InterfaceClassGuid string }

// device is a network adapter of Technical Preview 4.
type device struct {
	DeviceType string
	Connection struct {
		NetworkName string
		Nat         struct {
			Name         string
			PortBindings []struct {
				Protocol                   string
				InternalPort, ExternalPort int
			}
		}
	}
	Settings struct{ MacAddress string }
}

// The first builds that know a field.
const (
	buildMappedPipes     = 16299
	buildAssignedDevices = 17763
)

// parseDocument reads the document of c. It refuses a wrong one with the code
// that HCS gives. Released Windows drops the fields of Technical Preview 4.
func (s *Service) parseDocument(c Call) (*document, error) {
	doc := &document{}
	decoder := json.NewDecoder(strings.NewReader(c.Document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(doc); err != nil {
		return nil, c.failure(libcontainerd.CodeInvalidJSON, err.Error())
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, c.failure(libcontainerd.CodeInvalidJSON, "something follows the document")
	}
	for _, check := range []func(*document) (libcontainerd.Code, string){
		func(doc *document) (libcontainerd.Code, string) { return checkIdentity(c.ID, doc) },
		checkStorage,
		s.checkIsolation,
		s.checkResources,
		s.checkMappings,
	} {
		if code, why := check(doc); code != 0 {
			return nil, c.failure(code, why)
		}
	}
	if !s.host.TP4 {
		doc.Devices, doc.SandboxPath, doc.IsDummy = nil, "", false
	}
	return doc, nil
}

func checkIdentity(id string, doc *document) (libcontainerd.Code, string) {
	switch {
	case doc.SystemType != "Container":
		return libcontainerd.CodeInvalidParameter, "SystemType is not Container"
	case id == "" || doc.Name != id:
		return libcontainerd.CodeInvalidParameter, "Name is not the id"
	case doc.Credentials != "" && !json.Valid([]byte(doc.Credentials)):
		return libcontainerd.CodeInvalidJSON, "Credentials is not JSON"
	}
	return 0, ""
}

func checkStorage(doc *document) (libcontainerd.Code, string) {
	if doc.LayerFolderPath == "" {
		return libcontainerd.CodePathNotFound, "LayerFolderPath is empty"
	}
	if len(doc.Layers) == 0 {
		return libcontainerd.CodeInvalidLayer, "Layers is empty"
	}
	for i, layer := range doc.Layers {
		if !isGUID(layer.ID) || layer.Path == "" {
			return libcontainerd.CodeInvalidLayer, fmt.Sprintf("Layers[%d] has no GUID or no path", i)
		}
	}
	return 0, ""
}

func (s *Service) checkIsolation(doc *document) (libcontainerd.Code, string) {
	if !doc.HvPartition {
		switch {
		case !isVolumePath(doc.VolumePath):
			return libcontainerd.CodeInvalidParameter, `VolumePath is not \\?\Volume{GUID}`
		case doc.HvRuntime != nil:
			return libcontainerd.CodeInvalidParameter, "HvRuntime without HvPartition"
		}
		return 0, ""
	}
	switch {
	case !s.hypervisor:
		return libcontainerd.CodeNoHypervisor, ""
	case doc.VolumePath != "":
		return libcontainerd.CodeInvalidParameter, "VolumePath with HvPartition"
	case doc.HvRuntime == nil || doc.HvRuntime.ImagePath == "":
		return libcontainerd.CodeInvalidParameter, "HvRuntime.ImagePath is missing"
	case !s.isUtilityVM(doc.HvRuntime.ImagePath):
		return libcontainerd.CodeFileNotFound, "HvRuntime.ImagePath does not exist"
	case doc.NetworkSharedContainerName != "":
		return libcontainerd.CodeInvalidParameter, "NetworkSharedContainerName with HvPartition"
	case len(doc.AssignedDevices) > 0:
		return libcontainerd.CodeInvalidParameter, "AssignedDevices with HvPartition"
	}
	return 0, ""
}

// isUtilityVM reports whether a folder can be the image of a utility VM: any folder,
// except the UtilityVM folder of a layer that has none.
func (s *Service) isUtilityVM(imagePath string) bool {
	layer, ok := strings.CutSuffix(normalPath(imagePath), `\utilityvm`)
	return !ok || s.hasUtilityVM(layer)
}

func (s *Service) checkResources(doc *document) (libcontainerd.Code, string) {
	switch {
	case doc.ProcessorWeight > 10000:
		return libcontainerd.CodeInvalidParameter, "ProcessorWeight is above 10000"
	case doc.ProcessorMaximum < 0 || doc.ProcessorMaximum > 10000:
		return libcontainerd.CodeInvalidParameter, "ProcessorMaximum is not in 1…10000"
	case s.host.Processors > 0 && int64(doc.ProcessorCount) > int64(s.host.Processors):
		return libcontainerd.CodeInvalidParameter, "ProcessorCount is above the host's"
	case doc.MemoryMaximumInMB < 0:
		return libcontainerd.CodeInvalidParameter, "MemoryMaximumInMB is negative"
	}
	return 0, ""
}

func (s *Service) checkMappings(doc *document) (libcontainerd.Code, string) {
	for i, dir := range doc.MappedDirectories {
		if !isAbsolute(dir.HostPath) || !isAbsolute(dir.ContainerPath) {
			return libcontainerd.CodeInvalidParameter, fmt.Sprintf("MappedDirectories[%d] has a path that is not absolute", i)
		}
	}
	for i, pipe := range doc.MappedPipes {
		if pipe.HostPath == "" || pipe.ContainerPipeName == "" {
			return libcontainerd.CodeInvalidParameter, fmt.Sprintf("MappedPipes[%d] lacks a name", i)
		}
	}
	for i, device := range doc.AssignedDevices {
		if !isGUID(device.InterfaceClassGuid) {
			return libcontainerd.CodeInvalidParameter, fmt.Sprintf("AssignedDevices[%d] is not a GUID", i)
		}
	}
	for i, endpoint := range doc.EndpointList {
		if endpoint == "" {
			return libcontainerd.CodeInvalidParameter, fmt.Sprintf("EndpointList[%d] is empty", i)
		}
	}
	switch {
	case len(doc.MappedPipes) > 0 && s.host.Build < buildMappedPipes:
		return libcontainerd.CodeInvalidParameter, "MappedPipes is not known to this build"
	case len(doc.AssignedDevices) > 0 && s.host.Build < buildAssignedDevices:
		return libcontainerd.CodeInvalidParameter, "AssignedDevices is not known to this build"
	}
	return 0, ""
}

// isVolumePath reports whether path is \\?\Volume{GUID}, without a trailing
// backslash.
func isVolumePath(path string) bool {
	const prefix, suffix = `\\?\Volume{`, `}`
	guid, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return false
	}
	guid, ok = strings.CutSuffix(guid, suffix)
	return ok && isGUID(guid)
}

func isGUID(text string) bool {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		switch i {
		case 8, 13, 18, 23:
			if text[i] != '-' {
				return false
			}
		default:
			if !bytes.ContainsRune([]byte("0123456789abcdefABCDEF"), rune(text[i])) {
				return false
			}
		}
	}
	return true
}

// isAbsolute reports whether a Windows path starts at a drive, a share or a root.
func isAbsolute(path string) bool {
	path = strings.ReplaceAll(path, "/", `\`)
	return len(path) >= 2 && path[1] == ':' || strings.HasPrefix(path, `\`)
}
