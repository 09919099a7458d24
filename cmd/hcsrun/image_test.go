package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
)

func TestRunOfAnImageOnASimulatedHost(t *testing.T) {
	tests := map[string]struct {
		args  string
		stdin string
		want  result // of stderr a part
	}{
		"output":                 {args: "nanoserver cmd /c echo hello", want: result{stdout: "hello\r\n"}},
		"dashes":                 {args: "nanoserver -- cmd /c echo -t --name", want: result{stdout: "-t --name\r\n"}},
		"any name":               {args: "mcr.microsoft.com/windows/servercore:ltsc2022 cmd /c exit 5", want: result{code: 5}},
		"environment":            {args: "n -e A=b=c -e B= cmd /c echo %A%%B%.", want: result{stdout: "b=c.\r\n"}},
		"hostname":               {args: "n --hostname web hostname", want: result{stdout: "web\r\n"}},
		"folder":                 {args: `n -w C:\data cmd /c echo %CD%`, want: result{stdout: "C:\\data\r\n"}},
		"no input":               {args: "n more", stdin: "line\n", want: result{}},
		"input":                  {args: "n -i more", stdin: "line\n", want: result{stdout: "line\n"}},
		"everything":             {args: `n --name x --rm -v C:\a:C:\b:ro -v \\.\pipe\a:\\.\pipe\b -m 512m --cpus 1.5 --user ContainerUser --network nat cmd /c exit 1`, want: result{code: 1}},
		"Hyper-V":                {args: "n --isolation hyperv --cpus 2.5 --network nat cmd /c exit 2", want: result{code: 2}},
		"no such program":        {args: "n notepad", want: result{code: exitNoSuchFile, stderr: "knows only"}},
		"no command":             {args: "n", want: result{code: exitFailure, stderr: "COMMAND"}},
		"no image":               {args: "", want: result{code: exitFailure, stderr: "--image is empty"}},
		"every flag wrong":       {args: "n -v foo -m lots --cpus -1 --isolation vm -e =x cmd", want: result{code: exitFailure, stderr: "--env"}},
		"bytes":                  {args: "n -m 512 cmd", want: result{code: exitFailure, stderr: "--memory \"512\": want a size from 1m up"}},
		"no such network":        {args: "n --network lan cmd", want: result{code: exitFailure, stderr: `network "lan"`}},
		"kept":                   {args: "n --rm=false cmd", want: result{code: exitFailure, stderr: "keeps no containers"}},
		"detached":               {args: "n -d cmd", want: result{code: exitFailure, stderr: "simulated HCS ends"}},
		"detached at a terminal": {args: "n -d -t cmd", want: result{code: exitFailure, stderr: "--detach goes without"}},
		"two names":              {args: "n --name a --id b cmd", want: result{code: exitFailure, stderr: "name"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ref, rest, _ := strings.Cut(test.args, " ")
			args := append([]string{"run", "--simulate", "--image", ref}, strings.Fields(rest)...)
			if ref == "" {
				args = []string{"run", "--simulate", "--image", ""}
			}
			got := command{stdin: strings.NewReader(test.stdin)}.run(t, args...)
			if got.code != test.want.code || got.stdout != test.want.stdout || !strings.Contains(got.stderr, test.want.stderr) {
				t.Errorf("%v", got)
			}
			if name == "every flag wrong" && strings.Count(got.stderr, "\n") != 6 {
				t.Errorf("not a line a problem: %v", got)
			}
		})
	}
	if got := (command{}).run(t, "run", "-m", "1g", "x.json"); got.code != exitFailure || !strings.Contains(got.stderr, "--memory goes with --image") {
		t.Errorf("%v", got)
	}
}

func TestImageSaysWhatTheUserDoesNot(t *testing.T) {
	config := layers.Config{Entrypoint: []string{"srv.exe"}, Cmd: []string{"-p", "a b"}, Env: []string{"A=1"}, WorkingDir: `C:\srv`, User: "ContainerUser"}
	for name, test := range map[string]struct {
		options imageOptions
		config  layers.Config
		command []string
		want    specs.Process
	}{
		"all": {
			config: config,
			want:   specs.Process{Args: []string{"srv.exe", "-p", "a b"}, Env: []string{"A=1"}, Cwd: `C:\srv`, User: specs.User{Username: "ContainerUser"}},
		},
		"all but what is said": {
			config: config, command: []string{"-q"},
			options: imageOptions{env: []string{"A=2"}, cwd: `C:\`, user: "me", tty: true},
			want:    specs.Process{Terminal: true, Args: []string{"srv.exe", "-q"}, Env: []string{"A=1", "A=2"}, Cwd: `C:\`, User: specs.User{Username: "me"}},
		},
		"a command line": {
			config: layers.Config{Cmd: []string{`cmd /s /c "a b"`}, ArgsEscaped: true},
			want:   specs.Process{CommandLine: `cmd /s /c "a b"`, Cwd: `C:\`},
		},
		"nothing": {
			command: []string{"cmd"},
			want:    specs.Process{Args: []string{"cmd"}, Cwd: `C:\`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.options.process(test.config, test.command)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestProcessorsAreAShareOfTheHostOrOfTheVM(t *testing.T) {
	host := libcontainerd.Host{Processors: 4}
	for name, test := range map[string]struct {
		options imageOptions
		want    specs.WindowsCPUResources
	}{
		"process":            {imageOptions{cpus: 1}, specs.WindowsCPUResources{Maximum: new(uint16(2500))}},
		"process, too many":  {imageOptions{cpus: 9}, specs.WindowsCPUResources{Maximum: new(uint16(10000))}},
		"process, too few":   {imageOptions{cpus: 1e-9}, specs.WindowsCPUResources{Maximum: new(uint16(1))}},
		"Hyper-V":            {imageOptions{cpus: 1.5, isolation: "hyperv"}, specs.WindowsCPUResources{Count: new(uint64(2)), Maximum: new(uint16(7500))}},
		"Hyper-V, all of it": {imageOptions{cpus: 9, isolation: "hyperv"}, specs.WindowsCPUResources{Count: new(uint64(4)), Maximum: new(uint16(10000))}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, *test.options.cpu(host)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestVolumes(t *testing.T) {
	for text, want := range map[string]*specs.Mount{
		`C:\a:D:\b`:              {Source: `C:\a`, Destination: `D:\b`},
		`c:\a b:d:\b:ro`:         {Source: `c:\a b`, Destination: `d:\b`, Options: []string{"ro"}},
		`C:\a:D:\b:rw`:           {Source: `C:\a`, Destination: `D:\b`, Options: []string{"rw"}},
		`\\.\pipe\a:\\.\pipe\b`:  {Source: `\\.\pipe\a`, Destination: `\\.\pipe\b`},
		`\\server\share:C:\data`: {Source: `\\server\share`, Destination: `C:\data`},
		``:                       nil,
		`C:\a`:                   nil,
		`C:\a:`:                  nil,
		`:C:\a`:                  nil,
		`C:\a:D:\b:wr`:           nil,
		`C:\a:D:\b:ro:rw`:        nil,
	} {
		o := imageOptions{volumes: []string{text}}
		got, err := o.mounts()
		if want == nil {
			if err == nil {
				t.Errorf("%q: %v", text, got)
			}
			continue
		}
		if diff := cmp.Diff([]specs.Mount{*want}, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestDemo(t *testing.T) {
	got := (command{}).run(t, "demo")
	if got.code != 0 || !strings.Contains(got.stdout, "I am on WEB1") || !strings.HasSuffix(got.stdout, "$ hcsrun ps\nID  OWNER  STATE\n\n") {
		t.Errorf("%v", got)
	}
	if got := (command{}).run(t, "demo", "exec", "web1", "cmd", "/c", "exit 4"); got.code != 4 {
		t.Errorf("%v", got)
	}
	if got := (command{}).run(t, "demo", "nonsense"); got.code != exitFailure {
		t.Errorf("%v", got)
	}
}

func FuzzVolume(f *testing.F) {
	for _, text := range []string{`C:\a:D:\b:ro`, `\\.\pipe\a:\\.\pipe\b`, `a:b`, `::`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := imageOptions{volumes: []string{text}}
		mounts, err := o.mounts()
		if err != nil {
			return
		}
		again := mounts[0].Source + ":" + mounts[0].Destination
		if len(mounts[0].Options) > 0 {
			again += ":" + mounts[0].Options[0]
		}
		if again != text || len(mounts[0].Source) < 2 {
			t.Errorf("%q is read as %q", text, again)
		}
	})
}
