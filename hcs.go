package libcontainerd

import (
	"io"
	"time"
)

// ComputeService is an HCS: the host's own (see New), the simulator of package
// hcstest, or an engine's. All methods may be called concurrently.
//
// Calls block until HCS has answered and take no context: the Client bounds
// how long it waits for each of them. A failure is an *Error that carries the
// code HCS gave; a bare syscall.Errno or Code anywhere in the chain is
// understood as well.
type ComputeService interface {
	// Host tells what the translation must know of the machine. It does not
	// block and cannot fail.
	Host() Host

	// LayerID returns the id HCS knows a layer by, a GUID as text, computed from
	// name, the last element of the layer's path.
	LayerID(name string) (string, error)

	// UtilityVM returns the first "UtilityVM" folder that exists directly below
	// one of layerPaths, in their order. It fails with errdefs.ErrNotFound when
	// none does.
	UtilityVM(layerPaths []string) (string, error)

	// CreateComputeSystem creates, without starting it, a compute system from a
	// schema 1 document, as Configuration makes it. An id that is in use is
	// CodeSystemAlreadyExists. After an error HCS may have created the system all
	// the same, and lists it as "Created": the Client ends it.
	CreateComputeSystem(id, configuration string) (ComputeSystem, error)

	// OpenComputeSystem opens a further handle to a compute system that exists,
	// running or stopped. An unknown id is CodeSystemNotFound.
	OpenComputeSystem(id string) (ComputeSystem, error)

	// ComputeSystems lists the compute systems of one owner, or of all owners
	// if owner is empty, in no particular order.
	ComputeSystems(owner string) ([]ComputeSystemInfo, error)
}

// documentCreator is a ComputeService that takes a schema 1 document as a value,
// not as text: the one on hcsshim, which would read the text into hcsshim's struct
// and write it again. Apart from that, createFromDocument does what
// CreateComputeSystem does. It may be called concurrently, and neither keeps nor
// changes doc.
//
// The interface is not exported, because that would make the types of the document
// part of the API. A document of schema 2 would get a second interface.
type documentCreator interface {
	createFromDocument(id string, doc *containerInit) (ComputeSystem, error)
}

// HostService returns the HCS of this machine, the one that New uses unless it is
// given another. It fails with errdefs.ErrNotImplemented where there is none, and
// with errdefs.ErrUnavailable where Windows lacks a feature for it.
func HostService() (ComputeService, error) { return hostService() }

// Host describes the machine of a ComputeService.
type Host struct {
	Build      uint16 // Windows build number, 14393 = Server 2016; 0: unknown, taken to be new enough
	Processors int    // logical processors; 0: unknown, nothing is capped
	TP4        bool   // Technical Preview 4: vmcompute.dll has no HNSCall
}

// ComputeSystem is a handle to one compute system. All methods but Close may
// be called concurrently; Close is called when no other call but Wait is running,
// and again only if it failed.
type ComputeSystem interface {
	// Start boots the created system and returns when it runs.
	Start() error

	// Shutdown asks the system to stop gracefully. nil means that the request was
	// accepted, or that the system had stopped already; Wait tells when it has.
	Shutdown() error

	// Terminate asks the system to stop at once; nil as for Shutdown.
	Terminate() error

	// Wait blocks until the system has stopped, from its creation on. It returns nil
	// after a termination and after a graceful shutdown, and an error if the system
	// stopped by itself, crashed meanwhile, or HCS was lost. Close ends a Wait with
	// an error.
	Wait() error

	// Pause freezes a running system. Only Hyper-V isolated systems can.
	Pause() error

	// Resume lets a paused system run on.
	Resume() error

	// Statistics reports resource use; legal while the system runs.
	Statistics() (Statistics, error)

	// ProcessList lists every process in the system, also those that nobody
	// created through HCS; legal while the system runs.
	ProcessList() ([]ProcessInfo, error)

	// CreateProcess starts a process in the running system. A program that does
	// not exist is Win32 code 2 (ERROR_FILE_NOT_FOUND).
	CreateProcess(*ProcessConfig) (ComputeProcess, error)

	// OpenProcess opens a further handle to a process that was created through
	// HCS and still runs. An unknown pid is Win32 code 1168 (ERROR_NOT_FOUND).
	OpenProcess(pid uint32) (ComputeProcess, error)

	// Close releases the handle. The system goes on, unless its document said
	// TerminateOnLastHandleClosed. After an error the handle is open still.
	Close() error
}

// ComputeProcess is a handle to one process of a compute system. All methods
// but Close may be called concurrently; Close is called when no other call but
// Wait is running, and again only if it failed.
type ComputeProcess interface {
	// Pid returns the process id, as seen on the host. It does not block.
	Pid() uint32

	// Stdio hands over the pipes that the ProcessConfig asked for, nil for the
	// others. It is called once and the caller closes what it got.
	Stdio() (stdin io.WriteCloser, stdout, stderr io.ReadCloser, err error)

	// CloseStdin tells the process that its input has ended, once the pipe from
	// Stdio is closed.
	CloseStdin() error

	// ResizeConsole changes the size, in characters, of an emulated console.
	ResizeConsole(width, height uint16) error

	// Kill asks for the end of the process. nil means that the request was
	// accepted, or that the process had ended already.
	Kill() error

	// Wait blocks until the process has ended and returns its exit code. Close
	// ends a Wait with an error.
	Wait() (exitCode uint32, err error)

	// Close releases the handle; the process goes on. After an error the handle is
	// open still.
	Close() error
}

// ProcessConfig is what HCS needs to start a process in a compute system. The
// field names are those of the schema 1 process parameters.
type ProcessConfig struct {
	ApplicationName  string            `json:",omitempty"`
	CommandLine      string            `json:",omitempty"`
	User             string            `json:",omitempty"`
	WorkingDirectory string            `json:",omitempty"`
	Environment      map[string]string `json:",omitempty"`
	EmulateConsole   bool              `json:",omitempty"`
	CreateStdInPipe  bool              `json:",omitempty"`
	CreateStdOutPipe bool              `json:",omitempty"`
	CreateStdErrPipe bool              `json:",omitempty"`
	ConsoleSize      [2]uint           `json:",omitempty"` // height, width, in characters
}

// ProcessInfo is what HCS tells of one process of a compute system.
type ProcessInfo struct {
	Pid                          uint32
	ImageName                    string // file name of the program, "cmd.exe"
	CreatedAt                    time.Time
	KernelTime                   time.Duration
	UserTime                     time.Duration
	MemoryCommitBytes            uint64
	MemoryWorkingSetPrivateBytes uint64
	MemoryWorkingSetSharedBytes  uint64
}

// ComputeSystemInfo is one entry of a list of compute systems.
type ComputeSystemInfo struct {
	ID    string
	Owner string
	State string // as HCS spells it: "Created", "Running", "Paused", "Stopped" …
}

// Statistics is the resource use of one compute system, since it started.
type Statistics struct {
	Timestamp          time.Time // when HCS took the numbers
	ContainerStartTime time.Time
	Uptime             time.Duration
	Memory             MemoryStats
	Processor          ProcessorStats
	Storage            StorageStats
	Network            []NetworkStats // one entry per endpoint
}

// Stats is an answer of Client.Stats: the statistics of HCS, and when the
// client had them.
type Stats struct {
	Read time.Time
	Statistics
}

// MemoryStats is the memory use of a compute system.
type MemoryStats struct {
	UsageCommitBytes            uint64
	UsageCommitPeakBytes        uint64
	UsagePrivateWorkingSetBytes uint64
}

// ProcessorStats is the processor time used, summed over all processors.
type ProcessorStats struct {
	TotalRuntime  time.Duration
	RuntimeUser   time.Duration
	RuntimeKernel time.Duration
}

// StorageStats counts the reads and writes of the scratch, the counts
// normalised as HCS does it.
type StorageStats struct {
	ReadCountNormalized  uint64
	ReadSizeBytes        uint64
	WriteCountNormalized uint64
	WriteSizeBytes       uint64
}

// NetworkStats counts the traffic of one endpoint. The names of the fields are
// hcsshim's.
type NetworkStats struct {
	BytesReceived          uint64
	BytesSent              uint64
	PacketsReceived        uint64
	PacketsSent            uint64
	DroppedPacketsIncoming uint64
	DroppedPacketsOutgoing uint64
	EndpointId             string
	InstanceId             string
}
