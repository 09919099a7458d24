// How a Client finds the HCS of its host, and the ComputeService on hcsshim.
// The logic is in client.go, the contract in hcs.go, the document's in
// hcsconfig.go.

package libcontainerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/Microsoft/hcsshim"
	"github.com/Microsoft/hcsshim/osversion"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/windows"
)

// hostService returns the HCS of this machine. It fails with
// errdefs.ErrUnavailable when Windows lacks vmcompute.dll, and with
// errdefs.ErrNotImplemented when that is the one of Technical Preview 4.
func hostService() (ComputeService, error) {
	dll := windows.NewLazySystemDLL("vmcompute.dll")
	if err := dll.Load(); err != nil {
		return nil, &Error{Op: "connect", Code: causeCode(err), Err: fmt.Errorf("%w: %w", errdefs.ErrUnavailable, err)}
	}
	if err := dll.NewProc("HNSCall").Find(); err != nil {
		return nil, &Error{
			Op: "connect",
			Err: fmt.Errorf("vmcompute.dll lacks HNSCall, as that of Windows Server 2016 Technical Preview 4 does, whose interface hcsshim no longer speaks: "+
				"Windows Server 2016 or later is required: %w: %w", errdefs.ErrNotImplemented, err),
		}
	}
	return hcsService{new(layerIDs)}, nil
}

// hcsService is the host's HCS, reached through hcsshim. It is never that of Technical Preview 4, which hostService refuses.
type hcsService struct{ layers *layerIDs }

func (hcsService) Host() Host {
	return Host{
		Build: osversion.Build(),
		// runtime.NumCPU sees the 64 processors of one group at most.
		Processors: int(windows.GetActiveProcessorCount(windows.ALL_PROCESSOR_GROUPS)),
	}
}

// Isolations goes by the edition of Windows, whose clients have had process
// isolation since build 17763, and by the service that manages Hyper-V.
func (hcsService) Isolations() []Isolation {
	var list []Isolation
	const workstation = 1 // VER_NT_WORKSTATION of winnt.h
	if v := windows.RtlGetVersion(); v.ProductType != workstation || v.BuildNumber >= 17763 {
		list = append(list, IsolationProcess)
	}
	if serviceRuns("vmms") {
		list = append(list, IsolationHyperV)
	}
	return list
}

func serviceRuns(name string) bool {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return false
	}
	defer windows.CloseServiceHandle(manager)
	service, err := windows.OpenService(manager, windows.StringToUTF16Ptr(name), windows.SERVICE_QUERY_STATUS)
	if err != nil {
		return false
	}
	defer windows.CloseServiceHandle(service)
	var status windows.SERVICE_STATUS
	err = windows.QueryServiceStatus(service, &status)
	return err == nil && status.CurrentState == windows.SERVICE_RUNNING
}

func (s hcsService) LayerID(name string) (string, error) {
	return s.layers.get(name, func(name string) (string, error) {
		id, err := hcsshim.NameToGuid(name)
		if err != nil {
			return "", hcsError("layer id", "", err)
		}
		return id.ToString(), nil
	})
}

func (hcsService) UtilityVM(layerPaths []string) (string, error) {
	folder, err := findUtilityVM(layerPaths, folderExists)
	return folder, hcsError("utility vm", "", err)
}

func folderExists(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}

func (hcsService) CreateComputeSystem(id, configuration string) (ComputeSystem, error) {
	var config hcsshim.ContainerConfig // has no field for what only Technical Preview 4 knew
	if err := json.Unmarshal([]byte(configuration), &config); err != nil {
		return nil, &Error{Op: OpCreate, ContainerID: id, Code: CodeInvalidJSON, Err: err}
	}
	return createContainer(id, &config)
}

func (hcsService) createFromDocument(id string, doc *containerInit) (ComputeSystem, error) {
	return createContainer(id, containerConfig(doc))
}

func createContainer(id string, config *hcsshim.ContainerConfig) (ComputeSystem, error) {
	container, err := hcsshim.CreateContainer(id, config)
	if err != nil {
		return nil, hcsError(OpCreate, id, err) // what hcsshim may have left, the client sweeps up
	}
	return newComputeSystem(id, container), nil
}

// containerConfig returns the document as hcsshim has it. Left out are IsDummy,
// Devices and SandboxPath: only Technical Preview 4 knew them, and hcsshim has no
// field for them.
func containerConfig(doc *containerInit) *hcsshim.ContainerConfig {
	config := &hcsshim.ContainerConfig{
		SystemType:                  doc.SystemType,
		Name:                        doc.Name,
		Owner:                       doc.Owner,
		VolumePath:                  doc.VolumePath,
		IgnoreFlushesDuringBoot:     doc.IgnoreFlushesDuringBoot,
		LayerFolderPath:             doc.LayerFolderPath,
		Credentials:                 doc.Credentials,
		ProcessorCount:              doc.ProcessorCount,
		ProcessorWeight:             doc.ProcessorWeight,
		ProcessorMaximum:            doc.ProcessorMaximum,
		StorageIOPSMaximum:          doc.StorageIOPSMaximum,
		StorageBandwidthMaximum:     doc.StorageBandwidthMaximum,
		StorageSandboxSize:          doc.StorageSandboxSize,
		MemoryMaximumInMB:           doc.MemoryMaximumInMB,
		HostName:                    doc.HostName,
		HvPartition:                 doc.HvPartition,
		NetworkSharedContainerName:  doc.NetworkSharedContainerName,
		EndpointList:                doc.EndpointList,
		Servicing:                   doc.Servicing,
		AllowUnqualifiedDNSQuery:    doc.AllowUnqualifiedDNSQuery,
		DNSSearchList:               doc.DNSSearchList,
		TerminateOnLastHandleClosed: doc.TerminateOnLastHandleClosed,
		Layers: convert(doc.Layers, func(l layer) hcsshim.Layer {
			return hcsshim.Layer{ID: l.ID, Path: l.Path}
		}),
		MappedDirectories: convert(doc.MappedDirectories, func(d mappedDirectory) hcsshim.MappedDir {
			return hcsshim.MappedDir{HostPath: d.HostPath, ContainerPath: d.ContainerPath, ReadOnly: d.ReadOnly}
		}),
		MappedPipes: convert(doc.MappedPipes, func(p mappedPipe) hcsshim.MappedPipe {
			return hcsshim.MappedPipe{HostPath: p.HostPath, ContainerPipeName: p.ContainerPipeName}
		}),
		AssignedDevices: convert(doc.AssignedDevices, func(d assignedDevice) hcsshim.AssignedDevice {
			return hcsshim.AssignedDevice{InterfaceClassGUID: d.InterfaceClassGUID}
		}),
	}
	if doc.HvRuntime != nil {
		config.HvRuntime = &hcsshim.HvRuntime{ImagePath: doc.HvRuntime.ImagePath}
	}
	return config
}

// convert returns list with each element converted, and nil if there is none.
func convert[From, To any](list []From, element func(From) To) []To {
	if len(list) == 0 {
		return nil
	}
	converted := make([]To, len(list))
	for i := range list {
		converted[i] = element(list[i])
	}
	return converted
}

func (hcsService) OpenComputeSystem(id string) (ComputeSystem, error) {
	container, err := hcsshim.OpenContainer(id)
	if err != nil {
		return nil, hcsError(OpOpen, id, err)
	}
	return newComputeSystem(id, container), nil
}

func (hcsService) ComputeSystems(owner string) ([]ComputeSystemInfo, error) {
	var query hcsshim.ComputeSystemQuery
	if owner != "" {
		query.Owners = []string{owner}
	}
	found, err := hcsshim.GetContainers(query)
	if err != nil {
		return nil, hcsError(OpList, "", err)
	}
	systems := make([]ComputeSystemInfo, len(found))
	for i, c := range found {
		systems[i] = ComputeSystemInfo{ID: c.ID, Owner: c.Owner, State: c.State}
	}
	return systems, nil
}
