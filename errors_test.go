package libcontainerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// windowsText is an error with a text as Windows writes it.
type windowsText string

func (t windowsText) Error() string { return string(t) }

func TestErrorText(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"code, host build, hint": {
			&Error{Op: "create", ContainerID: "web1", Code: CodeImageMismatch, HostBuild: 20348},
			`create container "web1": HCS 0xC0370101 IMAGE_MISMATCH: container OS does not match host (host build 20348): hint: use Hyper-V isolation or an image for this build whose revision is not newer than the host's`,
		},
		"dialect as HCS gave it": {
			&Error{Op: "create", ContainerID: "web1", Code: 0x80370101},
			`create container "web1": HCS 0x80370101 IMAGE_MISMATCH: container OS does not match host: hint: use Hyper-V isolation or an image for this build whose revision is not newer than the host's`,
		},
		"process": {
			&Error{Op: "exec", ContainerID: "web1", Process: "shell", Code: 0x10b},
			`exec process "shell" in container "web1": Win32 0x10B ERROR_DIRECTORY: the working directory is invalid: hint: check that cwd exists in the container, on C:`,
		},
		"dialect that Windows documents": {
			&Error{Op: "kill", ContainerID: "web1", Process: "shell", Code: 0xc037011f},
			`kill process "shell" in container "web1": HCS 0x8037011F PROCESS_ALREADY_STOPPED: process has ended already`,
		},
		"NTSTATUS": {
			&Error{Op: "create", ContainerID: "web1", Code: 0xd0020017},
			`create container "web1": NTSTATUS 0xC0020017 RPC_NT_SERVER_UNAVAILABLE: set-up of the group managed service account failed: hint: check the credential spec and the way from the host to a domain controller`,
		},
		"unknown code": {
			&Error{Op: "pause", ContainerID: "web1", Code: 0x80371234},
			`pause container "web1": HCS 0x80371234`,
		},
		"no code": {
			newError("exec", "web1", "", fmt.Errorf("process.args: %w", errdefs.ErrInvalidArgument)),
			`exec container "web1": process.args: invalid argument`,
		},
		"several causes on one line": {
			newError("create", "web1", "", errors.Join(errors.New("root.path: empty"), errors.New("process.args: empty"))),
			`create container "web1": root.path: empty; process.args: empty`,
		},
		"no code but a hint": {
			newError("shutdown", "web1", "", fmt.Errorf("no answer within 5m0s: %w", context.DeadlineExceeded)),
			`shutdown container "web1": no answer within 5m0s: context deadline exceeded: hint: the host may be overloaded: start fewer containers at a time, or allow more time`,
		},
		"no container": {
			newError("list", "", "", errors.New("broken")),
			`list: broken`,
		},
		"wrapped code": {
			newError("pause", "web1", "", fmt.Errorf("HcsPauseComputeSystem: %w", Code(0x80371234))),
			`pause container "web1": HCS 0x80371234: HcsPauseComputeSystem: HCS 0x80371234`,
		},
		"wrapped error tells its own code": {
			newError("restart", "web1", "", fmt.Errorf("attempt 2: %w", &Error{Op: "create", ContainerID: "web1", Code: 0x80371234})),
			`restart container "web1": attempt 2: create container "web1": HCS 0x80371234`,
		},
		"mounts and command line from the document": {
			&Error{Op: "create", ContainerID: "web1", Code: 3, Document: `{"MappedDirectories":[{"HostPath":"d:\\x","ContainerPath":"c:\\x"}]}`},
			`create container "web1": Win32 0x3 ERROR_PATH_NOT_FOUND: the folder of a layer or the source of a mount is missing: hint: check that every layer folder and mount source exists (d:\x on c:\x)`,
		},
		"cause before the hint": {
			newError("exec", "web1", "shell", fmt.Errorf("CreateProcess: %w", errors.Join(CodeDirectory, windowsText("Der Verzeichnisname ist ungültig.")))),
			`exec process "shell" in container "web1": Win32 0x10B ERROR_DIRECTORY: the working directory is invalid: CreateProcess: Win32 0x10B ERROR_DIRECTORY: the working directory is invalid; Der Verzeichnisname ist ungültig: hint: check that cwd exists in the container, on C:`,
		},
		"cause that says what the meaning says": {
			&Error{Op: "exec", ContainerID: "web1", Process: "shell", Code: 2, Err: windowsText("The system cannot find the file specified.")},
			`exec process "shell" in container "web1": Win32 0x2 ERROR_FILE_NOT_FOUND: the system cannot find the file specified: no such executable in the container: hint: check name and quoting; a builtin of the shell needs cmd /c`,
		},
		"code without a text, by itself": {
			&Error{Op: "pause", ContainerID: "web1", Code: 0x80371234, Err: errors.New("winapi error #2151092788")},
			`pause container "web1": HCS 0x80371234`,
		},
		"code without a text, wrapped": {
			&Error{Op: "wait", ContainerID: "web1", Code: 0x80371234, Err: errors.New("process 5: winapi error #2151092788")},
			`wait container "web1": HCS 0x80371234: process 5`,
		},
		"another code without a text": {
			&Error{Op: "wait", ContainerID: "web1", Code: 0x80371234, Err: errors.New("close: winapi error #3224830222")},
			`wait container "web1": HCS 0x80371234: close: HCS 0xC037010E SYSTEM_NOT_FOUND`,
		},
		"code without a text around an error": {
			newError("restart", "web1", "", fmt.Errorf("winapi error #-1070137074, %w", &Error{Op: "create", ContainerID: "web1", Code: 0x80371234})),
			`restart container "web1": HCS 0xC037010E SYSTEM_NOT_FOUND, create container "web1": HCS 0x80371234`,
		},
		"code without a text among several errors": {
			join(errors.New("winapi error #3224830222"), errors.New("second")),
			`HCS 0xC037010E SYSTEM_NOT_FOUND; second`,
		},
		"document in the cause": {
			&Error{Op: "create", ContainerID: "web1", Code: 0x80371234, Err: errors.New(`refused: {"Environment":{"PASSWORD":"hush"},"Name":"web1"}`)},
			`create container "web1": HCS 0x80371234: refused: {"Environment":"(removed)","Name":"web1"}`,
		},
		"errno of a Backend": {
			newError(OpAttach, "web1", "init", syscall.Errno(32)),
			`attach process "init" in container "web1": ` + syscall.Errno(32).Error(),
		},
		"errno of a Backend in a restart": {
			newError("restart", "web1", "", newError(OpStateChange, "web1", "", fmt.Errorf("store: %w", syscall.Errno(32)))),
			`restart container "web1": state change container "web1": store: ` + syscall.Errno(32).Error(),
		},
		"a code by itself": {CodeSystemNotFound, "HCS 0xC037010E SYSTEM_NOT_FOUND: no such compute system"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.err.Error()); diff != "" {
				t.Error(diff)
			}
			if got := fmt.Sprintf("%v|%s", test.err, test.err); got != test.want+"|"+test.want {
				t.Errorf("formatted %s", got)
			}
		})
	}
}

// The document helps whoever reports a bug; what is secret in it must not leave
// the process.
func TestDetailedFormatHidesSecrets(t *testing.T) {
	err := newError("create", "web1", "", &Error{
		Code:     CodeInvalidJSON,
		Events:   []string{"first\r\nevent", "second"},
		Document: `{"Name":"web1","Credentials":"hush","Environment":{"PASSWORD":"hush"},"Env":["TOKEN=hush","hush"],"Nested":[{"credentials":{"a":"hush"}}],"Number":12345678901234567890}`,
	})
	want := err.Error() + `
HCS event: first; event
HCS event: second
HCS document:
{
  "Credentials": "(removed)",
  "Env": [
    "TOKEN=(removed)",
    "(removed)"
  ],
  "Environment": {
    "PASSWORD": "(removed)"
  },
  "Name": "web1",
  "Nested": [
    {
      "credentials": "(removed)"
    }
  ],
  "Number": 12345678901234567890
}`
	if diff := cmp.Diff(want, fmt.Sprintf("%+v", err)); diff != "" {
		t.Error(diff)
	}
	for _, format := range []string{"%v", "%s", "%q", "%x", "%d", "%#v"} {
		if text := fmt.Sprintf(format, err); strings.Contains(text, "hush") {
			t.Errorf("%s shows a secret: %s", format, text)
		}
	}
	if text := fmt.Sprintf("%+v", &Error{Op: "create", Document: `{"Credentials":"hush"`}); strings.Contains(text, "hush") {
		t.Errorf("a document that is not JSON is shown: %s", text)
	}
	e, _ := errors.AsType[*Error](err)
	if text := fmt.Sprintf("%+v %#v", *e, *e); strings.Contains(text, "hush") {
		t.Errorf("a copy shows a secret: %s", text)
	}
	if text := fmt.Sprintf("%+v", newError("restart", "web1", "", fmt.Errorf("again: %w", err))); !strings.Contains(text, "HCS event: second") {
		t.Errorf("events of the wrapped error are lost: %s", text)
	}
}

func TestNewErrorCompletesTheErrorOfAService(t *testing.T) {
	given := &Error{Op: "CreateComputeSystem", Code: CodeAccessDenied, Events: []string{"event"}, Document: "{}"}
	got := newError("create", "web1", "", given)
	want := &Error{Op: "create", ContainerID: "web1", Code: CodeAccessDenied, Events: []string{"event"}, Document: "{}"}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *Error) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) })); diff != "" {
		t.Error(diff)
	}
	if given.ContainerID != "" {
		t.Error("the service's error was changed")
	}
	if newError("create", "web1", "", nil) != nil {
		t.Error("an error from nil")
	}
}

func TestErrorKeepsWhatItWraps(t *testing.T) {
	cause := errors.New("cause")
	err := newError("create", "web1", "", errors.Join(cause, fmt.Errorf("%w: %w", errdefs.ErrNotImplemented, fs.ErrClosed), syscall.Errno(5)))
	for _, target := range []error{cause, errdefs.ErrNotImplemented, fs.ErrClosed, CodeAccessDenied, errdefs.ErrPermissionDenied} {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
	if errors.Is(err, Code(0)) || errors.Is(newError("create", "c", "", cause), Code(0)) {
		t.Error("no code matches code 0")
	}
	if got := errdefs.Resolve(newError("create", "c", "", CodeSystemAlreadyExists)); !errors.Is(got, errdefs.ErrAlreadyExists) {
		t.Errorf("errdefs resolves to %v", got)
	}
	if !errdefs.IsDeadlineExceeded(newError("start", "c", "", CodeTimeout)) {
		t.Error("a time-out is not an exceeded deadline")
	}
	if code := codeOf(fmt.Errorf("wrapped: %w", syscall.Errno(1<<29+3))); code != 0 {
		t.Errorf("code %#x from an error that Go invented", uint32(code))
	}
	late, _ := errors.AsType[*Error](newError("start", "c", "", context.DeadlineExceeded))
	if late.Hint() == "" || late.Retry() != RetryCallerDecides {
		t.Errorf("a call without answer: hint %q, %v", late.Hint(), late.Retry())
	}
}

func TestPredicates(t *testing.T) {
	all := []Code{5, 0x7f, 161, 3, 1115, 0x490, 0x6b5, 0x6ba, 0x6be, 0x6bf, 0xc0370110, 0x80370110, 0x8037011f,
		0xc037010e, 0x80370114, 0x8037011e, 0xc037010a, 0xc0370103, 0xc0370106}
	for _, test := range []struct {
		name      string
		predicate func(error) bool
		want      []Code
	}{
		{"isAlreadyStopped", isAlreadyStopped, []Code{0x490, 0xc0370110, 0x80370110, 0x8037011f, 0xc037010e}},
		{"isStopAccepted", isStopAccepted, []Code{161, 3, 1115, 0x490, 0xc0370110, 0x80370110, 0x8037011f, 0xc037010e, 0xc0370103}},
		{"isServiceLost", isServiceLost, []Code{0x6b5, 0x6ba, 0x6be, 0x6bf, 0x80370114, 0x8037011e, 0xc037010a}},
	} {
		var got []Code
		for _, code := range all {
			if test.predicate(fmt.Errorf("wrapped: %w", newError("shutdown", "c", "", syscall.Errno(code)))) {
				got = append(got, code)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %#x, want %#x", test.name, got, test.want)
		}
		if test.predicate(nil) || test.predicate(errors.New("plain")) {
			t.Errorf("%s holds without a code", test.name)
		}
	}
}

// An error that an engine returns from a callback is about the engine: its numbers are
// not codes of Windows, and only the engine knows what they mean.
func TestErrorsOfTheBackendHaveNoCode(t *testing.T) {
	own := errors.New("own")
	for name, cause := range map[string]error{
		"errno":              syscall.Errno(32),
		"wrapped errno":      fmt.Errorf("write: %w", syscall.Errno(5)),
		"deadline":           context.DeadlineExceeded,
		"code":               CodeAccessDenied,
		"error of a client":  newError(OpExec, "other", "p", CodeAccessDenied),
		"another callback's": newError(OpStateChange, "other", "", syscall.Errno(5)),
		"several":            errors.Join(own, syscall.Errno(32)),
		"named kind":         fmt.Errorf("no room: %w", errdefs.ErrResourceExhausted),
	} {
		t.Run(name, func(t *testing.T) {
			for _, op := range []string{OpAttach, OpStateChange} {
				direct := newError(op, "web1", "", cause)
				for _, err := range []error{direct, newError(OpRestart, "web1", "", direct), newError(OpRestart, "web1", "", fmt.Errorf("again: %w", direct))} {
					e, _ := errors.AsType[*Error](err)
					if e.Code != 0 || codeOf(err) != 0 || e.Hint() != "" || e.Retry() != RetryNever {
						t.Errorf("%v: code %#x, hint %q, %v", err, uint32(codeOf(err)), e.Hint(), e.Retry())
					}
					if !errors.Is(err, cause) {
						t.Errorf("%v is not what the Backend returned", err)
					}
					if own := errdefs.IsResourceExhausted(cause); errdefs.IsResourceExhausted(err) != own {
						t.Errorf("%v: kind of the Backend %v", err, own)
					}
					if errors.Is(err, CodeSharingViolation) || errdefs.IsConflict(err) || errdefs.IsUnknown(err) {
						t.Errorf("%v has a kind that the Backend did not give", err)
					}
					if hasCode(err, CodeSharingViolation, CodeAccessDenied) || (RetryPolicy{Attempts: 9, Codes: []Code{32, 5}}).again(1, err) {
						t.Errorf("%v counts as a failure of HCS", err)
					}
					if !strings.Contains(err.Error(), op+` container "web1"`) || !strings.Contains(err.Error(), oneLine(cause.Error())) {
						t.Errorf("text %q", err)
					}
				}
			}
		})
	}
}

// Engines find exit code 127 by this text, in whichever operation it appears.
func TestMissingFileIsNamedAsWindowsNamesIt(t *testing.T) {
	for _, op := range []string{"", OpCreate, OpStart, OpExec, OpRestart, OpRestore, OpSignal, OpList, OpResize} {
		for _, process := range []string{"", "init"} {
			for _, code := range []Code{2, 0x80070002} {
				if err := newError(op, "web1", process, code); !strings.Contains(err.Error(), "the system cannot find the file specified") {
					t.Errorf("%v", err)
				}
			}
		}
	}
}

func TestDurationsAreSaidAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                       "0s",
		1234 * time.Nanosecond:                  "1µs",
		999_600 * time.Nanosecond:               "1ms",
		12_345_678:                              "12ms",
		250 * time.Millisecond:                  "250ms",
		999_999_987 * time.Nanosecond:           "1s",
		1_549 * time.Millisecond:                "1.5s",
		10 * time.Second:                        "10s",
		29_999_999_987 * time.Nanosecond:        "30s",
		time.Minute:                             "1m",
		90 * time.Second:                        "1m30s",
		299_999_987 * time.Microsecond:          "5m",
		5 * time.Minute:                         "5m",
		10*time.Minute + 10*time.Second:         "10m10s",
		time.Hour - time.Millisecond:            "1h",
		time.Hour + 30*time.Minute + 2*1e9:      "1h30m",
		20 * time.Hour:                          "20h",
		-299_999_987 * time.Microsecond:         "-5m",
		100*time.Minute + 10*time.Second + 12e6: "1h40m",
	} {
		if got := humanDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestLogsOfSlogShowTheText(t *testing.T) {
	var b bytes.Buffer
	list := join(newError("create", "web1", "", CodeImageMismatch), ErrMayStillRun)
	slog.New(slog.NewJSONHandler(&b, nil)).Error("failed", "error", newError("create", "web1", "", CodeImageMismatch), "errors", list)
	var record map[string]any
	if err := json.Unmarshal(b.Bytes(), &record); err != nil {
		t.Fatal(err)
	}
	if record["error"] != newError("create", "web1", "", CodeImageMismatch).Error() || record["errors"] != list.Error() {
		t.Errorf("logged %s", &b)
	}
}

func FuzzErrorFormat(f *testing.F) {
	f.Add("create", "web1", "", uint32(0xc0370101), "cause\nof two lines", `{"Credentials":"x"}`)
	f.Add("exec", "", "p\x00", uint32(2), "", `{"CommandLine":"a\nb","Environment":["A=b",1,null]}`)
	f.Add("close", "c", "", uint32(5), "winapi error #1: winapi error #5", "{}")
	f.Add("", "", "", uint32(0), "", `{"MappedDirectories":{},"Environment":"x"}`)
	f.Fuzz(func(t *testing.T, op, id, process string, code uint32, cause, document string) {
		err := newError(oneLine(op), id, process, &Error{Code: Code(code), Err: errors.New(cause), Document: document, Events: []string{cause}})
		for _, text := range []string{err.Error(), Code(code).Error()} {
			if strings.Contains(text, "winapi error #1") {
				t.Errorf("a number without a name: %q", text)
			}
			if strings.ContainsAny(text, "\n\r") {
				t.Errorf("more than one line: %q", text)
			}
		}
		if !strings.HasPrefix(fmt.Sprintf("%+v", err), err.Error()) {
			t.Errorf("the detailed text does not begin with the short one")
		}
	})
}
