package libcontainerd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// ParseCode reads an error code or an exit code as people and the tools of
// Windows write it:
//
//   - a number, hexadecimal with 0x or if it has eight digits ("0x5",
//     "c0370106"), otherwise decimal, also negative ("3221225786",
//     "-1070137073"); digits with letters among them are hexadecimal ("5aa");
//   - a name, with or without its prefix, in upper or lower case
//     ("IMAGE_MISMATCH", "HCS_E_IMAGE_MISMATCH", "file_not_found"), also the name
//     of an exit code ("STATUS_CONTROL_C_EXIT").
//
// The number need not be one that this package knows. An error is of kind
// errdefs.ErrInvalidArgument.
func ParseCode(s string) (Code, error) {
	text := strings.ToUpper(strings.TrimSpace(s))
	if code, ok := codeByName(text); ok {
		return code, nil
	}
	if code, ok := codeByNumber(text); ok {
		return code, nil
	}
	return 0, fmt.Errorf("%q is not a code: want a number of 32 bits such as 0xC0370106 or -1070137073, or a name such as IMAGE_MISMATCH: %w", s, errdefs.ErrInvalidArgument)
}

func codeByNumber(text string) (Code, bool) {
	if digits, ok := strings.CutPrefix(text, "0X"); ok {
		return hexadecimal(digits)
	}
	if len(text) == 8 {
		if code, ok := hexadecimal(text); ok {
			return code, true
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return Code(uint32(n)), n >= -1<<31 && n < 1<<32
	}
	return hexadecimal(text)
}

func hexadecimal(digits string) (Code, bool) {
	n, err := strconv.ParseUint(digits, 16, 32)
	return Code(n), err == nil
}

// codeByName finds a code by its name in capitals: first the names as they are,
// then the two prefixes that Windows has for HCS codes, then names without prefix.
func codeByName(text string) (Code, bool) {
	for _, matches := range []func(c Code, name string) bool{
		func(_ Code, name string) bool { return name == text },
		func(c Code, name string) bool {
			return c.dialect() == "HCS" && ("HCS_E_"+name == text || "ERROR_VMCOMPUTE_"+name == text)
		},
		func(_ Code, name string) bool { return withoutPrefix(name) == text },
	} {
		for _, row := range codeTable {
			if matches(row.Code, strings.ToUpper(row.Name)) {
				return row.Code, true
			}
		}
		for number, exit := range exitCodes {
			if matches(Code(number), strings.ToUpper(exit.name)) {
				return Code(number), true
			}
		}
	}
	return 0, false
}

// withoutPrefix returns "ACCESS_DENIED" for "ERROR_ACCESS_DENIED".
func withoutPrefix(name string) string {
	for _, prefix := range []string{"ERROR_", "STATUS_", "RPC_S_"} {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			return short
		}
	}
	return name
}
