package libcontainerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/containerd/errdefs"
)

// Error is a failed operation of this package or of a ComputeService.
//
// errors.Is matches it against a Code in any dialect, against the kinds of
// github.com/containerd/errdefs (context.DeadlineExceeded for a call that HCS
// did not answer in time), and against whatever Err wraps. Where a Backend failed
// (Op is OpAttach or OpStateChange) it matches only what the Backend returned.
//
// Its text is one line. The verb %+v adds the HCS events and the document, and
// encoding/json writes its parts and the events. Both remove credentials and the
// values of environment variables.
type Error struct {
	Op          string // what failed: OpCreate, OpExec, OpSignal …
	ContainerID string // "" if no container is concerned
	Process     string // friendly name, or "" if no process is concerned
	Code        Code   // as HCS gave it, 0 if it gave none
	Err         error  // the cause, nil if the code says it all

	HostBuild uint16   // Windows build of the host, 0 if unknown
	Document  string   // the HCS document that was refused; it holds the secrets of the spec
	Events    []string // what HCS reported besides, if anything; they may quote the document
}

// Error returns one line: operation, process, container, what happened, and a
// hint. What happened is the code with its name and meaning, if there is one, and
// the text of the cause, which may be in the words of Windows.
func (e *Error) Error() string {
	parts := []string{e.subject()}
	if e.isNested() { // the cause has code and hint in its text
		return oneLine(strings.Join(append(parts, e.causeText()), ": "))
	}
	code, means := e.code(), ""
	if code != 0 {
		parts = append(parts, code.label())
	}
	if info, ok := lookup(code, e.situation()); ok {
		means = e.expand(info.Means)
		parts = append(parts, means)
	}
	if cause := e.causeText(); cause != "" && !saysIn(cause, means) {
		parts = append(parts, cause)
	}
	if hint := e.Hint(); hint != "" {
		parts = append(parts, "hint: "+hint)
	}
	return oneLine(strings.Join(parts, ": "))
}

// Hint returns what an operator can try, "" if nothing is known.
func (e *Error) Hint() string { return oneLine(e.expand(e.info().Hint)) }

// Retry returns whether the operation is worth another try.
func (e *Error) Retry() Retry { return e.info().Retry }

// Unwrap returns the errdefs kinds of the failure, the most telling one first,
// and the cause.
func (e *Error) Unwrap() []error {
	errs := e.code().kinds(e.situation())
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// Is reports whether target is the Code of the error, in any dialect.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code != 0 && e.code().normal() == code.normal()
}

// Format prints the error; %+v adds the HCS events and the document without
// their secrets. It has a value receiver, so that a copy hides them too.
func (e Error) Format(f fmt.State, verb rune) {
	switch {
	case verb == 'q':
		fmt.Fprintf(f, "%q", e.Error())
	case verb == 'v' && f.Flag('+'):
		io.WriteString(f, e.detail())
	default:
		io.WriteString(f, e.Error())
	}
}

// LogValue has log/slog write the text of the error.
func (e *Error) LogValue() slog.Value { return slog.StringValue(e.Error()) }

func (e *Error) detail() string {
	var b strings.Builder
	b.WriteString(e.Error())
	source := e.source()
	for _, event := range source.redactedEvents() {
		b.WriteString("\nHCS event: " + event)
	}
	if source.Document != "" {
		b.WriteString("\nHCS document:\n" + redactDocument(source.Document))
	}
	return b.String()
}

// source returns the error that knows events and document: e, or one that it
// wraps.
func (e *Error) source() *Error {
	for source := e; ; {
		next, nested := errors.AsType[*Error](source.Err)
		if len(source.Events) > 0 || source.Document != "" || !nested {
			return source
		}
		source = next
	}
}

func (e *Error) redactedEvents() []string {
	if len(e.Events) == 0 {
		return nil
	}
	secrets := secretsOf(e.Document)
	events := make([]string, len(e.Events))
	for i, event := range e.Events {
		events[i] = oneLine(redactText(event, secrets))
	}
	return events
}

// subject returns what failed: operation, process, container.
func (e *Error) subject() string {
	s := e.Op
	if e.Process != "" {
		s += fmt.Sprintf(" process %q", e.Process)
		if e.ContainerID != "" {
			s += " in"
		}
	}
	if e.ContainerID != "" {
		s += fmt.Sprintf(" container %q", e.ContainerID)
	}
	return s
}

// isNested reports whether the cause is, or wraps, an *Error.
func (e *Error) isNested() bool {
	_, nested := errors.AsType[*Error](e.Err)
	return nested
}

// isBackends reports whether the Backend failed, not HCS. The numbers in its
// errors are those of the engine: an errno is not a code of Windows.
func (e *Error) isBackends() bool {
	if e.Op == OpAttach || e.Op == OpStateChange {
		return true
	}
	inner, nested := errors.AsType[*Error](e.Err)
	return nested && inner.isBackends()
}

// code returns Code, or the one that the cause carries.
func (e *Error) code() Code {
	if e.Code != 0 || e.isBackends() {
		return e.Code
	}
	return codeOf(e.Err)
}

// info returns what the table knows about e. A call that HCS did not answer has
// no code; it counts as the time-out that HCS reports itself.
func (e *Error) info() CodeInfo {
	code := e.code()
	if code == 0 && errors.Is(e.Err, context.DeadlineExceeded) && !e.isBackends() {
		code = CodeOperationTimeout
	}
	info, _ := lookup(code, e.situation())
	return info
}

// expand replaces the placeholders in a text of codeTable by what e knows.
func (e *Error) expand(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var document struct {
		MappedDirectories []struct{ HostPath, ContainerPath string }
		EndpointList      []string
		CommandLine       string
	}
	// A document that cannot be read adds nothing to a hint.
	_ = json.Unmarshal([]byte(e.Document), &document)

	var build, mounts, endpoints, command string
	if e.HostBuild != 0 {
		build = fmt.Sprintf(" (host build %d)", e.HostBuild)
	}
	if len(document.MappedDirectories) > 0 {
		var list []string
		for _, m := range document.MappedDirectories {
			list = append(list, fmt.Sprintf("%s on %s", m.HostPath, m.ContainerPath))
		}
		mounts = " (" + strings.Join(list, ", ") + ")"
	}
	if len(document.EndpointList) > 0 {
		endpoints = " " + strings.Join(document.EndpointList, ", ")
	}
	if document.CommandLine != "" {
		command = fmt.Sprintf(" (command line %s)", document.CommandLine)
	}
	return strings.NewReplacer("{build}", build, "{mounts}", mounts,
		"{endpoints}", endpoints, "{command}", command).Replace(text)
}

// newError describes err as the failure of op on a container and, unless process
// is empty, on one of its processes. It completes an *Error that a ComputeService
// returned; it wraps any other error, also that of a Backend. nil stays nil.
func newError(op, containerID, process string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Err: err}
	given, ok := err.(*Error) //nolint:errorlint // only the outermost error is completed, a deeper one keeps its wrapping
	if ok && !e.isBackends() {
		copied := *given
		e = &copied
	}
	e.Op = op
	if containerID != "" {
		e.ContainerID = containerID
	}
	if process != "" {
		e.Process = process
	}
	e.Code = e.code()
	return e
}

// isIDTaken reports whether a create failed because of the id. A layer or a port
// that is in use is of the same kind.
func isIDTaken(err error) bool {
	if codeOf(err) != 0 {
		return errors.Is(err, CodeSystemAlreadyExists)
	}
	return errdefs.IsAlreadyExists(err)
}

// codeOf returns the first code of Windows in the tree of err, 0 if there is
// none. It does not look into the error of a Backend.
func codeOf(err error) Code {
	switch err := err.(type) { //nolint:errorlint // it walks the tree itself, to leave a part of it out
	case *Error:
		return err.code()
	case Code:
		return err
	case syscall.Errno:
		if err&inventedBit == 0 {
			return Code(err)
		}
	case interface{ Unwrap() error }:
		return codeOf(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, cause := range err.Unwrap() {
			if code := codeOf(cause); code != 0 {
				return code
			}
		}
	}
	return 0
}

// inventedBit marks the numbers that Go's package syscall invents on Windows, for
// its POSIX errors.
const inventedBit syscall.Errno = 1 << 29

// hasCode reports whether err carries one of codes.
func hasCode(err error, codes ...Code) bool {
	found := codeOf(err).normal()
	for _, code := range codes {
		if found == code.normal() {
			return true
		}
	}
	return false
}

// isAlreadyStopped reports whether a request to stop came too late.
// CodeProcNotFound is not among the codes: it is about a procedure of a DLL, and
// the container still runs.
func isAlreadyStopped(err error) bool {
	return hasCode(err, CodeAlreadyStopped, CodeProcessStopped, CodeNotFound, CodeSystemNotFound)
}

// isStopAccepted reports whether a failed Shutdown or Terminate still means
// that the compute system has stopped or is about to.
func isStopAccepted(err error) bool {
	return isAlreadyStopped(err) ||
		hasCode(err, CodeOperationPending, CodeShutdownInProgress, CodeBadPathname, CodePathNotFound)
}

// isServiceLost reports whether the connection to HCS, or from HCS to the utility
// VM, was lost. Handles are then worthless, and nobody knows whether the container
// runs.
func isServiceLost(err error) bool {
	return hasCode(err, CodeServiceDisconnect, CodeServiceNotAvailable, CodeConnectionClosed,
		CodeRPCUnknownInterface, CodeRPCUnavailable, CodeRPCFailed, CodeRPCNotExecuted)
}

// causeText returns what the cause adds to the text of the code.
func (e *Error) causeText() string {
	code := e.code()
	switch err := e.Err.(type) { //nolint:errorlint // a bare code says nothing new, a wrapped one may
	case nil:
		return ""
	case Code:
		if err == code {
			return ""
		}
	case syscall.Errno:
		// Only Windows has texts for its numbers.
		if runtime.GOOS != "windows" && Code(err) == code {
			return ""
		}
	}
	text := redactText(e.Err.Error(), nil)
	if code != 0 {
		text = numbers.ReplaceAllStringFunc(text, func(match string) string {
			if numberIn(match).normal() == code.normal() {
				return "" // the code stands before the cause
			}
			return match
		})
		text = strings.TrimSuffix(text, ".") // texts of Windows end so
	}
	return text
}

// numbers matches what Go writes for a code for which Windows has no text.
var numbers = regexp.MustCompile(`(: )?winapi error #-?\d+`)

// numberIn returns the code in a match of numbers.
func numberIn(match string) Code {
	_, digits, _ := strings.Cut(match, "#")
	n, _ := strconv.ParseInt(digits, 10, 64) // the pattern leaves only digits
	return Code(uint32(n))
}

// saysIn reports whether text has the words of cause already.
func saysIn(cause, text string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(cause))
}

// oneLine replaces whatever would break a line of a log, and names the codes that
// Go leaves as numbers.
func oneLine(s string) string {
	s = numbers.ReplaceAllStringFunc(s, func(match string) string {
		before, _, _ := strings.Cut(match, "winapi")
		return before + numberIn(match).label()
	})
	s = strings.NewReplacer("\r\n", "; ", "\n", "; ").Replace(strings.TrimSpace(s))
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// humanDuration returns d as people say it: "5m" for 4m59.999987s and for 5m0s,
// "1.5s", "250ms".
func humanDuration(d time.Duration) string {
	switch size := d.Abs(); {
	case size < time.Millisecond:
		d = d.Round(time.Microsecond)
	case size < time.Second:
		d = d.Round(time.Millisecond)
	case size < 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case size < time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// join makes one error of several and leaves nil ones out; its text is one line.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return errorList(errs)
}

type errorList []error

func (l errorList) Error() string { return oneLine(errors.Join(l...).Error()) }

func (l errorList) Unwrap() []error { return l }

// LogValue has log/slog write the text of the errors.
func (l errorList) LogValue() slog.Value { return slog.StringValue(l.Error()) }
