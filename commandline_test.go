package libcontainerd

import (
	"slices"
	"strings"
	"testing"
)

// An argument reaches the program as it was given. See lessons_test.go: 17.
func TestEscapeArg(t *testing.T) {
	tests := []struct{ arg, want string }{
		{``, `""`},
		{`a`, `a`},
		{`a b`, `"a b"`},
		{"a\tb", "\"a\tb\""},
		{"a\nb", "a\nb"}, // no blank to Windows
		{`C:\a\b`, `C:\a\b`},
		{`C:\a b\`, `"C:\a b\\"`},
		{`C:\a\`, `C:\a\`},
		{`a"b`, `a\"b`},
		{`a\"b`, `a\\\"b`},
		{`a\\"b c`, `"a\\\\\"b c"`},
		{`"`, `\"`},
		{`" "`, `"\" \""`},
		{`\`, `\`},
		{` \\`, `" \\\\"`},
		{`é ü`, `"é ü"`},
	}
	for _, tt := range tests {
		if got := EscapeArg(tt.arg); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.arg, got, tt.want)
		}
	}
}

// splitCommandLine splits a command line by the rules that Microsoft documents
// for CommandLineToArgvW, those for the arguments after the program's name:
// blanks separate, quotation marks group, 2n backslashes before a quotation mark
// stand for n and the mark groups, 2n+1 stand for n and the mark is meant, and
// two marks in a group stand for one.
func splitCommandLine(line string) []string {
	var args []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return args
		}
		var arg strings.Builder
		grouped := false
		for line != "" && (grouped || line[0] != ' ' && line[0] != '\t') {
			rest := strings.TrimLeft(line, `\`)
			backslashes := len(line) - len(rest)
			switch {
			case !strings.HasPrefix(rest, `"`):
				if backslashes == 0 {
					backslashes, rest = 1, line[1:]
				}
				arg.WriteString(line[:backslashes])
				line = rest
			case backslashes%2 == 1:
				arg.WriteString(line[:backslashes/2] + `"`)
				line = rest[1:]
			default:
				arg.WriteString(line[:backslashes/2])
				line = rest[1:]
				if grouped && strings.HasPrefix(line, `"`) {
					arg.WriteByte('"')
					line = line[1:]
				}
				grouped = !grouped
			}
		}
		args = append(args, arg.String())
	}
}

func TestSplitCommandLineFollowsTheDocumentedRules(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{`"a b c" d e`, []string{`a b c`, `d`, `e`}},
		{`"ab\"c" "\\" d`, []string{`ab"c`, `\`, `d`}},
		{`a\\\b d"e f"g h`, []string{`a\\\b`, `de fg`, `h`}},
		{`a\\\"b c d`, []string{`a\"b`, `c`, `d`}},
		{`a\\\\"b c" d e`, []string{`a\\b c`, `d`, `e`}},
		{`a ""  b`, []string{`a`, ``, `b`}},
	}
	for _, tt := range tests {
		if got := splitCommandLine(tt.line); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.line, got, tt.want)
		}
	}
}

func FuzzCommandLine(f *testing.F) {
	f.Add("a", "b c", `d\"e`)
	f.Add("", `\`, `"`)
	f.Add(`C:\Program Files\x\`, `\\"\\`, "\t")
	f.Add("a\nb", "\xff ", `""`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		args := []string{a, b, c}
		escaped := []string{EscapeArg(a), EscapeArg(b), EscapeArg(c)}
		line := commandLine(escaped)
		if got := splitCommandLine(line); !slices.Equal(got, args) {
			t.Errorf("%q became %s, which is %q", args, line, got)
		}
	})
}
