// This file turns errors of hcsshim into those of this package. The error type is
// in errors.go, the codes are in codes.go.

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
		Events:      eventTexts(err),
	}
}

// cause returns the error that hcsshim wrapped together with operation, id and
// events. Three of its types have no Unwrap. The others are internal to hcsshim:
// they are recognised as a net.Error with an Unwrap.
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

// causeCode returns the code of a failure, 0 if it has none. Failures for which
// hcsshim has its own errors get a code, too.
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
	case is(syscall.EINVAL): // Go returns it for a string with a zero in it
		return CodeInvalidParameter
	}
	return codeOf(err)
}

// eventTexts returns what HCS reported besides the code. Some error types of hcsshim
// are internal, but all append their events to their text in the same way.
func eventTexts(err error) []string {
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
