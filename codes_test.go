package libcontainerd

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

// failures are those seen in the field, by their number in the catalogue, and
// what the code means for that operation. The failures without a code are tested
// as lessons.
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

// exportedCodes returns the constants of type Code in the sources of this package,
// by name.
func exportedCodes(t *testing.T) map[string]Code {
	t.Helper()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	codes := map[string]Code{}
	for _, source := range sources {
		file, err := parser.ParseFile(files, source, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" || !spec.Names[0].IsExported() {
				return false
			}
			for i, name := range spec.Names {
				codes[name.Name] = codeLiteral(t, spec.Values[i])
			}
			return false
		})
	}
	return codes
}

func codeLiteral(t *testing.T, value ast.Expr) Code {
	t.Helper()
	literal, ok := value.(*ast.BasicLit)
	if !ok {
		t.Fatalf("a code is not a number: %v", value)
	}
	number, err := strconv.ParseUint(literal.Value, 0, 32)
	if err != nil {
		t.Fatal(err)
	}
	return Code(number)
}

func TestEveryExportedCodeHasARow(t *testing.T) {
	codes := exportedCodes(t)
	if codes["CodeAccessDenied"] != 5 || codes["CodeServiceNotAvailable"] != 0x80370114 {
		t.Fatalf("the constants were not found: %v", codes)
	}
	constants := map[Code]string{}
	for name, code := range codes {
		if other, twice := constants[code.normal()]; twice {
			t.Errorf("%s and %s are the same code", name, other)
		}
		constants[code.normal()] = name
		if len(code.rows()) == 0 {
			t.Errorf("%s has no row: add one to codeTable in codes.go, then run go test -run Documented -update", name)
		}
	}
	for _, row := range codeTable {
		if constants[row.Code.normal()] == "" && row.Code != codeHCN {
			t.Errorf("the row of %s has no constant", row.Name)
		}
	}
}

// The operations of the client, of a service and of package layers, and what a
// code means for them.
func TestEverySituationIsReachable(t *testing.T) {
	reached := map[string]bool{}
	for op, when := range whenOf {
		if op != strings.ToLower(strings.ReplaceAll(op, " ", "")) {
			t.Errorf("operation %q can never match", op)
		}
		reached[when] = true
	}
	for _, row := range codeTable {
		for _, when := range row.When {
			if !reached[when] {
				t.Errorf("no operation leads to the row of %s for %q", row.Name, when)
			}
		}
	}
}

// Hints are read by users of an engine, who have no Go at hand.
func TestHintsDoNotSpeakOfGo(t *testing.T) {
	for _, row := range codeTable {
		if strings.Contains(row.Hint+row.Means, "%") {
			t.Errorf("%s: %s", row.Name, row.Hint)
		}
	}
}

func TestHintsForWhatUsersMeetMost(t *testing.T) {
	for name, test := range map[string]struct {
		hint string
		want []string
	}{
		"image of a newer revision":          {hintOf(OpStart, CodeUnexpectedExit), []string{"revision", "hcsrun doctor"}},
		"image of a newer revision, refused": {hintOf(OpCreate, CodeImageMismatch), []string{"revision", "Hyper-V"}},
		"layer that cannot be mounted":       {hintOf("prepare layer", CodeSharingViolation), []string{"revision", "antivirus", "backup", "GPU"}},
		"terminal whose input closes":        {ExitHint(3221225786), []string{"-t", "-i"}},
		"services get five seconds":          {ExitHint(0xc000013a), []string{"five seconds", "WaitToKillServiceTimeout"}},
		"memory limit":                       {ExitHint(0xc000012d), []string{"commit"}},
	} {
		for _, want := range test.want {
			if !strings.Contains(test.hint, want) {
				t.Errorf("%s: hint %q lacks %q", name, test.hint, want)
			}
		}
	}
}

func hintOf(op string, code Code) string { return (&Error{Op: op, Code: code}).Hint() }
