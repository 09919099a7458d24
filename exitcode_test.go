package libcontainerd

import (
	"strings"
	"testing"
)

func TestExitName(t *testing.T) {
	for code, want := range map[uint32]string{
		0:               "",
		3:               "",
		1067:            "ERROR_PROCESS_ABORTED",
		3221225786:      "STATUS_CONTROL_C_EXIT",
		3221226505:      "STATUS_STACK_BUFFER_OVERRUN",
		0xc0000142:      "STATUS_DLL_INIT_FAILED",
		0xc0000135:      "STATUS_DLL_NOT_FOUND",
		0xc0000005:      "STATUS_ACCESS_VIOLATION",
		UnknownExitCode: "unknown",
	} {
		if got := ExitName(code); got != want {
			t.Errorf("%#x: %q, want %q", code, got, want)
		}
	}
}

func TestEveryExitCodeWithANameHasAHint(t *testing.T) {
	for code, exit := range exitCodes {
		if exit.name == "" || ExitHint(code) == "" || strings.ContainsAny(ExitHint(code), "%\n") {
			t.Errorf("%#x: name %q, hint %q", code, ExitName(code), ExitHint(code))
		}
	}
	if hint := ExitHint(3); hint != "" {
		t.Errorf("a hint for a code of the program: %q", hint)
	}
}
