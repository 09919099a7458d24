package libcontainerd

import "strings"

// EscapeArg returns arg as it must stand in a command line so that
// CommandLineToArgvW gives it back: quoted if it is empty or holds a blank, each
// quotation mark inside preceded by a backslash, and the backslashes before any
// quotation mark doubled. Process.Args wants its elements like that.
func EscapeArg(arg string) string {
	if arg == "" {
		return `""`
	}
	quoted := strings.ContainsAny(arg, blanks)
	if !quoted && !strings.Contains(arg, `"`) {
		return arg
	}
	var b strings.Builder
	b.Grow(len(arg) + 2 + strings.Count(arg, `"`))
	if quoted {
		b.WriteByte('"')
	}
	backslashes := 0 // directly before the current character
	for i := range len(arg) {
		switch arg[i] {
		case '\\':
			backslashes++
		case '"':
			writeBackslashes(&b, backslashes+1)
			backslashes = 0
		default:
			backslashes = 0
		}
		b.WriteByte(arg[i])
	}
	if quoted {
		writeBackslashes(&b, backslashes)
		b.WriteByte('"')
	}
	return b.String()
}

func writeBackslashes(b *strings.Builder, n int) {
	for range n {
		b.WriteByte('\\')
	}
}

// blanks separate the arguments of a command line.
const blanks = " \t"

// commandLine joins args, which are escaped already, to the line that HCS runs.
func commandLine(args []string) string { return strings.Join(args, " ") }
