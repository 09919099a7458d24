package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

var update = flag.Bool("update", false, "write the golden files again")

// command is one hcsrun with its input.
type command struct {
	stdin      io.Reader
	interrupts []time.Duration // after the start
	hostHCS    libcontainerd.ComputeService
	driver     layers.Driver
	networks   networks
}

// result is what a user of hcsrun sees.
type result struct {
	code           uint32
	stdout, stderr string
}

// run executes a command line. In a synctest bubble the interrupts follow the time
// of the bubble.
func (c command) run(t *testing.T, args ...string) result {
	t.Helper()
	if c.stdin == nil {
		c.stdin = strings.NewReader("")
	}
	interrupts := make(chan os.Signal, len(c.interrupts))
	for _, after := range c.interrupts {
		time.AfterFunc(after, func() { interrupts <- os.Interrupt })
	}
	var stdout, stderr bytes.Buffer
	a := newApp(c.stdin, &stdout, &stderr, interrupts, func() (libcontainerd.ComputeService, error) {
		if c.hostHCS == nil {
			return nil, errors.New("the test has no HCS")
		}
		return c.hostHCS, nil
	})
	a.driver, a.networks = c.driver, c.networks
	code := a.run(args)
	lock := &a.stdout.screen.mu // a container that was left behind may still write
	lock.Lock()
	defer lock.Unlock()
	return result{code, stdout.String(), stderr.String()}
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s--- stderr\n%s", r.code, strings.ReplaceAll(r.stdout, "\r\n", "\n"), r.stderr)
}

// compareGolden compares got with a file under testdata.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// specFiles are the specs that hcsrun must be able to run.
func specFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/specs/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no specs: %v", err)
	}
	return files
}

func TestRunOfEverySpec(t *testing.T) {
	for _, file := range specFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Services and ping -t run until they are stopped.
				cmd := command{interrupts: []time.Duration{2500 * time.Millisecond}}
				got := cmd.run(t, "run", "--simulate", "--events", file)
				compareGolden(t, "run/"+strings.TrimSuffix(filepath.Base(file), ".json"), got.String())
			})
		})
	}
}

// oci writes a small OCI config.json that runs a command line.
func oci(t *testing.T, commandLine string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "small.json")
	text := fmt.Sprintf(`{"ociVersion":"1.3.0","process":{"commandLine":%q,"cwd":"C:\\"},"root":{"path":"\\\\?\\Volume{11111111-2222-3333-4444-555555555555}"},"windows":{"layerFolders":["C:\\base","C:\\scratch"]}}`, commandLine)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRunConnectsStreamsAndExitCode(t *testing.T) {
	tests := map[string]struct {
		commandLine, stdin     string
		code                   uint32
		stdout, stderr, notice string
	}{
		"success":              {commandLine: "cmd /c exit 0"},
		"exit code":            {commandLine: "cmd /c exit 3", code: 3},
		"exit code of 32 bits": {commandLine: "cmd /c exit 3221225786", code: 0xc000013a, notice: "exit code 0xC000013A STATUS_CONTROL_C_EXIT"},
		"output":               {commandLine: "cmd /c echo out", stdout: "out\r\n"},
		"errors":               {commandLine: "cmd /c echo err 1>&2", stderr: "err \r\n"},
		"input to its end":     {commandLine: "more", stdin: strings.Repeat("line\n", 100_000), stdout: strings.Repeat("line\n", 100_000)},
		"no such program":      {commandLine: `C:\none.exe`, code: exitNoSuchFile, notice: "the simulated HCS knows only"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := command{stdin: strings.NewReader(test.stdin)}.run(t, "run", "--simulate", oci(t, test.commandLine))
				if got.code != test.code {
					t.Errorf("exit code %#x, want %#x", got.code, test.code)
				}
				if got.stdout != test.stdout {
					t.Errorf("stdout %.100q, want %.100q", got.stdout, test.stdout)
				}
				if !strings.Contains(got.stderr, test.stderr) || !strings.Contains(got.stderr, test.notice) {
					t.Errorf("stderr %q", got.stderr)
				}
			})
		})
	}
}

// A read from a terminal cannot be ended; it must not keep hcsrun alive.
func TestRunDoesNotWaitForInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stdin, typed := io.Pipe()
		defer typed.Close()
		got := command{stdin: stdin}.run(t, "run", "--simulate", oci(t, "cmd /c exit 4"))
		if got.code != 4 {
			t.Errorf("%v", got)
		}
	})
}

func TestInterruptsStopThenKillThenLeave(t *testing.T) {
	const stop = time.Second
	tests := map[string]struct {
		interrupts []time.Duration
		fault      func(*hcstest.Service)
		code       uint32
		notice     string
	}{
		"one stops": {
			interrupts: []time.Duration{stop},
			fault:      func(*hcstest.Service) {},
			code:       0xc000013a,
		},
		"two kill what does not stop": {
			interrupts: []time.Duration{stop, 2 * stop},
			fault:      func(s *hcstest.Service) { s.Hang(hcstest.OpShutdown, "") },
			code:       1067,
		},
		"three leave what does not die": {
			interrupts: []time.Duration{stop, 2 * stop, 3 * stop},
			fault: func(s *hcstest.Service) {
				s.Hang(hcstest.OpShutdown, "")
				s.Hang(hcstest.OpTerminate, "")
			},
			code:   exitFailure,
			notice: `container "small" may be left behind`,
		},
		"three leave a create that hangs": {
			interrupts: []time.Duration{stop, 2 * stop, 3 * stop},
			fault:      func(s *hcstest.Service) { s.Hang(hcstest.OpCreate, "") },
			code:       exitFailure,
			notice:     `container "small" may be left behind`,
		},
		"one during a slow create stops too": {
			interrupts: []time.Duration{stop},
			fault: func(s *hcstest.Service) {
				hang := s.Hang(hcstest.OpCreate, "")
				time.AfterFunc(2*stop, hang.Release)
			},
			code: 0xc000013a,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := hcstest.NewService()
				test.fault(service)
				got := command{interrupts: test.interrupts, hostHCS: service}.run(t, "run", oci(t, "ping -t localhost"))
				if got.code != test.code || !strings.Contains(got.stderr, test.notice) {
					t.Errorf("%v", got)
				}
				service.Heal()
				if err := service.Settle(time.Hour); err != nil && test.code != exitFailure {
					t.Errorf("left behind: %v", err)
				}
				service.LoseService(nil)
				time.Sleep(time.Hour) // let what is left of the client notice it
			})
		})
	}
}

func TestBadInputIsToldWithALineForEachProblem(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	none := filepath.Join(dir, "none.json")
	for name, test := range map[string]struct {
		args []string
		want []string // one for each line
	}{
		"no such file":      {[]string{"run", "--simulate", none}, []string{"none.json"}},
		"no JSON":           {[]string{"config", "--simulate", write("bad.json", "{\n\n]")}, []string{"line 3"}},
		"nothing":           {[]string{"config", "--simulate", write("empty.json", "")}, []string{"line 1"}},
		"no object":         {[]string{"config", "--simulate", write("list.json", "[]")}, []string{"want an object, not a list"}},
		"two problems":      {[]string{"run", "--simulate", write("two.json", `{"process":{"args":["cmd"],"cwd":"x"},"mounts":[{"destination":"C:\\a"}],"root":{"path":"\\\\?\\Volume{11111111-2222-3333-4444-555555555555}"},"windows":{"layerFolders":[]}}`)}, []string{"windows.layerFolders", "mounts[0].source"}},
		"of 2016":           {[]string{"run", "--simulate", write("2016.json", `{"ociVersion":"0.3.0 (Windows)","process":{"args":["cmd"]}}`)}, []string{`create container "2016": windows.layer_paths`, `create container "2016": windows.layer_folder`, `create container "2016": root.path`}},
		"no list":           {[]string{"run", "--simulate", write("args.json", `{"process":{"args":"cmd"}}`)}, []string{"process.args: want a list of strings, not a string"}},
		"no number":         {[]string{"run", "--simulate", write("cpu.json", `{"windows":{"resources":{"cpu":{"count":-1.5}}}}`)}, []string{"windows.resources.cpu.count: want a whole number from 0 to 18446744073709551615, not the number -1.5"}},
		"unknown members":   {[]string{"config", "--simulate", write("foo.json", `{"foo":1,"process":{"bar":2},"mounts":[{"baz":3}],"windows":{"layer_paths":7}}`)}, []string{"windows.layer_paths: want a list of strings, not a number"}},
		"unknown command":   {[]string{"runn"}, []string{"unknown command"}},
		"unknown flag":      {[]string{"run", "--nonsense", "x"}, []string{"--nonsense"}},
		"no file":           {[]string{"run"}, []string{"FILE"}},
		"flag after file":   {[]string{"run", "x.json", "--simulate"}, []string{"--simulate: flags go before FILE"}},
		"no code":           {[]string{"explain", "0xZZ"}, []string{"0xZZ"}},
		"code out of range": {[]string{"explain", "0x1ffffffff"}, []string{"0x1ffffffff"}},
		"build":             {[]string{"run", "--build", "99999", "x"}, []string{`--build "99999": want a whole number, 0 to 65535`}},
		"negative duration": {[]string{"kill", "--timeout", "-5s", "x"}, []string{"--timeout -5s: want a duration above 0"}},
		"no duration":       {[]string{"kill", "--timeout", "soon", "x"}, []string{`--timeout "soon": want a duration such as`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := command{}.run(t, test.args...)
			if got.code != exitFailure {
				t.Errorf("exit code %d", got.code)
			}
			lines := slices.DeleteFunc(strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n"), func(line string) bool {
				return strings.HasPrefix(line, "hcsrun: simulating")
			})
			if len(lines) != len(test.want) {
				t.Fatalf("%d lines, want %d: %q", len(lines), len(test.want), got.stderr)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, "hcsrun: ") || !strings.Contains(line, test.want[i]) {
					t.Errorf("%q\nwant %q", line, test.want[i])
				}
			}
			if got.stdout != "" {
				t.Errorf("stdout %q", got.stdout)
			}
		})
	}
}

func TestUnknownMembersOfASpecAreWarnedOf(t *testing.T) {
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"OCI": {
			`{"process":{"args":["cmd"],"cwd":"C:\\","foo":{"bar":1}},"annotations":{"any":"thing"},"ROOT":{"path":"\\\\?\\Volume{11111111-2222-3333-4444-555555555555}"},"windows":{"layerFolders":["C:\\base","C:\\scratch"]},"Baz":[]}`,
			[]string{"Baz", "process.foo"},
		},
		"2016": {
			`{"process":{"args":["cmd"]},"root":{"path":"\\\\?\\Volume{11111111-2222-3333-4444-555555555555}"},"mounts":[{"source":"C:\\a","destination":"C:\\b","what":true}],"windows":{"layer_folder":"C:\\scratch","layer_paths":["C:\\base"],"networking":{"port_bindings":{"80/tcp":[{"HostPort":"80","Port":1}]}}}}`,
			[]string{"mounts[0].what", "windows.networking.port_bindings.80/tcp[0].Port"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, unknown, err := parseSpec([]byte(test.spec))
			if diff := cmp.Diff(test.want, unknown); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			got := command{stdin: strings.NewReader(test.spec)}.run(t, "config", "--simulate", "-")
			for _, member := range test.want {
				if !strings.Contains(got.stderr, "warning: standard input: "+member+" is unknown") {
					t.Errorf("%v\nwant a warning of %s", got, member)
				}
			}
		})
	}
}

// full is a writer that fails, as a full disk or a closed pipe does.
type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

func TestLostOutputFailsEveryCommand(t *testing.T) {
	lines := []string{
		"run --simulate FILE", "config --simulate FILE", "explain 2", "explain --json 2", "doctor --simulate", "--version", "--help", "kill --help",
		"completion bash", "ps", "ps web1", "ps --json", "list", "inspect web1", "stats web1", "stats --json web1", "exec web1 cmd /c echo hello", "reconcile somebody",
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			onHost(t, func(t *testing.T, _ *somebody, host command) {
				args := strings.Fields(strings.ReplaceAll(line, "FILE", oci(t, "cmd /c echo hello")))
				var stderr bytes.Buffer
				a := newApp(strings.NewReader(""), full{syscall.EPIPE}, &stderr, nil, func() (libcontainerd.ComputeService, error) { return host.hostHCS, nil })
				if code := a.run(args); code != exitFailure || !strings.Contains(stderr.String(), "output is lost") {
					t.Errorf("exit code %d, stderr %q", code, stderr.String())
				}
			})
		})
	}
}

// When the output can no longer be written, the container is ended.
func TestLostOutputStopsTheContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := hcstest.NewService()
		a := newApp(strings.NewReader(""), full{syscall.EPIPE}, io.Discard, nil, func() (libcontainerd.ComputeService, error) { return service, nil })
		if code := a.run([]string{"run", oci(t, "ping -t localhost")}); code != exitFailure {
			t.Errorf("exit code %d", code)
		}
		if err := service.Settle(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

func TestConfigPrintsTheDocumentOfEitherForm(t *testing.T) {
	for _, name := range []string{"oci-servercore-hyperv", "2016-tp4-nat"} {
		args := []string{"config", "--simulate", "--id", "web", "--indent", "../../testdata/specs/" + name + ".json"}
		if strings.Contains(name, "tp4") {
			args = append(args, "--tp4")
		}
		compareGolden(t, "config/"+name, command{}.run(t, args...).String())
	}
}

// config prints exactly what HCS gets.
func TestConfigPrintsTheBytesThatHCSGets(t *testing.T) {
	file := "../../testdata/specs/oci-nanoserver-process.json"
	spec, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fromFile := command{}.run(t, "config", "--simulate", "--id", "web", file)
	fromStdin := command{stdin: bytes.NewReader(spec)}.run(t, "config", "--simulate", "--id", "web", "-")
	if fromFile.code != 0 || fromFile != fromStdin {
		t.Errorf("from the file %v\nfrom standard input %v", fromFile, fromStdin)
	}
	if strings.Count(fromFile.stdout, "\n") != 1 {
		t.Errorf("not one line: %s", fromFile.stdout)
	}
}

func TestExplain(t *testing.T) {
	var b strings.Builder
	for _, args := range [][]string{
		{"0xC0370106"},
		{"2", "0xC000013A"},
		{"--", "-1070137073"},
		{"0x80371234"},
		{"0x803B0014"},
	} {
		fmt.Fprintf(&b, "$ hcsrun explain %s\n%v\n", strings.Join(args, " "), command{}.run(t, append([]string{"explain"}, args...)...))
	}
	compareGolden(t, "explain", b.String())
}

func FuzzParseSpec(f *testing.F) {
	files, err := filepath.Glob("../../testdata/specs/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\ufeff{\"ociVersion\":\"0.3.0 (Windows)\"}"))
	f.Add([]byte(`null`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _, _ = parseSpec(data)
	})
}
