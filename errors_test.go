package libcontainerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// failures are those seen in the field, by their number in the catalogue, and
// what the code means for that operation. Those that have no code are among the
// lessons.
var failures = map[string]struct {
	op, process string
	code        Code
	name        string
	kind        error
	retry       Retry
}{
	"1 image mismatch":                {"create", "", 0xc0370101, "IMAGE_MISMATCH", errdefs.ErrFailedPrecondition, RetryNever},
	"1 image mismatch, HRESULT":       {"create", "", 0x80370101, "IMAGE_MISMATCH", errdefs.ErrFailedPrecondition, RetryNever},
	"2 feature off":                   {"create", "", 0x80370102, "HYPERV_NOT_INSTALLED", errdefs.ErrFailedPrecondition, RetryNever},
	"2 service not available":         {"create", "", 0x80370114, "SERVICE_NOT_AVAILABLE", errdefs.ErrFailedPrecondition, RetryNever},
	"3 no hypervisor":                 {"create", "", 0xc0351000, "ERROR_HV_NOT_PRESENT", errdefs.ErrFailedPrecondition, RetryNever},
	"4 not supported":                 {"create", "", 0x32, "ERROR_NOT_SUPPORTED", errdefs.ErrNotImplemented, RetryNever},
	"5 invalid document":              {"create", "", 0xc037010d, "INVALID_JSON", errdefs.ErrInvalidArgument, RetryNever},
	"5 invalid data":                  {"create", "", 0x8007000d, "ERROR_INVALID_DATA", errdefs.ErrInvalidArgument, RetryNever},
	"6 unexpected exit":               {"start", "", 0xc0370106, "UNEXPECTED_EXIT", errdefs.ErrAborted, RetryCallerDecides},
	"7 terminated during start":       {"start", "", 0xc0370100, "TERMINATED_DURING_START", errdefs.ErrAborted, RetryCallerDecides},
	"8 no connection to utility VM":   {"create", "", 0xc0370108, "CONNECT_FAILED", errdefs.ErrUnavailable, RetryTransient},
	"9 no response from utility VM":   {"create", "", 0xc0370109, "TIMEOUT", errdefs.ErrUnavailable, RetryTransient},
	"9 no response is a deadline too": {"create", "", 0xc0370109, "TIMEOUT", context.DeadlineExceeded, RetryTransient},
	"10 id in use":                    {"create", "", 0xc037010f, "SYSTEM_ALREADY_EXISTS", errdefs.ErrAlreadyExists, RetryCallerDecides},
	"11 invalid layer":                {"create", "", 0xc0370112, "INVALID_LAYER", errdefs.ErrFailedPrecondition, RetryNever},
	"12 no system resources":          {"create", "", 0x5aa, "ERROR_NO_SYSTEM_RESOURCES", errdefs.ErrResourceExhausted, RetryNever},
	"13 page file":                    {"create", "", 0x5af, "ERROR_COMMITMENT_LIMIT", errdefs.ErrResourceExhausted, RetryNever},
	"14 busy":                         {"create", "", 0xaa, "ERROR_BUSY", errdefs.ErrUnavailable, RetryTransient},
	"15 no answer in time":            {"create", "", 0x80370118, "OPERATION_TIMEOUT", context.DeadlineExceeded, RetryCallerDecides},
	"16 path not found":               {"create", "", 0x3, "ERROR_PATH_NOT_FOUND", errdefs.ErrNotFound, RetryNever},
	"17 file not found":               {"create", "", 0x80070002, "ERROR_FILE_NOT_FOUND", errdefs.ErrNotFound, RetryNever},
	"18 bad name":                     {"create", "", 0x7b, "ERROR_INVALID_NAME", errdefs.ErrInvalidArgument, RetryNever},
	"19 access denied":                {"create", "", 0x5, "ERROR_ACCESS_DENIED", errdefs.ErrPermissionDenied, RetryNever},
	"19 access denied by HCS":         {"create", "", 0x8037011b, "ACCESS_DENIED", errdefs.ErrPermissionDenied, RetryNever},
	"20 no vmcompute.dll":             {"new", "", 0x7e, "ERROR_MOD_NOT_FOUND", errdefs.ErrUnavailable, RetryNever},
	"21 gMSA":                         {"create", "", 0xc0020017, "RPC_NT_SERVER_UNAVAILABLE", errdefs.ErrUnavailable, RetryCallerDecides},
	"21 gMSA, HRESULT":                {"create", "", 0xd0020017, "RPC_NT_SERVER_UNAVAILABLE", errdefs.ErrUnavailable, RetryCallerDecides},
	"24 attach to network":            {"create", "", 0x803b0014, "HCN_ERROR", errdefs.ErrFailedPrecondition, RetryCallerDecides},
	"25 HCN":                          {"restore", "", 0x803b0015, "HCN_ERROR", errdefs.ErrUnavailable, RetryCallerDecides},
	"26 HNS object exists":            {"create", "", 0x1392, "ERROR_OBJECT_ALREADY_EXISTS", errdefs.ErrAlreadyExists, RetryCallerDecides},
	"27 port in use":                  {"create", "", 0x20, "ERROR_SHARING_VIOLATION", errdefs.ErrConflict, RetryNever},
	"28 element not found":            {"list", "", 0x490, "ERROR_NOT_FOUND", errdefs.ErrNotFound, RetryTransient},
	"29 command not found":            {"exec", "p", 0x2, "ERROR_FILE_NOT_FOUND", errdefs.ErrNotFound, RetryNever},
	"30 bad working directory":        {"exec", "p", 0x10b, "ERROR_DIRECTORY", errdefs.ErrInvalidArgument, RetryNever},
	"31 bad user":                     {"exec", "p", 0x52e, "ERROR_LOGON_FAILURE", errdefs.ErrInvalidArgument, RetryTransient},
	"32 exec on stopped system":       {"exec", "p", 0xc0370110, "SYSTEM_ALREADY_STOPPED", errdefs.ErrFailedPrecondition, RetryNever},
	"32 exec in invalid state":        {"exec", "p", 0x80370105, "INVALID_STATE", errdefs.ErrFailedPrecondition, RetryNever},
	"33 stats in invalid state":       {"stats", "", 0xc0370105, "INVALID_STATE", errdefs.ErrFailedPrecondition, RetryTransient},
	"33 close stdin in invalid state": {"close stdin", "p", 0xc0370105, "INVALID_STATE", errdefs.ErrFailedPrecondition, RetryIdempotent},
	"34 kill twice":                   {"kill", "p", 0x5, "ERROR_ACCESS_DENIED", errdefs.ErrPermissionDenied, RetryIdempotent},
	"35 kill of an ended process":     {"kill", "p", 0x8037011f, "PROCESS_ALREADY_STOPPED", errdefs.ErrNotFound, RetryIdempotent},
	"35 kill of an unknown process":   {"signal", "p", 0x490, "ERROR_NOT_FOUND", errdefs.ErrNotFound, RetryIdempotent},
	"35 resize of an ended process":   {"resize", "p", 0x8037011f, "PROCESS_ALREADY_STOPPED", errdefs.ErrNotFound, RetryNever},
	"36 resize too early":             {"resize", "p", 0x490, "ERROR_NOT_FOUND", errdefs.ErrNotFound, RetryTransient},
	"39 close stdin, dead handle":     {"close stdin", "p", 0x6, "ERROR_INVALID_HANDLE", errdefs.ErrFailedPrecondition, RetryIdempotent},
	"39 close stdin, gone":            {"close stdin", "p", 0x490, "ERROR_NOT_FOUND", errdefs.ErrNotFound, RetryIdempotent},
	"40 broken pipe":                  {"read", "p", 0x6d, "ERROR_BROKEN_PIPE", errdefs.ErrFailedPrecondition, RetryIdempotent},
	"42 terminate, gone":              {"terminate", "", 0xc037010e, "SYSTEM_NOT_FOUND", errdefs.ErrNotFound, RetryIdempotent},
	"42 shutdown, stopped":            {"shutdown", "", 0x80370110, "SYSTEM_ALREADY_STOPPED", errdefs.ErrFailedPrecondition, RetryIdempotent},
	"43 procedure not found":          {"shutdown", "", 0x7f, "ERROR_PROC_NOT_FOUND", errdefs.ErrNotImplemented, RetryNever},
	"45 unknown interface":            {"create", "", 0x6b5, "RPC_S_UNKNOWN_IF", errdefs.ErrUnavailable, RetryCallerDecides},
	"45 server unavailable":           {"create", "", 0x6ba, "RPC_S_SERVER_UNAVAILABLE", errdefs.ErrUnavailable, RetryCallerDecides},
	"45 call failed":                  {"create", "", 0x6be, "RPC_S_CALL_FAILED", errdefs.ErrUnavailable, RetryCallerDecides},
	"45 call not executed":            {"create", "", 0x6bf, "RPC_S_CALL_FAILED_DNE", errdefs.ErrUnavailable, RetryCallerDecides},
	"45 service disconnect":           {"create", "", 0x8037011e, "SERVICE_DISCONNECT", errdefs.ErrUnavailable, RetryCallerDecides},
	"45 connection closed":            {"create", "", 0xc037010a, "CONNECTION_CLOSED", errdefs.ErrUnavailable, RetryCallerDecides},
	"45 list without the service":     {"list", "", 0x6ba, "RPC_S_SERVER_UNAVAILABLE", errdefs.ErrUnavailable, RetryTransient},
	"45 exec may have happened":       {"exec", "p", 0x6be, "RPC_S_CALL_FAILED", errdefs.ErrUnavailable, RetryNever},
	"48 list while a silo dies":       {"list", "", 0x5, "ERROR_ACCESS_DENIED", errdefs.ErrPermissionDenied, RetryTransient},
	"48 volume not ready":             {"create", "", 0x15, "ERROR_NOT_READY", errdefs.ErrUnavailable, RetryTransient},
	"unknown Win32 code":              {"create", "", 0x4242, "", errdefs.ErrUnknown, RetryNever},
	"unknown HCS code":                {"create", "", 0xc03701ff, "", errdefs.ErrUnknown, RetryNever},
}

func TestFailureCatalogue(t *testing.T) {
	for name, test := range failures {
		t.Run(name, func(t *testing.T) {
			err := newError(test.op, "web1", test.process, test.code)
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("no *Error: %v", err)
			}
			if got := e.Code.Name(); got != test.name {
				t.Errorf("name %q, want %q", got, test.name)
			}
			if !errors.Is(err, test.kind) {
				t.Errorf("%v is not of kind %v", err, test.kind)
			}
			if got := e.Retry(); got != test.retry {
				t.Errorf("verdict %q, want %q", got, test.retry)
			}
			if test.name != "" && e.Retry() != RetryIdempotent && e.Hint() == "" {
				t.Errorf("no hint: %v", err)
			}
			if !strings.Contains(err.Error(), test.name) || !strings.Contains(err.Error(), "0x") {
				t.Errorf("code or name %q missing: %v", test.name, err)
			}
		})
	}
}

func TestEveryRowIsComplete(t *testing.T) {
	general := map[Code]bool{}
	for _, row := range codeTable {
		if row.Name == "" || row.Means == "" || len(row.Kinds) == 0 {
			t.Errorf("incomplete: %+v", row)
		}
		if row.Hint == "" && row.Retry != RetryIdempotent {
			t.Errorf("no hint: %+v", row)
		}
		if row.Code.documented() != row.Code {
			t.Errorf("%#x is not how Windows documents %s", uint32(row.Code), row.Name)
		}
		if len(row.When) == 0 {
			if general[row.Code.normal()] {
				t.Errorf("two general rows for %s", row.Name)
			}
			general[row.Code.normal()] = true
		}
		if !general[row.Code.normal()] {
			t.Errorf("special row of %s before its general one", row.Name)
		}
		for _, when := range row.When {
			if info, _ := lookup(row.Code, when); info.Means != row.Means {
				t.Errorf("two rows of %s for %q", row.Name, when)
			}
		}
	}
}

func TestCodesAreEqualInEveryDialect(t *testing.T) {
	for _, dialects := range [][]Code{
		{2, 0x80070002},
		{4312, 0x800710d8},
		{0xc0370101, 0x80370101},
		{0xc0370103, 0x80370117},
		{0xc037011f, 0x8037011f},
		{0xc0020017, 0xd0020017},
		{0x5, 0x80070005},
	} {
		for _, a := range dialects {
			for _, b := range dialects {
				if !errors.Is(newError("create", "c", "", a), b) {
					t.Errorf("%#x is not %#x", uint32(a), uint32(b))
				}
				if !errors.Is(newError("create", "c", "", syscall.Errno(a)), b) {
					t.Errorf("errno %#x is not %#x", uint32(a), uint32(b))
				}
			}
		}
	}
	for _, different := range [][2]Code{{2, 3}, {0x80370103, 0x80370118}, {0xc0370101, 0x101}, {0x801f0002, 2}} {
		if errors.Is(different[0], different[1]) {
			t.Errorf("%#x is %#x", uint32(different[0]), uint32(different[1]))
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"code, host build, hint": {
			&Error{Op: "create", ContainerID: "web1", Code: CodeImageMismatch, HostBuild: 20348},
			`create container "web1": HCS 0xC0370101 IMAGE_MISMATCH: container OS does not match host (host build 20348): hint: use Hyper-V isolation or an image for this build`,
		},
		"dialect as HCS gave it": {
			&Error{Op: "create", ContainerID: "web1", Code: 0x80370101},
			`create container "web1": HCS 0x80370101 IMAGE_MISMATCH: container OS does not match host: hint: use Hyper-V isolation or an image for this build`,
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
		t.Errorf("a document that is no JSON is shown: %s", text)
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
		t.Error("a time-out is no exceeded deadline")
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

func FuzzErrorFormat(f *testing.F) {
	f.Add("create", "web1", "", uint32(0xc0370101), "cause\nof two lines", `{"Credentials":"x"}`)
	f.Add("exec", "", "p\x00", uint32(2), "", `{"CommandLine":"a\nb","Environment":["A=b",1,null]}`)
	f.Add("", "", "", uint32(0), "", `{"MappedDirectories":{},"Environment":"x"}`)
	f.Fuzz(func(t *testing.T, op, id, process string, code uint32, cause, document string) {
		err := newError(oneLine(op), id, process, &Error{Code: Code(code), Err: errors.New(cause), Document: document, Events: []string{cause}})
		for _, text := range []string{err.Error(), Code(code).Error()} {
			if strings.ContainsAny(text, "\n\r") {
				t.Errorf("more than one line: %q", text)
			}
		}
		if !strings.HasPrefix(fmt.Sprintf("%+v", err), err.Error()) {
			t.Errorf("the detailed text does not begin with the short one")
		}
	})
}
