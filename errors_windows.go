// hcsshim's errors turned into ours. The type, the codes with their names and
// kinds, and what to do about them are in errors.go.

package libcontainerd

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/Microsoft/hcsshim"
	"golang.org/x/sys/windows"
)

// hcsError returns err, a failure of hcsshim or of Windows, as an *Error; nil
// for nil.
func hcsError(op, containerID string, err error) error {
	if err == nil {
		return nil
	}
	return newHCSError(op, containerID, err)
}

func newHCSError(op, containerID string, err error) *Error {
	return &Error{
		Op:          op,
		ContainerID: containerID,
		Code:        causeCode(err),
		Err:         cause(err),
		Events:      events(err),
	}
}

// cause takes the error out of the type in which hcsshim wrapped it together
// with operation, id and events. Three of these types have no Unwrap; the
// others are internal to hcsshim and known by being a net.Error that has one.
func cause(err error) error {
	var (
		dll       *windows.DLLError // says more than the number in it
		container *hcsshim.ContainerError
		process   *hcsshim.ProcessError
		layer     *hcsshim.HcsError
		internal  interface {
			net.Error
			Unwrap() error
		}
	)
	switch {
	case errors.As(err, &dll):
		return dll
	case errors.As(err, &container):
		return container.Err
	case errors.As(err, &process):
		return process.Err
	case errors.As(err, &layer):
		return layer.Err
	case errors.As(err, &internal):
		return internal.Unwrap()
	}
	return err
}

// causeCode is the code of a failure, with a code for those that hcsshim
// words itself; 0 if there is none.
func causeCode(err error) Code {
	err = cause(err)
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(hcsshim.ErrTimeout), is(context.DeadlineExceeded):
		return CodeOperationTimeout
	case is(hcsshim.ErrUnexpectedContainerExit):
		return CodeUnexpectedExit
	case is(hcsshim.ErrUnexpectedProcessAbort):
		return CodeServiceDisconnect
	case is(hcsshim.ErrAlreadyClosed), is(hcsshim.ErrHandleClose):
		return CodeInvalidHandle
	case is(hcsshim.ErrInvalidProcessState):
		return CodeInvalidState
	case is(hcsshim.ErrOperationDenied):
		return CodeAccessDenied
	case is(hcsshim.ErrPlatformNotSupported):
		return CodeNotSupported
	case is(syscall.EINVAL): // Go's own, for a string with a zero in it
		return CodeInvalidParameter
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return Code(errno)
	}
	return 0
}

// events returns what HCS told besides the code. The types of hcsshim's errors
// are out of reach in part, but each appends its events to its text alike.
func events(err error) []string {
	_, rest, found := strings.Cut(err.Error(), eventPrefix)
	if !found {
		return nil
	}
	list := strings.Split(rest, eventPrefix)
	for i := range list {
		list[i] = strings.TrimSuffix(list[i], "]")
	}
	return list
}

const eventPrefix = "\n[Event Detail: "
