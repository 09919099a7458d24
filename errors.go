package libcontainerd

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/containerd/errdefs"
)

// Code is a number by which Windows reports a failure: a Win32 code, an
// HRESULT, or an HCS code of severity 0x8 (HCS_E_*) or 0xC (ERROR_VMCOMPUTE_*).
// It is an error, so that errors.Is(err, CodeSystemNotFound) tells whether err
// carries the code, in whichever of its dialects.
type Code uint32

// The codes that this package acts on, named as Windows names them without
// their prefixes. errors.go's table knows more.
const (
	CodeFileNotFound        Code = 2
	CodePathNotFound        Code = 3
	CodeAccessDenied        Code = 5
	CodeInvalidHandle       Code = 6
	CodeNotSupported        Code = 0x32
	CodeInvalidParameter    Code = 0x57
	CodeBrokenPipe          Code = 0x6d
	CodeProcNotFound        Code = 0x7f
	CodeBadPathname         Code = 161
	CodeShutdownInProgress  Code = 1115
	CodeNotFound            Code = 1168 // "element not found"
	CodeNoNetwork           Code = 1222
	CodeObjectNotFound      Code = 4312       // "invalid object" of the TP4 list, 0x800710D8
	CodeInvalidClassString  Code = 0x800401f3 // CO_E_CLASSSTRING
	CodeTerminatedInStart   Code = 0xc0370100
	CodeImageMismatch       Code = 0xc0370101
	CodeHyperVNotInstalled  Code = 0xc0370102
	CodeOperationPending    Code = 0xc0370103
	CodeInvalidState        Code = 0xc0370105
	CodeUnexpectedExit      Code = 0xc0370106
	CodeTerminated          Code = 0xc0370107
	CodeConnectFailed       Code = 0xc0370108
	CodeTimeout             Code = 0xc0370109
	CodeConnectionClosed    Code = 0xc037010a
	CodeUnknownMessage      Code = 0xc037010b
	CodeInvalidJSON         Code = 0xc037010d
	CodeSystemNotFound      Code = 0xc037010e
	CodeSystemAlreadyExists Code = 0xc037010f
	CodeAlreadyStopped      Code = 0xc0370110
	CodeInvalidLayer        Code = 0xc0370112
	CodeServiceNotAvailable Code = 0xc0370114
	CodeOperationTimeout    Code = 0xc0370118
	CodeHCSAccessDenied     Code = 0xc037011b
	CodeGuestCriticalError  Code = 0xc037011c
	CodeServiceDisconnect   Code = 0xc037011e
	CodeProcessStopped      Code = 0xc037011f // "process already stopped", 0x8037011F
	CodeNoHypervisor        Code = 0xc0351000
)

const (
	facilityMask  = 0x07ff0000
	facilityWin32 = 0x00070000
	facilityHCS   = 0x00370000
	severityError = 0x80000000
	severityMask  = 0xc0000000
	ntstatusBit   = 0x10000000 // set in an HRESULT made from an NTSTATUS
)

// normal returns c in the one dialect in which codes are compared: Win32 codes
// bare, HCS codes with severity 0xC, NTSTATUS codes as such.
func (c Code) normal() Code {
	switch {
	case c&^0xffff == severityError|facilityWin32:
		return c & 0xffff
	case c&severityError != 0 && c&facilityMask == facilityHCS:
		return severityMask | facilityHCS | c&0xffff
	case c&severityMask == severityMask && c&ntstatusBit != 0:
		return c &^ ntstatusBit
	}
	return c
}

// Is reports whether target is the same code, in any dialect, or the
// errdefs kind that the code has whatever the operation.
func (c Code) Is(target error) bool {
	if code, ok := target.(Code); ok {
		return c.normal() == code.normal()
	}
	return target != nil && target == c.kind("")
}

// Error names the code: its number in hexadecimal, its English name, and what
// it means.
func (c Code) Error() string {
	if row, ok := lookup("", c); ok {
		return fmt.Sprintf("%#x %s: %s", uint32(c), row.name, row.means)
	}
	return fmt.Sprintf("%#x", uint32(c))
}

// Error is a failed operation of this package or of a ComputeService.
//
// errors.Is matches it against a Code, against the kinds of
// github.com/containerd/errdefs, and against whatever Err wraps.
type Error struct {
	Op          string // what was asked for: "create", "exec", "signal" …
	ContainerID string // "" if no container is concerned
	Process     string // friendly name, or "" if no process is concerned
	Code        Code   // as HCS gave it, 0 if it gave none
	Err         error  // the cause, nil if the code says it all

	Document string   // the HCS document that was refused, "" for other failures
	Events   []string // what HCS told besides, if anything
}

// Error is one line: operation, container, process, code and cause.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %q: %v", e.Op, e.ContainerID, e.Code)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches a Code in any dialect, and the errdefs kind of the failure.
func (e *Error) Is(target error) bool {
	if e.Code == 0 || target == nil {
		return false
	}
	if code, ok := target.(Code); ok {
		return e.Code.normal() == code.normal()
	}
	return target == e.Code.kind(e.Op)
}

// codeOf finds the Windows code in err's chain, 0 if there is none.
func codeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) && e.Code != 0 {
		return e.Code
	}
	var code Code
	if errors.As(err, &code) {
		return code
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return Code(errno)
	}
	return 0
}

// kind is the errdefs kind of the code when op met it, nil if it has none.
func (c Code) kind(op string) error {
	if row, ok := lookup(op, c); ok {
		return row.kind
	}
	if c == 0 {
		return nil
	}
	return errdefs.ErrUnknown
}

type codeRow struct {
	code  Code
	name  string
	means string
	kind  error
}

func lookup(op string, c Code) (codeRow, bool) {
	for _, row := range codeTable {
		if row.code == c.normal() {
			return row, true
		}
	}
	return codeRow{}, false
}

var codeTable = []codeRow{
	{CodeSystemNotFound, "SYSTEM_NOT_FOUND", "no such compute system", errdefs.ErrNotFound},
	{CodeTimeout, "TIMEOUT", "no answer from the utility VM", context.DeadlineExceeded},
}
