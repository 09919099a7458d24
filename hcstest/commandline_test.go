package hcstest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
)

func TestSplitCommandLine(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"", nil},
		{"  a  b\tc ", []string{"a", "b", "c"}},
		{`"C:\Program Files\x.exe" y`, []string{`C:\Program Files\x.exe`, "y"}},
		{`C:\dir\ "a b"`, []string{`C:\dir\`, "a b"}},
		{`x "" y`, []string{"x", "", "y"}},
		{`x "a\\" b`, []string{"x", `a\`, "b"}},
		{`x a\"b "c\\\"d"`, []string{"x", `a"b`, `c\"d`}},
		{`x "a""b" c`, []string{"x", `a"b`, "c"}},
		{`x a\\b "open`, []string{"x", `a\\b`, "open"}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, splitCommandLine(test.line)); diff != "" {
			t.Errorf("%s: %s", test.line, diff)
		}
	}
}

// FuzzCommandLineRoundTrip splits a command line that SpecFromOCI has escaped.
func FuzzCommandLineRoundTrip(f *testing.F) {
	for _, seed := range []string{"", "a b", `a"b`, `a\`, `a\\"`, `\\?\x y\`, "a\tb", `""`} {
		f.Add(seed, "z")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if strings.ContainsRune(one+two, 0) {
			t.Skip("no argument of Windows holds a NUL")
		}
		args := []string{"cmd", one, two}
		spec, err := libcontainerd.SpecFromOCI(&specs.Spec{
			Version: specs.Version,
			Process: &specs.Process{Args: args, Cwd: `C:\`},
			Root:    &specs.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
			Windows: &specs.Windows{LayerFolders: []string{`C:\base`, `C:\scratch`}},
		})
		if err != nil {
			t.Skip(err)
		}
		if got := splitCommandLine(strings.Join(spec.Process.Args, " ")); !slices.Equal(got, args) {
			t.Errorf("%q became %q", args, got)
		}
	})
}

// FuzzCmd runs lines that nobody would write.
func FuzzCmd(f *testing.F) {
	for _, seed := range []string{"echo a & echo b", `"a" | "`, "%a%%", "> & <", "^", "set =", "cd /d", "exit -", "a>&", "@@echo", "call call", "cmd /c cmd", "cmd /s",
		"(", "if", "for %", "set /a", "%OS:~0%", "dir<", "findstr ^$", "findstr /c:", "find /"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		lower := strings.ToLower(line)
		if strings.Contains(lower, "ping") || strings.Contains(lower, "timeout") || strings.Contains(lower, "servicemonitor") {
			t.Skip("takes its time")
		}
		if strings.Count(lower, "c") > 20 {
			t.Skip("cmd calls cmd calls cmd")
		}
		svc := New(t)
		system := newSystem(svc, "c1", &document{})
		p := &process{
			sys:    system,
			config: &libcontainerd.ProcessConfig{CommandLine: "cmd /c " + line},
			done:   make(chan struct{}),
		}
		view := p.view(splitCommandLine(p.config.CommandLine))
		view.Stdin = strings.NewReader("input\r\n")
		runCmd(view)
	})
}
