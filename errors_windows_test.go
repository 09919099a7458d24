package libcontainerd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/Microsoft/hcsshim"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/windows"
)

// Package endtoend tests the errors that only hcsshim can make.
func TestErrorsOfHCSShimKeepTheirCodeAndKind(t *testing.T) {
	container := func(err error) error { return &hcsshim.ContainerError{Operation: "op", Err: err} }
	process := func(err error) error { return &hcsshim.ProcessError{Operation: "op", Err: err} }
	missingDLL := windows.NewLazySystemDLL("no-such.dll").Load()
	missingProc := windows.NewLazySystemDLL("kernel32.dll").NewProc("NoSuchProcedure").Find()

	tests := []struct {
		name string
		err  error
		code Code
		kind error
	}{
		{"container, HCS code", container(syscall.Errno(0xc037010e)), CodeSystemNotFound, errdefs.ErrNotFound},
		{"container, HRESULT", container(syscall.Errno(0x8037010f)), CodeSystemAlreadyExists, errdefs.ErrAlreadyExists},
		{"container, Win32", container(windows.ERROR_ACCESS_DENIED), CodeAccessDenied, errdefs.ErrPermissionDenied},
		{"container, timeout of a notification", container(hcsshim.ErrTimeout), CodeOperationTimeout, context.DeadlineExceeded},
		{"container, timeout of a call", container(context.DeadlineExceeded), CodeOperationTimeout, context.DeadlineExceeded},
		{"container, died meanwhile", container(hcsshim.ErrUnexpectedContainerExit), CodeUnexpectedExit, nil},
		{"container, service lost", container(hcsshim.ErrUnexpectedProcessAbort), CodeServiceDisconnect, errdefs.ErrUnavailable},
		{"container, closed", container(hcsshim.ErrAlreadyClosed), CodeInvalidHandle, nil},
		{"container, closed while waiting", container(hcsshim.ErrHandleClose), CodeInvalidHandle, nil},
		{"container, denied", container(hcsshim.ErrOperationDenied), CodeAccessDenied, errdefs.ErrPermissionDenied},
		{"container, not for this platform", container(hcsshim.ErrPlatformNotSupported), CodeNotSupported, errdefs.ErrNotImplemented},
		{"process, Win32", process(windows.ERROR_FILE_NOT_FOUND), CodeFileNotFound, errdefs.ErrNotFound},
		{"process, already stopped", process(syscall.Errno(0x8037011f)), CodeProcessStopped, nil},
		{"process, no exit yet", process(hcsshim.ErrInvalidProcessState), CodeInvalidState, nil},
		{"layer function", &hcsshim.HcsError{Err: syscall.Errno(0xc0370112)}, CodeInvalidLayer, nil},
		{"zero in a string", syscall.EINVAL, CodeInvalidParameter, errdefs.ErrInvalidArgument},
		{"number that Go invented", container(syscall.EPIPE), 0, nil},
		{"missing DLL", missingDLL, Code(windows.ERROR_MOD_NOT_FOUND), nil},
		{"missing procedure", missingProc, CodeProcNotFound, errdefs.ErrNotImplemented},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err == nil {
				t.Fatal("no error to begin with")
			}
			for _, err := range []error{tt.err, fmt.Errorf("wrapped: %w", tt.err)} {
				got := hcsError("exec", "web", err)
				var e *Error
				if !errors.As(got, &e) || e.Op != "exec" || e.ContainerID != "web" {
					t.Fatalf("%#v is not an *Error of the operation", got)
				}
				if e.Code.normal() != tt.code.normal() || tt.code != 0 && !errors.Is(got, tt.code) {
					t.Errorf("code %#x, want %#x", uint32(e.Code), uint32(tt.code))
				}
				if tt.kind != nil && !errors.Is(got, tt.kind) {
					t.Errorf("%v is not of kind %v", got, tt.kind)
				}
				for _, format := range []string{"%v", "%+v"} {
					if text := fmt.Sprintf(format, newError("restart", "web", "init", fmt.Errorf("again: %w", got))); strings.Contains(text, "winapi error") {
						t.Errorf("a number without a name: %s", text)
					}
				}
				if text := got.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "web") {
					t.Errorf("text is not one line that names the container: %q", text)
				}
			}
		})
	}
}

func TestNoErrorOfHCSShimIsNoError(t *testing.T) {
	if err := hcsError("start", "web", nil); err != nil {
		t.Error(err)
	}
}

// All errors of hcsshim append their events in the same way.
func TestEventsAreTakenOutOfTheText(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"start failed", nil},
		{"start failed\n[Event Detail: disk\nfull Provider: p]\n[Event Detail: two]", []string{"disk\nfull Provider: p", "two"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, eventTexts(errors.New(tt.text))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
	}
}
