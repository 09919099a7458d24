package libcontainerd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestCodesAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]Code{
		"0xC0370106":              CodeUnexpectedExit,
		"0Xc0370106":              CodeUnexpectedExit,
		"c0370106":                CodeUnexpectedExit,
		"80370106":                0x80370106,
		"3224830214":              CodeUnexpectedExit,
		"-1070137082":             CodeUnexpectedExit,
		" 5 ":                     CodeAccessDenied,
		"0x5":                     CodeAccessDenied,
		"5aa":                     CodeNoSystemResources,
		"00000005":                CodeAccessDenied,
		"0":                       0,
		"10":                      10,
		"3221225786":              0xc000013a,
		"4294967295":              Code(UnknownExitCode),
		"-1":                      Code(UnknownExitCode),
		"IMAGE_MISMATCH":          CodeImageMismatch,
		"image_mismatch":          CodeImageMismatch,
		"HCS_E_IMAGE_MISMATCH":    CodeImageMismatch,
		"ERROR_VMCOMPUTE_TIMEOUT": CodeTimeout,
		"ACCESS_DENIED":           CodeHCSAccessDenied,
		"ERROR_ACCESS_DENIED":     CodeAccessDenied,
		"STATUS_ACCESS_DENIED":    0xc0000022,
		"file_not_found":          CodeFileNotFound,
		"call_failed":             CodeRPCFailed,
		"STATUS_CONTROL_C_EXIT":   0xc000013a,
		"control_c_exit":          0xc000013a,
		"clr exception":           0xe0434352,
	} {
		got, err := ParseCode(text)
		if err != nil || got != want {
			t.Errorf("%q is %#x, %v; want %#x", text, uint32(got), err, uint32(want))
		}
	}
	for _, text := range []string{"", " ", "-", "x", "0x", "0x1_0", "1_0", "+0x5", "0x100000000", "4294967296", "-2147483649", "-0x5", "IMAGE_MISMATCHED", "HCS_E_ERROR_ACCESS_DENIED", "ERROR_", "99999999999999999999", "nil"} {
		if got, err := ParseCode(text); !errdefs.IsInvalidArgument(err) || got != 0 || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%q is read as %#x, %v", text, uint32(got), err)
		}
	}
}

func TestNamesOfCodesAreReadBack(t *testing.T) {
	for _, row := range codeTable {
		if got, err := ParseCode(row.Name); err != nil || got != row.Code {
			t.Errorf("%s is %#x, %v", row.Name, uint32(got), err)
		}
	}
	for code, exit := range exitCodes {
		if got, err := ParseCode(exit.name); err != nil || got != Code(code) {
			t.Errorf("%s is %#x, %v", exit.name, uint32(got), err)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	for _, seed := range []string{"0xC0370106", "c0370106", "-1070137082", "IMAGE_MISMATCH", "5aa", "", "0x", "-0", "１"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, err := ParseCode(text)
		if (err != nil) != errdefs.IsInvalidArgument(err) || err != nil && (code != 0 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %#x, %v", text, uint32(code), err)
		}
		for _, format := range []string{"%#x", "%08X", "%d"} {
			number := uint32(code)
			if format == "%d" && number >= 1e7 && number < 1e8 {
				continue // eight digits are hexadecimal
			}
			if again, err := ParseCode(fmt.Sprintf(format, number)); err != nil || again != code {
				t.Errorf("%s is read as %#x, %v", fmt.Sprintf(format, number), uint32(again), err)
			}
		}
	})
}
