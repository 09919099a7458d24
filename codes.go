package libcontainerd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Code is a number by which Windows reports a failure: a Win32 code, an
// HRESULT, an NTSTATUS, or an HCS code of severity 0x8 (HCS_E_*) or 0xC
// (ERROR_VMCOMPUTE_*). It is an error: errors.Is(err, CodeSystemNotFound)
// reports whether err carries the code, in any of its dialects.
type Code uint32

// The codes that this package knows, in the dialect in which HCS reports them
// through hcsshim. Numbers and names are those of winerror.h and ntstatus.h, the
// names without their prefixes. codeTable has a row for each.
const (
	CodeFileNotFound        Code = 2
	CodePathNotFound        Code = 3
	CodeAccessDenied        Code = 5
	CodeInvalidHandle       Code = 6
	CodeNotEnoughMemory     Code = 8
	CodeInvalidData         Code = 13
	CodeOutOfMemory         Code = 14
	CodeNotReady            Code = 21
	CodeSharingViolation    Code = 32
	CodeNotSupported        Code = 50
	CodeInvalidParameter    Code = 87
	CodeBrokenPipe          Code = 109
	CodeInvalidName         Code = 123
	CodeModuleNotFound      Code = 126
	CodeProcNotFound        Code = 127
	CodeBadPathname         Code = 161
	CodeBusy                Code = 170
	CodeDirectory           Code = 267
	CodeShutdownInProgress  Code = 1115
	CodeDeviceNotConnected  Code = 1167
	CodeNotFound            Code = 1168 // "element not found"
	CodeNoNetwork           Code = 1222
	CodeLogonFailure        Code = 1326
	CodeNoSystemResources   Code = 1450
	CodeCommitmentLimit     Code = 1455
	CodeRPCUnknownInterface Code = 1717
	CodeRPCUnavailable      Code = 1722
	CodeRPCFailed           Code = 1726
	CodeRPCNotExecuted      Code = 1727
	CodeRPCCancelled        Code = 1818
	CodeObjectNotFound      Code = 4312 // "invalid object" of the TP4 list, 0x800710D8
	CodeObjectAlreadyExists Code = 5010
	CodeSxSContext          Code = 14001

	CodeNotImplemented     Code = 0x80004001
	CodeFail               Code = 0x80004005
	CodeInvalidClassString Code = 0x800401f3 // CO_E_CLASSSTRING
	CodeLogonServer        Code = 0xc0020017 // RPC_NT_SERVER_UNAVAILABLE
	CodeNoHypervisor       Code = 0xc0351000

	CodeTerminatedInStart    Code = 0xc0370100
	CodeImageMismatch        Code = 0xc0370101
	CodeHyperVNotInstalled   Code = 0xc0370102
	CodeOperationPending     Code = 0xc0370103 // 0x80370117 in the other dialect
	CodeInvalidState         Code = 0xc0370105
	CodeUnexpectedExit       Code = 0xc0370106
	CodeTerminated           Code = 0xc0370107
	CodeConnectFailed        Code = 0xc0370108
	CodeTimeout              Code = 0xc0370109
	CodeConnectionClosed     Code = 0xc037010a
	CodeUnknownMessage       Code = 0xc037010b
	CodeUnsupportedVersion   Code = 0xc037010c
	CodeInvalidJSON          Code = 0xc037010d
	CodeSystemNotFound       Code = 0xc037010e
	CodeSystemAlreadyExists  Code = 0xc037010f
	CodeAlreadyStopped       Code = 0xc0370110
	CodeProtocolError        Code = 0xc0370111
	CodeInvalidLayer         Code = 0xc0370112
	CodeInsiderRequired      Code = 0xc0370113
	CodeServiceNotAvailable  Code = 0x80370114 // from here on only this dialect exists
	CodeOperationNotStarted  Code = 0x80370115
	CodeOperationStarted     Code = 0x80370116
	CodeOperationTimeout     Code = 0x80370118
	CodeHCSAccessDenied      Code = 0x8037011b
	CodeGuestCriticalError   Code = 0x8037011c
	CodeProcessInfoMissing   Code = 0x8037011d
	CodeServiceDisconnect    Code = 0x8037011e
	CodeProcessStopped       Code = 0x8037011f // "process already stopped"
	CodeNotConfiguredForCall Code = 0x80370120
)

// codeHCN stands in the table for every code of the Host Compute Network.
const codeHCN Code = 0x803b0000

const (
	facilityMask  = 0x07ff0000
	facilityWin32 = 0x00070000
	facilityHCS   = 0x00370000
	facilityHCN   = 0x003b0000
	severityMask  = 0xc0000000
	severityError = 0x80000000
	ntstatusBit   = 0x10000000 // set in an HRESULT made from an NTSTATUS

	// firstHRESULTOnly is the low half of the first HCS code that Windows defines
	// as HCS_E_* only.
	firstHRESULTOnly = 0x0114
	pendingLow       = 0x0103
	pendingHRESULT   = 0x0117
)

// normal returns c in the one dialect in which codes are compared: Win32 codes
// bare, HCS codes with severity 0xC, NTSTATUS codes as such.
func (c Code) normal() Code {
	switch {
	case c&facilityMask == facilityHCS:
		low := c & 0xffff
		if low == pendingHRESULT {
			low = pendingLow
		}
		return severityMask | facilityHCS | low
	case c&^0xffff == severityError|facilityWin32:
		return c & 0xffff
	case c&severityMask == severityMask && c&ntstatusBit != 0:
		return c &^ ntstatusBit
	}
	return c
}

// documented returns c in the dialect in which Windows documents it. That is the
// dialect of c itself, unless Windows documents the code in the other one only.
func (c Code) documented() Code {
	if c&facilityMask == facilityHCS {
		switch low := c & 0xffff; {
		case low == pendingLow:
			return CodeOperationPending
		case low >= firstHRESULTOnly:
			return severityError | facilityHCS | low
		}
	}
	if c&severityMask == severityMask {
		return c.normal()
	}
	return c
}

// label returns dialect, number and name: "HCS 0xC0370101 IMAGE_MISMATCH".
func (c Code) label() string {
	d := c.documented()
	text := fmt.Sprintf("%s 0x%X", d.dialect(), uint32(d))
	if name := c.Name(); name != "" {
		text += " " + name
	}
	return text
}

func (c Code) dialect() string {
	switch {
	case c&facilityMask == facilityHCS:
		return "HCS"
	case c&facilityMask == facilityHCN:
		return "HCN"
	case c <= 0xffff:
		return "Win32"
	case c&severityMask == severityMask:
		return "NTSTATUS"
	}
	return "HRESULT"
}

// Name returns the name of the code in the headers of Windows, such as
// "ERROR_ACCESS_DENIED"; HCS codes have no prefix: "IMAGE_MISMATCH". It returns ""
// if the code is unknown.
func (c Code) Name() string {
	info, _ := lookup(c, "")
	return info.Name
}

// Error returns the code with its name and its meaning.
func (c Code) Error() string {
	text := c.label()
	if info, ok := lookup(c, ""); ok {
		text += ": " + (&Error{}).expand(info.Means)
	}
	return text
}

// Is reports whether target is the same code, in any dialect, or a kind of
// errdefs that the code has in general.
func (c Code) Is(target error) bool {
	if code, ok := target.(Code); ok {
		return c.normal() == code.normal()
	}
	return slices.Contains(c.kinds(""), target)
}

// Explain returns what is known about the code: first what it means in general,
// then what it means for certain operations. It returns nothing for an unknown
// code.
func (c Code) Explain() []CodeInfo {
	infos := c.rows()
	for i := range infos {
		infos[i].Means = (&Error{}).expand(infos[i].Means)
		infos[i].Hint = (&Error{}).expand(infos[i].Hint)
	}
	return infos
}

// rows returns the rows of codeTable for the code, the general one first.
func (c Code) rows() []CodeInfo {
	key := c.normal()
	if c&^0xffff == severityError|facilityHCN {
		key = codeHCN
	}
	var infos []CodeInfo
	for _, info := range codeTable {
		if info.Code.normal() == key {
			infos = append(infos, info)
		}
	}
	return infos
}

// kinds returns the errdefs kinds of the code for a kind of operation, none for
// the code 0.
func (c Code) kinds(when string) []error {
	if c == 0 {
		return nil
	}
	if info, ok := lookup(c, when); ok {
		return slices.Clone(info.Kinds)
	}
	return []error{errdefs.ErrUnknown}
}

// lookup returns the row of a code for a kind of operation, or else its general row.
func lookup(c Code, when string) (CodeInfo, bool) {
	infos := c.rows()
	for _, info := range infos {
		if slices.Contains(info.When, when) {
			return info, true
		}
	}
	if len(infos) == 0 {
		return CodeInfo{}, false
	}
	return infos[0], true
}

// Retry says what a second try of a failed operation would bring.
type Retry uint8

const (
	// RetryNever means that the same request will fail in the same way, or that HCS
	// may have carried it out already.
	RetryNever Retry = iota
	// RetryTransient means that the request may succeed soon. Try a few times, with
	// growing delays.
	RetryTransient
	// RetryIdempotent means that what was asked for is already so. Treat the failure
	// as success.
	RetryIdempotent
	// RetryCallerDecides means that it depends on what only the caller knows, such as
	// who else uses the id.
	RetryCallerDecides
)

// String returns the verdict in words.
func (r Retry) String() string {
	switch r {
	case RetryTransient:
		return "transient, retry a few times"
	case RetryIdempotent:
		return "harmless, done already"
	case RetryCallerDecides:
		return "caller decides"
	case RetryNever:
	}
	return "do not retry"
}

// CodeInfo is what is known about a code, in general or for some kinds of
// operations.
type CodeInfo struct {
	Code  Code
	When  []string // the kinds of operations that it is about, WhenCreate and so on; empty: all others
	Name  string   // see Code.Name
	Means string   // what happened
	Kinds []error  // errdefs kinds, the most telling one first
	Retry Retry
	Hint  string // what an operator can try, "" if there is nothing
}

// The kinds of operations for which a code may mean different things.
const (
	WhenCreate     = "create"      // create or start a compute system
	WhenExec       = "exec"        // start a process in it
	WhenStop       = "stop"        // shut down or terminate it
	WhenKill       = "kill"        // kill a process
	WhenResize     = "resize"      // resize a console
	WhenCloseStdin = "close stdin" // end a process's input
	WhenRead       = "read"        // list, statistics, processes
	WhenMount      = "mount"       // mount a layer, in package layers
)

// whenOf maps the operations of Client, ComputeService and package layers to
// their kinds. Their names are written in lower case and without blanks.
var whenOf = map[string]string{
	"create": WhenCreate, "start": WhenCreate, "restart": WhenCreate, "createcomputesystem": WhenCreate,
	"exec": WhenExec, "addprocess": WhenExec, "createprocess": WhenExec,
	"signal": WhenStop, "stop": WhenStop, "shutdown": WhenStop, "terminate": WhenStop, "delete": WhenStop,
	"restore": WhenStop, "reconcile": WhenStop,
	"kill": WhenKill, "signalprocess": WhenKill,
	"resize": WhenResize, "resizeconsole": WhenResize,
	"closestdin": WhenCloseStdin,
	"list":       WhenRead, "computesystems": WhenRead, "stats": WhenRead, "statistics": WhenRead,
	"summary": WhenRead, "pids": WhenRead, "listprocesses": WhenRead, "processlist": WhenRead,
	"mount": WhenMount, "layermountpath": WhenMount,
	"activate": WhenMount, "activatelayer": WhenMount, "prepare": WhenMount, "preparelayer": WhenMount,
	"createscratch": WhenMount, "expandscratch": WhenMount,
}

// situation returns the kind of the operation that failed. If the error names a
// process, "create" means the start of that process, and "stop" its end.
func (e *Error) situation() string {
	when := whenOf[strings.ToLower(strings.ReplaceAll(e.Op, " ", ""))]
	if e.Process != "" {
		switch when {
		case WhenCreate:
			return WhenExec
		case WhenStop:
			return WhenKill
		}
	}
	return when
}

// kinds and when write the lists of codeTable.
func kinds(list ...error) []error  { return list }
func when(list ...string) []string { return list }

const (
	hintAdmin    = "run as administrator or as a member of Hyper-V Administrators (https://aka.ms/hcsadmin)"
	hintFeatures = "Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V,Containers, then restart the host"
	hintService  = "check the service: Get-Service vmcompute; then open the containers again to learn what became of them"
	hintMemory   = "lower the memory limits, enlarge the page file or stop other containers"
	hintBadStart = "the image may be newer than the host, if only in its revision (hcsrun doctor shows the build of the host), a base layer may be corrupt (import it again), " +
		"a mount may lie over a folder that is not empty or outside C:{mounts}, the disk may be full, or an antivirus interferes"
	hintDocument  = "hcsrun config shows the document that was refused"
	hintEndpoints = "re-create the HNS endpoint{endpoints}"
)

// codeTable holds every code that this package knows. The general row of a code
// stands before the rows for certain operations. {build}, {mounts}, {endpoints}
// and {command} are replaced by what the error knows, see Error.expand.
// docs/errors.md is generated from it: go test -run Documented -update
var codeTable = []CodeInfo{
	// HCS.
	{CodeTerminatedInStart, nil, "TERMINATED_DURING_START", "container was terminated while starting",
		kinds(errdefs.ErrAborted, errdefs.ErrInternal), RetryCallerDecides, hintBadStart},
	{CodeImageMismatch, nil, "IMAGE_MISMATCH", "container OS does not match host{build}",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "use Hyper-V isolation or an image for this build whose revision is not newer than the host's"},
	{CodeHyperVNotInstalled, nil, "HYPERV_NOT_INSTALLED", "a Windows feature that the container needs is not installed",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, hintFeatures + "; in a VM, enable nested virtualization"},
	{CodeOperationPending, nil, "OPERATION_PENDING", "the result comes as a notification",
		kinds(errdefs.ErrInternal), RetryIdempotent, "not a failure: wait for the notification"},
	{CodeInvalidState, nil, "INVALID_STATE", "container or process is in the wrong state",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "it is starting, stopping or stopped: check its state"},
	{CodeInvalidState, when(WhenRead), "INVALID_STATE", "container is starting or stopping",
		kinds(errdefs.ErrFailedPrecondition), RetryTransient, "ask again in a moment"},
	{CodeInvalidState, when(WhenCloseStdin), "INVALID_STATE", "process has ended",
		kinds(errdefs.ErrFailedPrecondition), RetryIdempotent, ""},
	{CodeUnexpectedExit, nil, "UNEXPECTED_EXIT", "container died while starting or running",
		kinds(errdefs.ErrAborted, errdefs.ErrInternal), RetryCallerDecides, hintBadStart},
	{CodeTerminated, nil, "TERMINATED", "container was terminated",
		kinds(errdefs.ErrAborted), RetryNever, "somebody stopped it: create it again"},
	{CodeConnectFailed, nil, "CONNECT_FAILED", "no connection to the utility VM",
		kinds(errdefs.ErrUnavailable), RetryTransient, "the host may lack memory: " + hintMemory},
	{CodeTimeout, nil, "TIMEOUT", "no answer from the utility VM",
		kinds(errdefs.ErrUnavailable, context.DeadlineExceeded), RetryTransient, "the host may be overloaded: " + hintMemory + ", exclude the layers from antivirus scans"},
	{CodeConnectionClosed, nil, "CONNECTION_CLOSED", "connection to the utility VM was lost",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, "the utility VM died: look into the event log Microsoft-Windows-Hyper-V-Compute-Admin"},
	{CodeConnectionClosed, when(WhenRead, WhenStop, WhenKill), "CONNECTION_CLOSED", "connection to the utility VM was lost",
		kinds(errdefs.ErrUnavailable), RetryTransient, "ask again in a moment"},
	{CodeUnknownMessage, nil, "UNKNOWN_MESSAGE", "the utility VM does not know the request",
		kinds(errdefs.ErrNotImplemented), RetryNever, "host and image are of different builds{build}: update the image"},
	{CodeUnsupportedVersion, nil, "UNSUPPORTED_PROTOCOL_VERSION", "host and utility VM speak different versions",
		kinds(errdefs.ErrNotImplemented), RetryNever, "use an image for this build{build}"},
	{CodeInvalidJSON, nil, "INVALID_JSON", "document is invalid for this host{build}",
		kinds(errdefs.ErrInvalidArgument), RetryNever, hintDocument + "; this build may not know one of its fields"},
	{CodeSystemNotFound, nil, "SYSTEM_NOT_FOUND", "no such compute system",
		kinds(errdefs.ErrNotFound), RetryNever, "it has stopped or was never created: hcsrun ps lists those that exist"},
	{CodeSystemNotFound, when(WhenStop, WhenKill, WhenCloseStdin), "SYSTEM_NOT_FOUND", "compute system is gone already",
		kinds(errdefs.ErrNotFound), RetryIdempotent, ""},
	{CodeSystemAlreadyExists, nil, "SYSTEM_ALREADY_EXISTS", "compute system exists already",
		kinds(errdefs.ErrAlreadyExists), RetryCallerDecides, "an earlier one with this id is still stopping or was left over: hcsrun ps names its owner, hcsrun reconcile ends what an earlier run left"},
	{CodeAlreadyStopped, nil, "SYSTEM_ALREADY_STOPPED", "container is not running",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "it has stopped: create it again"},
	{CodeAlreadyStopped, when(WhenStop, WhenKill, WhenCloseStdin), "SYSTEM_ALREADY_STOPPED", "container has stopped already",
		kinds(errdefs.ErrFailedPrecondition), RetryIdempotent, ""},
	{CodeProtocolError, nil, "PROTOCOL_ERROR", "host and utility VM misunderstood each other",
		kinds(errdefs.ErrInternal), RetryNever, "use an image for this build{build}"},
	{CodeInvalidLayer, nil, "INVALID_LAYER", "image layer is not recognised by this host{build}",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "use an image for this build, or import the layer again"},
	{CodeInsiderRequired, nil, "WINDOWS_INSIDER_REQUIRED", "image needs a host that takes part in Windows Insider",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "use a released image"},
	{CodeServiceNotAvailable, nil, "SERVICE_NOT_AVAILABLE", "the vmcompute service is not running, or a Windows feature is not installed",
		kinds(errdefs.ErrFailedPrecondition, errdefs.ErrUnavailable), RetryNever, "Start-Service vmcompute; if there is none: " + hintFeatures},
	{CodeOperationNotStarted, nil, "OPERATION_NOT_STARTED", "HCS operation has not been started",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "start it before waiting for it"},
	{CodeOperationStarted, nil, "OPERATION_ALREADY_STARTED", "HCS operation has been started already",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "wait for the operation that was started"},
	{CodeOperationTimeout, nil, "OPERATION_TIMEOUT", "HCS did not answer in time",
		kinds(context.DeadlineExceeded), RetryCallerDecides, "the host may be overloaded: start fewer containers at a time, or allow more time"},
	{CodeHCSAccessDenied, nil, "ACCESS_DENIED", "HCS refuses the caller",
		kinds(errdefs.ErrPermissionDenied), RetryNever, hintAdmin},
	{CodeGuestCriticalError, nil, "GUEST_CRITICAL_ERROR", "the guest crashed",
		kinds(errdefs.ErrAborted, errdefs.ErrInternal), RetryCallerDecides, "look into the event log Microsoft-Windows-Hyper-V-Compute-Admin"},
	{CodeProcessInfoMissing, nil, "PROCESS_INFO_NOT_AVAILABLE", "nothing is known of the process",
		kinds(errdefs.ErrNotFound), RetryNever, "it has ended"},
	{CodeServiceDisconnect, nil, "SERVICE_DISCONNECT", "the HCS service went away",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, hintService},
	{CodeServiceDisconnect, when(WhenRead, WhenStop, WhenKill), "SERVICE_DISCONNECT", "the HCS service went away",
		kinds(errdefs.ErrUnavailable), RetryTransient, hintService},
	{CodeServiceDisconnect, when(WhenExec), "SERVICE_DISCONNECT", "the HCS service went away",
		kinds(errdefs.ErrUnavailable), RetryNever, "the process may run nevertheless; " + hintService},
	{CodeProcessStopped, nil, "PROCESS_ALREADY_STOPPED", "process has ended already",
		kinds(errdefs.ErrNotFound), RetryNever, "wait for its exit event"},
	{CodeProcessStopped, when(WhenStop, WhenKill, WhenCloseStdin), "PROCESS_ALREADY_STOPPED", "process has ended already",
		kinds(errdefs.ErrNotFound), RetryIdempotent, ""},
	{CodeProcessStopped, when(WhenResize), "PROCESS_ALREADY_STOPPED", "process has ended already",
		kinds(errdefs.ErrNotFound), RetryNever, "the process is gone: nothing is left to resize"},
	{CodeNotConfiguredForCall, nil, "SYSTEM_NOT_CONFIGURED_FOR_OPERATION", "compute system was not created for this operation",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "create the container again, with what the operation needs"},
	{CodeNoHypervisor, nil, "ERROR_HV_NOT_PRESENT", "no hypervisor is present",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "enable Hyper-V and virtualization in the firmware, or nested virtualization in a VM; process isolation needs no hypervisor"},

	// Files, memory, rights.
	{CodeFileNotFound, nil, "ERROR_FILE_NOT_FOUND", "the system cannot find the file specified",
		kinds(errdefs.ErrNotFound), RetryNever, "check that the file exists, on the host or in the container"},
	{CodeFileNotFound, when(WhenCreate), "ERROR_FILE_NOT_FOUND", "the system cannot find the file specified: a layer, the utility VM or the source of a mount is missing",
		kinds(errdefs.ErrNotFound), RetryNever, "check that every layer folder and mount source exists{mounts}"},
	{CodeFileNotFound, when(WhenExec), "ERROR_FILE_NOT_FOUND", "the system cannot find the file specified: no such executable in the container",
		kinds(errdefs.ErrNotFound), RetryNever, "check name and quoting{command}; a builtin of the shell needs cmd /c"},
	{CodePathNotFound, nil, "ERROR_PATH_NOT_FOUND", "path not found",
		kinds(errdefs.ErrNotFound), RetryNever, "check that the folder exists, on the host or in the container"},
	{CodePathNotFound, when(WhenCreate), "ERROR_PATH_NOT_FOUND", "the folder of a layer or the source of a mount is missing",
		kinds(errdefs.ErrNotFound), RetryNever, "check that every layer folder and mount source exists{mounts}"},
	{CodePathNotFound, when(WhenExec), "ERROR_PATH_NOT_FOUND", "no such executable in the container",
		kinds(errdefs.ErrNotFound), RetryNever, "check the path and its quoting{command}"},
	{CodePathNotFound, when(WhenStop), "ERROR_PATH_NOT_FOUND", "container is gone already",
		kinds(errdefs.ErrNotFound), RetryIdempotent, ""},
	{CodeAccessDenied, nil, "ERROR_ACCESS_DENIED", "access denied",
		kinds(errdefs.ErrPermissionDenied), RetryNever, hintAdmin},
	{CodeAccessDenied, when(WhenCreate), "ERROR_ACCESS_DENIED", "access denied to HCS, a layer or a mount",
		kinds(errdefs.ErrPermissionDenied), RetryNever, hintAdmin + "; check the rights on layers and mounts{mounts}, and antivirus exclusions"},
	{CodeAccessDenied, when(WhenKill), "ERROR_ACCESS_DENIED", "process is ending already",
		kinds(errdefs.ErrPermissionDenied), RetryIdempotent, ""},
	{CodeAccessDenied, when(WhenRead), "ERROR_ACCESS_DENIED", "access denied; before build 16299 also: a container is being removed",
		kinds(errdefs.ErrPermissionDenied), RetryTransient, hintAdmin},
	{CodeInvalidHandle, nil, "ERROR_INVALID_HANDLE", "compute system or process was closed meanwhile",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "it has stopped or was closed: check its state"},
	{CodeInvalidHandle, when(WhenCloseStdin), "ERROR_INVALID_HANDLE", "process has ended",
		kinds(errdefs.ErrFailedPrecondition), RetryIdempotent, ""},
	{CodeNotEnoughMemory, nil, "ERROR_NOT_ENOUGH_MEMORY", "not enough memory",
		kinds(errdefs.ErrResourceExhausted), RetryNever, hintMemory},
	{CodeInvalidData, nil, "ERROR_INVALID_DATA", "data is invalid for this host{build}",
		kinds(errdefs.ErrInvalidArgument), RetryNever, hintDocument},
	{CodeOutOfMemory, nil, "ERROR_OUTOFMEMORY", "out of memory",
		kinds(errdefs.ErrResourceExhausted), RetryNever, hintMemory},
	{CodeNotReady, nil, "ERROR_NOT_READY", "volume of a layer is not ready",
		kinds(errdefs.ErrUnavailable), RetryTransient, "a container that is stopping may still hold it: wait for its exit event"},
	{CodeSharingViolation, nil, "ERROR_SHARING_VIOLATION", "file or network port is in use",
		kinds(errdefs.ErrConflict, errdefs.ErrAlreadyExists), RetryNever, "another container or program holds the layer or the host port: hcsrun ps lists the containers"},
	{CodeSharingViolation, when(WhenMount), "ERROR_SHARING_VIOLATION", "a layer is in use",
		kinds(errdefs.ErrConflict, errdefs.ErrAlreadyExists), RetryNever, "another container or program may hold the layer, the revision of the image may be newer than the host's, " +
			"or a filter driver interferes (antivirus, backup, GPU; fltmc lists them)"},
	{CodeNotSupported, nil, "ERROR_NOT_SUPPORTED", "request is not supported by this host{build}",
		kinds(errdefs.ErrNotImplemented), RetryNever, "process isolation, or this build of Windows, cannot do it"},
	{CodeNotSupported, when(WhenCreate), "ERROR_NOT_SUPPORTED", "request is not supported by this host{build}",
		kinds(errdefs.ErrNotImplemented), RetryNever, "either a Windows feature is off (" + hintFeatures + ") or this build cannot make one of the mounts{mounts}"},
	{CodeInvalidParameter, nil, "ERROR_INVALID_PARAMETER", "this build does not know something in the request{build}",
		kinds(errdefs.ErrInvalidArgument), RetryNever, hintDocument},
	{CodeBrokenPipe, nil, "ERROR_BROKEN_PIPE", "the far end went away",
		kinds(errdefs.ErrFailedPrecondition), RetryIdempotent, "usual when a process exits"},
	{CodeInvalidName, nil, "ERROR_INVALID_NAME", "a path has the wrong form",
		kinds(errdefs.ErrInvalidArgument), RetryNever, "check the paths of layers and mounts{mounts}: not empty, no bare drive, no trailing backslash"},
	{CodeModuleNotFound, nil, "ERROR_MOD_NOT_FOUND", "vmcompute.dll is missing, so the Containers feature is off",
		kinds(errdefs.ErrUnavailable), RetryNever, "Install-WindowsFeature Containers (Windows Server), or " +
			"Enable-WindowsOptionalFeature -Online -FeatureName Containers (Windows 10 and 11), then restart the host"},
	{CodeProcNotFound, nil, "ERROR_PROC_NOT_FOUND", "this Windows is too old for the call{build}",
		kinds(errdefs.ErrNotImplemented), RetryNever, "Windows Server 2016 (build 14393) or later is needed"},
	{CodeProcNotFound, when(WhenStop), "ERROR_PROC_NOT_FOUND", "this Windows is too old for the call{build}; the container still runs",
		kinds(errdefs.ErrNotImplemented), RetryNever, "terminate it: signal 9"},
	{CodeBadPathname, nil, "ERROR_BAD_PATHNAME", "a path is invalid",
		kinds(errdefs.ErrInvalidArgument), RetryNever, "check the paths of layers and mounts{mounts}"},
	{CodeBadPathname, when(WhenStop), "ERROR_BAD_PATHNAME", "container is gone already",
		kinds(errdefs.ErrInvalidArgument), RetryIdempotent, ""},
	{CodeBusy, nil, "ERROR_BUSY", "a resource is in use",
		kinds(errdefs.ErrUnavailable), RetryTransient, "the memory limit may be too high for the host, or another container holds the disk"},
	{CodeDirectory, nil, "ERROR_DIRECTORY", "the working directory is invalid",
		kinds(errdefs.ErrInvalidArgument), RetryNever, "check that cwd exists in the container, on C:"},
	{CodeShutdownInProgress, nil, "ERROR_SHUTDOWN_IN_PROGRESS", "container is stopping",
		kinds(errdefs.ErrFailedPrecondition), RetryNever, "wait for its exit event"},
	{CodeShutdownInProgress, when(WhenStop), "ERROR_SHUTDOWN_IN_PROGRESS", "container is stopping already",
		kinds(errdefs.ErrFailedPrecondition), RetryIdempotent, ""},
	{CodeNotFound, nil, "ERROR_NOT_FOUND", "element not found",
		kinds(errdefs.ErrNotFound), RetryNever, "it has ended, or HNS does not know a network or an endpoint of the container"},
	{CodeNotFound, when(WhenStop), "ERROR_NOT_FOUND", "container is gone already",
		kinds(errdefs.ErrNotFound), RetryIdempotent, ""},
	{CodeNotFound, when(WhenKill, WhenCloseStdin), "ERROR_NOT_FOUND", "process has ended already",
		kinds(errdefs.ErrNotFound), RetryIdempotent, ""},
	{CodeNotFound, when(WhenResize), "ERROR_NOT_FOUND", "process is not ready yet, or has ended",
		kinds(errdefs.ErrNotFound), RetryTransient, "in the first seconds of a process, try again"},
	{CodeNotFound, when(WhenRead), "ERROR_NOT_FOUND", "element not found",
		kinds(errdefs.ErrNotFound), RetryTransient, "HNS does not find an element now and then: try again"},
	{CodeDeviceNotConnected, nil, "ERROR_DEVICE_NOT_CONNECTED", "disk of a layer is not connected",
		kinds(errdefs.ErrUnavailable), RetryTransient, "usual while a busy host mounts layers: try again in a moment"},
	{CodeNoNetwork, nil, "ERROR_NO_NETWORK", "no network is present",
		kinds(errdefs.ErrUnavailable), RetryTransient, "check the network that the container is to join: Get-HnsNetwork"},
	{CodeLogonFailure, nil, "ERROR_LOGON_FAILURE", "no such user in the container, or a wrong password",
		kinds(errdefs.ErrInvalidArgument), RetryNever, "check process.user; the image may not have this account"},
	{CodeLogonFailure, when(WhenExec), "ERROR_LOGON_FAILURE", "no such user in the container",
		kinds(errdefs.ErrInvalidArgument), RetryTransient, "check process.user; in the first seconds of a container its account database may not be ready"},
	{CodeNoSystemResources, nil, "ERROR_NO_SYSTEM_RESOURCES", "insufficient system resources",
		kinds(errdefs.ErrResourceExhausted), RetryNever, "compute systems or network compartments may be left over: hcsrun ps lists the compute systems; a restart of the host clears both"},
	{CodeCommitmentLimit, nil, "ERROR_COMMITMENT_LIMIT", "the page file is too small",
		kinds(errdefs.ErrResourceExhausted), RetryNever, hintMemory + "; a utility VM reserves all its memory"},
	{CodeSxSContext, nil, "ERROR_SXS_CANT_GEN_ACTCTX", "no activation context could be made, which is often a lack of memory",
		kinds(errdefs.ErrResourceExhausted), RetryNever, hintMemory},

	// RPC to the vmcompute service.
	{CodeRPCUnknownInterface, nil, "RPC_S_UNKNOWN_IF", "the HCS service is not ready",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, hintService},
	{CodeRPCUnknownInterface, when(WhenRead, WhenStop, WhenKill), "RPC_S_UNKNOWN_IF", "the HCS service is not ready",
		kinds(errdefs.ErrUnavailable), RetryTransient, hintService},
	{CodeRPCUnavailable, nil, "RPC_S_SERVER_UNAVAILABLE", "the HCS service is not running",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, hintService},
	{CodeRPCUnavailable, when(WhenRead, WhenStop, WhenKill), "RPC_S_SERVER_UNAVAILABLE", "the HCS service is not running",
		kinds(errdefs.ErrUnavailable), RetryTransient, hintService},
	{CodeRPCFailed, nil, "RPC_S_CALL_FAILED", "the HCS service died during the call",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, hintService + "; a lack of memory is a usual cause"},
	{CodeRPCFailed, when(WhenExec), "RPC_S_CALL_FAILED", "the HCS service died during the call",
		kinds(errdefs.ErrUnavailable), RetryNever, "the process may run nevertheless; " + hintService},
	{CodeRPCFailed, when(WhenRead, WhenStop, WhenKill), "RPC_S_CALL_FAILED", "the HCS service died during the call",
		kinds(errdefs.ErrUnavailable), RetryTransient, hintService},
	{CodeRPCNotExecuted, nil, "RPC_S_CALL_FAILED_DNE", "the call did not reach the HCS service",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, hintService},
	{CodeRPCNotExecuted, when(WhenRead, WhenStop, WhenKill), "RPC_S_CALL_FAILED_DNE", "the call did not reach the HCS service",
		kinds(errdefs.ErrUnavailable), RetryTransient, hintService},
	{CodeRPCCancelled, nil, "RPC_S_CALL_CANCELLED", "the HCS service gave up the call, which is often a lack of memory",
		kinds(errdefs.ErrResourceExhausted), RetryNever, hintMemory},

	// Network, accounts of a domain, COM.
	{CodeObjectNotFound, nil, "ERROR_OBJECT_NOT_FOUND", "object not found",
		kinds(errdefs.ErrNotFound), RetryNever, "check layers and network of the container; Technical Preview 4 reports it now and then for no reason"},
	{CodeObjectAlreadyExists, nil, "ERROR_OBJECT_ALREADY_EXISTS", "HNS object exists already",
		kinds(errdefs.ErrAlreadyExists), RetryCallerDecides, "a NAT or an endpoint was left over: remove the endpoints first, then the network"},
	{codeHCN, nil, "HCN_ERROR", "the Host Compute Network refuses the endpoint or network",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, hintEndpoints},
	{codeHCN, when(WhenCreate), "HCN_ERROR", "the container could not be attached to its network",
		kinds(errdefs.ErrFailedPrecondition, errdefs.ErrUnavailable), RetryCallerDecides, hintEndpoints},
	{CodeLogonServer, nil, "RPC_NT_SERVER_UNAVAILABLE", "set-up of the group managed service account failed",
		kinds(errdefs.ErrUnavailable), RetryCallerDecides, "check the credential spec and the way from the host to a domain controller"},
	{CodeInvalidClassString, nil, "CO_E_CLASSSTRING", "invalid class string",
		kinds(errdefs.ErrInvalidArgument), RetryNever, "check the GUIDs of devices and endpoints; Technical Preview 4 reports it now and then for no reason"},
	{CodeNotImplemented, nil, "E_NOTIMPL", "not implemented by this host{build}",
		kinds(errdefs.ErrNotImplemented), RetryNever, "a later build of Windows is needed"},
	{CodeFail, nil, "E_FAIL", "unspecified failure",
		kinds(errdefs.ErrInternal), RetryNever, "look into the event log Microsoft-Windows-Hyper-V-Compute-Admin"},
}
