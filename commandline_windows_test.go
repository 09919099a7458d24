package libcontainerd

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// FuzzCommandLineLikeWindows compares EscapeArg with that of x/sys, and the line
// with what Windows itself makes of it. Its seeds run with every test.
func FuzzCommandLineLikeWindows(f *testing.F) {
	for _, arg := range []string{
		"", "plain", "two words", "a\tb", `back\slash`, `ends\`, `ends with two\\`, `blank ends\ `,
		`"`, `""`, `\"`, `\\"`, `say "hi"`, `a\\b c`, `C:\Program Files\`, `%PATH%`, `^&|<>`, "ünïcödé 日本", "new\nline",
	} {
		f.Add(arg)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		if strings.ContainsRune(arg, 0) || strings.ToValidUTF8(arg, "") != arg {
			t.Skip("not for a command line of Windows")
		}
		escaped := EscapeArg(arg)
		if want := windows.EscapeArg(arg); escaped != want {
			t.Errorf("EscapeArg(%q) = %q, x/sys has %q", arg, escaped, want)
		}
		line := commandLine([]string{"program", escaped, "last"})
		args, err := windows.DecomposeCommandLine(line)
		if err != nil || !slices.Equal(args, []string{"program", arg, "last"}) {
			t.Errorf("Windows reads %s as %q, %v", line, args, err)
		}
	})
}
