package main

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// Errors whose text is all that the client sees of them. Where Docker's tools know
// the text, it is Docker's.

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func notFound(format string, args ...any) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(format, args...))
}

func conflict(format string, args ...any) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf(format, args...))
}

func unsupported(format string, args ...any) error {
	return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf(format, args...))
}

// errNotModified says that there was nothing to do.
var errNotModified = errors.New("not modified")

// errGone says that the client has gone, so that no answer reaches it.
var errGone = errors.New("the client has gone")

// errBadCommand says that a start has failed because of the command.
var errBadCommand = errors.New("the command cannot be run")

// The words from which docker run makes its exit code: 127 and 126.
const (
	fileNotFound     = "system cannot find the file specified"
	permissionDenied = "permission denied"
)

// startError adds these words to the error of a start, if it is because of the command.
func startError(err error) error {
	switch {
	case errors.Is(err, libcontainerd.CodeFileNotFound):
		return fmt.Errorf("%w: %s: %w", errBadCommand, fileNotFound, err)
	case errors.Is(err, libcontainerd.CodeAccessDenied):
		return fmt.Errorf("%w: %s: %w", errBadCommand, permissionDenied, err)
	}
	return err
}

// startCode is the exit code of what could not be started.
func startCode(err error) int {
	switch {
	case !errors.Is(err, errBadCommand):
		return 128
	case errors.Is(err, libcontainerd.CodeFileNotFound):
		return 127
	}
	return 126
}
