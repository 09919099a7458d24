package hcstest_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// spec is a process isolated container.
func spec() libcontainerd.Spec {
	return libcontainerd.Spec{
		Hostname: "web",
		Root:     libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{
			LayerFolder: `C:\layers\scratch`,
			LayerPaths:  []string{`C:\layers\base`},
		},
	}
}

// hyperV is the same container with Hyper-V isolation.
func hyperV() libcontainerd.Spec {
	s := spec()
	s.Root.Path = ""
	s.Windows.HvRuntime = &libcontainerd.HvRuntime{}
	return s
}

func configuration(t *testing.T, svc libcontainerd.ComputeService, id string, s libcontainerd.Spec) string {
	t.Helper()
	doc, err := libcontainerd.Configuration(id, s, svc)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func create(t *testing.T, svc *hcstest.Service, id string, s libcontainerd.Spec) libcontainerd.ComputeSystem {
	t.Helper()
	system, err := svc.CreateComputeSystem(id, configuration(t, svc, id, s))
	if err != nil {
		t.Fatal(err)
	}
	return system
}

// start creates and starts a container.
func start(t *testing.T, svc *hcstest.Service, id string, s libcontainerd.Spec) libcontainerd.ComputeSystem {
	t.Helper()
	system := create(t, svc, id, s)
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	return system
}

// stop terminates a container and closes it.
func stop(t *testing.T, system libcontainerd.ComputeSystem) {
	t.Helper()
	if err := system.Terminate(); err != nil {
		t.Error(err)
	}
	_ = system.Wait()
	if err := system.Close(); err != nil {
		t.Error(err)
	}
}

// run runs a command line to its end with an input.
func run(t *testing.T, system libcontainerd.ComputeSystem, config libcontainerd.ProcessConfig, input string) (output, errors string, code uint32) {
	t.Helper()
	config.CreateStdInPipe, config.CreateStdOutPipe, config.CreateStdErrPipe = true, true, true
	process, err := system.CreateProcess(&config)
	if err != nil {
		t.Fatal(err)
	}
	stdin, stdout, stderr, err := process.Stdio()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, input); err != nil {
		t.Log("stdin:", err)
	}
	_ = stdin.Close()
	if err := process.CloseStdin(); err != nil {
		t.Log("stdin:", err)
	}
	out, err := io.ReadAll(stdout)
	if err != nil {
		t.Error(err)
	}
	text, err := io.ReadAll(stderr)
	if err != nil {
		t.Error(err)
	}
	_, _ = stdout.Close(), stderr.Close()
	code, err = process.Wait()
	if err != nil {
		t.Error(err)
	}
	if err := process.Close(); err != nil {
		t.Error(err)
	}
	return string(out), string(text), code
}

func TestCmd(t *testing.T) {
	type result struct {
		Output, Errors string
		Code           uint32
	}
	tests := []struct {
		name, command, input string
		want                 result
	}{
		{name: "echo", command: `cmd /c echo hello`, want: result{Output: "hello\r\n"}},
		{name: "variables", command: `cmd /S /C "echo hello from %COMPUTERNAME%, %a%, %unknown%"`, want: result{Output: "hello from WEB, b=c, %unknown%\r\n"}},
		{name: "exit", command: `cmd /c exit 3`, want: result{Code: 3}},
		{name: "negative exit", command: `cmd /c exit -1073741510`, want: result{Code: 0xc000013a}},
		{name: "quotes and a pipe", command: `cmd /S /C "echo "quoted & piped" | findstr quoted"`, want: result{Output: "\"quoted & piped\" \r\n"}},
		{name: "sequence", command: `cmd /c echo a& echo b&&echo c||echo d`, want: result{Output: "a\r\nb\r\nc\r\n"}},
		{name: "failure", command: `cmd /c nosuch && echo no || echo yes`, want: result{Output: "yes\r\n", Errors: "'nosuch' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n", Code: 1}},
		{name: "stderr", command: `cmd /c echo oops 1>&2& exit 4`, want: result{Errors: "oops \r\n", Code: 4}},
		{name: "nul", command: `cmd /c "echo gone>nul"`, want: result{}},
		{name: "escape", command: `cmd /c echo a ^& b`, want: result{Output: "a & b\r\n"}},
		{name: "nested", command: `cmd /c cmd /c echo in`, want: result{Output: "in\r\n"}},
		{name: "input", command: `cmd /c more`, input: "a\r\nb", want: result{Output: "a\r\nb"}},
		{name: "sort", command: `sort`, input: "b\na\n", want: result{Output: "a\r\nb\r\n"}},
		{name: "findstr", command: `cmd /c findstr /i "^B x"`, input: "abc\r\nbcd\r\n", want: result{Output: "bcd\r\n"}},
		{name: "findstr finds nothing", command: `findstr z`, input: "abc\r\n", want: result{Code: 1}},
		{name: "set", command: `cmd /c set a& set B=x& set b`, want: result{Output: "a=b=c\r\nB=x\r\n"}},
		{name: "cd", command: `cmd /c cd sub&cd`, want: result{Output: "C:\\sub\r\n"}},
		{name: "endless call", command: `cmd /c set R=call %R%&call %R%`, want: result{Errors: "hcstest: commands nest too deep\r\n", Code: 1}},
		{name: "endless line", command: `cmd /c set R=call %R%%R%%R%&call %R%`, want: result{Errors: "The input line is too long.\r\n", Code: 1}},
		{name: "find", command: `find /c "b"`, input: "abc\r\nx\r\nbb\r\n", want: result{Output: "2\r\n"}},
		{name: "findstr with blanks", command: `findstr /C:"b c"`, input: "abc\r\nab c\r\n", want: result{Output: "ab c\r\n"}},
		{name: "findstr of text", command: `findstr /L "^b a.c"`, input: "^b\r\nb\r\na.c\r\nabc\r\n", want: result{Output: "^b\r\na.c\r\n"}},
		{name: "findstr of one text", command: `findstr /V /C:"^a.b"`, input: "^a.b c\r\na.b\r\n", want: result{Output: "a.b\r\n"}},
		{name: "names", command: `cmd /c hostname&whoami`, want: result{Output: "web\r\nuser manager\\containeradministrator\r\n"}},
		{name: "timeout", command: `timeout /t 0`, want: result{Output: "\r\nWaiting for 0 seconds, press a key to continue ...\r\n"}},
		{name: "quoted program", command: `cmd /c "C:\my dir\hostname.exe"`, want: result{Output: "web\r\n"}},
		{name: "unknown host", command: `ping nowhere`, want: result{Output: "Ping request could not find host nowhere. Please check the name and try again.\r\n", Code: 1}},
		{name: "ping", command: `ping -n 1 localhost`, want: result{Output: "\r\nPinging localhost [::1] with 32 bytes of data:\r\nReply from ::1: time<1ms\r\n\r\nPing statistics for ::1:\r\n    Packets: Sent = 1, Received = 1, Lost = 0 (0% loss),\r\n"}},
		{name: "powershell", command: `powershell -NoLogo -Command "exit 7"`, want: result{Code: 7}},
		{name: "script", command: `powershell -File C:\init.ps1`, want: result{Output: "hcstest: PowerShell is simulated and would run: C:\\init.ps1\r\n"}},
	}
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got result
			got.Output, got.Errors, got.Code = run(t, system, libcontainerd.ProcessConfig{
				CommandLine: test.command,
				Environment: map[string]string{"a": "b=c"},
			}, test.input)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A command that is not simulated says so, and does nothing.
func TestUnsimulatedCommandsSayIt(t *testing.T) {
	tests := []struct{ command, what string }{
		{command: `cmd /c set /a 1+2`, what: "cmd: set /a"},
		{command: `cmd /c set /A X=1`, what: "cmd: set /a"},
		{command: `cmd /c set /p X=`, what: "cmd: set /p"},
		{command: `cmd /c (echo a & echo b)`, what: "cmd: ("},
		{command: `cmd /c "echo before & (echo a)"`, what: "cmd: ("},
		{command: `cmd /c if exist C:\x echo yes`, what: "cmd: if"},
		{command: `cmd /c "if 1==2 echo a & echo b"`, what: "cmd: if"},
		{command: `cmd /c "echo before && IF(1)==(1) echo a"`, what: "cmd: if"},
		{command: `cmd /c for %i in (1 2) do echo %i`, what: "cmd: for"},
		{command: `cmd /c "echo a | for /f %i in ('more') do echo %i"`, what: "cmd: for"},
		{command: `cmd /c call if 1==1 echo a`, what: "cmd: if"},
		{command: `cmd /c dir C:\`, what: "cmd: dir"},
		{command: `cmd /c type nul`, what: "cmd: type"},
		{command: `cmd /c start ping`, what: "cmd: start"},
		{command: `cmd /c echo a> C:\file`, what: "cmd: redirection to a file"},
		{command: `cmd /c more < C:\file`, what: "cmd: redirection to a file"},
		{command: `cmd /c echo %OS:~0,3%`, what: "cmd: %OS:~0,3%"},
		{command: `cmd /c echo %OS:Windows=Linux%`, what: "cmd: %OS:Windows=Linux%"},
		{command: `cmd /c echo %random%`, what: "cmd: %random%"},
		{command: `findstr a.c`, what: "findstr a.c"},
		{command: `findstr "x [ab]"`, what: "findstr x [ab]"},
		{command: `findstr C:\dir`, what: `findstr C:\dir`},
		{command: `findstr /R /C:"a.c d"`, what: "findstr a.c d"},
		{command: `findstr /n a`, what: "findstr /n"},
		{command: `findstr a file.txt`, what: "findstr in a file"},
		{command: `findstr /C:a file.txt`, what: "findstr in a file"},
		{command: `find /n "a"`, what: "find /n"},
		{command: `find "a" file.txt`, what: "find in a file"},
		{command: `sort /r`, what: "sort /r"},
		{command: `more file.txt`, what: "more file.txt"},
		{command: `whoami /all`, what: "whoami /all"},
	}
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	for _, test := range tests {
		t.Run(test.command, func(t *testing.T) {
			output, errors, code := run(t, system, libcontainerd.ProcessConfig{CommandLine: test.command}, "abc\r\n")
			if want := "hcstest: " + test.what + ": not simulated\r\n"; errors != want || output != "" || code != 2 {
				t.Errorf("output %q, errors %q, code %d", output, errors, code)
			}
		})
	}
}

// Only a word in the place of a command counts. A command that is refused fails
// as any other does.
func TestUnsimulatedCommandsAreNoHindrance(t *testing.T) {
	tests := map[string]string{
		`cmd /c echo (a) if for %b`:              "(a) if for %b\r\n",
		`cmd /c echo "(a)" ^(b`:                  "\"(a)\" (b\r\n",
		`cmd /c set /a 1+1 2>nul || echo failed`: "failed\r\n",
		`cmd /c set /a 1+1 2>nul & echo after`:   "after\r\n",
		`cmd /c set X=(1)&call echo %X%`:         "(1)\r\n",
		`cmd /c echo 10%:x %nosuch:~1%`:          "10%:x %nosuch:~1%\r\n",
	}
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	for command, want := range tests {
		t.Run(command, func(t *testing.T) {
			output, errors, _ := run(t, system, libcontainerd.ProcessConfig{CommandLine: command}, "")
			if output != want || errors != "" {
				t.Errorf("output %q, want %q; errors %q", output, want, errors)
			}
		})
	}
}

func TestInteractiveCmd(t *testing.T) {
	svc := hcstest.New(t)
	system := start(t, svc, "c1", spec())
	defer stop(t, system)
	output, _, code := run(t, system, libcontainerd.ProcessConfig{CommandLine: "cmd"}, "echo one\r\nset X=1\recho %X%\nexit 5\necho never\n")
	if code != 5 {
		t.Error("exit code", code)
	}
	want := strings.ReplaceAll(`Microsoft Windows [Version 10.0.20348]
(c) Microsoft Corporation. All rights reserved.

C:\>echo one
one

C:\>set X=1

C:\>echo %X%
1

C:\>exit 5
`, "\n", "\r\n")
	if diff := cmp.Diff(want, output); diff != "" {
		t.Error(diff)
	}
}

func TestErrorOfALayerDoesNotNameAContainer(t *testing.T) {
	svc := hcstest.New(t)
	svc.Fail(hcstest.OpLayerID, "", libcontainerd.CodeAccessDenied)
	_, err := svc.LayerID("base")
	wantCode(t, "layer id", err, libcontainerd.CodeAccessDenied)
	if e, ok := errors.AsType[*libcontainerd.Error](err); !ok || e.ContainerID != "" || e.Op != "layer id" {
		t.Errorf("got %v", err)
	}
}
