package libcontainerd

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/containerd/errdefs"
)

// errorRecord is an error as JSON.
type errorRecord struct {
	Message     string        `json:"message"`
	Op          string        `json:"op,omitempty"`
	Container   string        `json:"container,omitempty"`
	Process     string        `json:"process,omitempty"`
	Code        Code          `json:"code,omitempty"`
	Name        string        `json:"name,omitempty"` // of the code
	Kinds       []string      `json:"kinds,omitempty"`
	Retry       string        `json:"retry,omitempty"`
	Hint        string        `json:"hint,omitempty"`
	HostBuild   uint16        `json:"host_build,omitempty"`
	Events      []string      `json:"events,omitempty"`
	MayStillRun bool          `json:"may_still_run,omitempty"` // ErrMayStillRun
	Errors      []errorRecord `json:"errors,omitempty"`        // those of which this one is made
}

// MarshalJSON writes an object with the members message (the text of the error),
// op, container, process, code (a number), name (of the code), kinds (of errdefs,
// the most telling one first), retry, hint, host_build and events; those that are
// empty are left out. It never writes the document, and it removes secrets from
// the events. It has a value receiver, so that a copy hides them too.
func (e Error) MarshalJSON() ([]byte, error) { return json.Marshal(recordOf(&e)) }

// MarshalJSON writes an object with the members message, kinds, may_still_run and
// errors, the list of the errors.
func (l errorList) MarshalJSON() ([]byte, error) { return json.Marshal(recordOf(l)) }

// recordOf describes err; what it says about an error of another package is text
// and kinds.
func recordOf(err error) errorRecord {
	record := errorRecord{
		Message:     oneLine(err.Error()),
		Kinds:       kindNames(err),
		MayStillRun: errors.Is(err, ErrMayStillRun),
	}
	switch err := err.(type) { //nolint:errorlint // the errors below have their text in that of the outermost
	case *Error:
		source := err.source()
		record.Op, record.Container, record.Process = err.Op, err.ContainerID, err.Process
		record.Code = err.code()
		record.Name = record.Code.Name()
		if info := err.info(); info.Name != "" { // else nobody knows
			record.Retry, record.Hint = info.Retry.String(), err.Hint()
		}
		record.HostBuild, record.Events = source.HostBuild, source.redactedEvents()
	case errorList:
		for _, e := range err {
			record.Errors = append(record.Errors, recordOf(e))
		}
	}
	return record
}

// allKinds are the kinds that an error of this package may have.
var allKinds = []error{
	errdefs.ErrInvalidArgument, errdefs.ErrNotFound, errdefs.ErrAlreadyExists, errdefs.ErrPermissionDenied,
	errdefs.ErrResourceExhausted, errdefs.ErrFailedPrecondition, errdefs.ErrConflict, errdefs.ErrNotModified,
	errdefs.ErrAborted, errdefs.ErrOutOfRange, errdefs.ErrNotImplemented, errdefs.ErrInternal, errdefs.ErrUnavailable,
	errdefs.ErrDataLoss, errdefs.ErrUnauthenticated, errdefs.ErrUnknown, context.DeadlineExceeded, context.Canceled,
}

// kindNames returns the kinds of err, those of its code first.
func kindNames(err error) []string {
	var kinds []error
	if e, ok := errors.AsType[*Error](err); ok {
		kinds = e.code().kinds(e.situation())
	}
	for _, kind := range allKinds {
		if errors.Is(err, kind) && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = kind.Error()
	}
	return names
}
