package endtoend

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Microsoft/hcsshim"
	"github.com/google/go-cmp/cmp"
)

// hcsrun runs the command that LIBCONTAINERD_HCSRUN names.
type hcsrun struct {
	stdout, stderr string
	code           uint32
}

func runHCSRun(t *testing.T, stdin string, args ...string) hcsrun {
	t.Helper()
	program := os.Getenv("LIBCONTAINERD_HCSRUN")
	if program == "" {
		t.Skip("LIBCONTAINERD_HCSRUN does not name hcsrun.exe: sh internal/wine/test.sh")
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return hcsrun{
		stdout: strings.ReplaceAll(stdout.String(), "\r\n", "\n"),
		stderr: strings.ReplaceAll(stderr.String(), "\r\n", "\n"),
		code:   uint32(cmd.ProcessState.ExitCode()),
	}
}

// writeSpec makes an OCI config.json of a command line.
func writeSpec(t *testing.T, commandLine string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"ociVersion": "1.3.0",
		"process":    map[string]any{"commandLine": commandLine, "cwd": `C:\`},
		"root":       map[string]any{"path": `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}\`},
		"windows":    map[string]any{"layerFolders": []string{`C:\endtoend\base`, `C:\endtoend\scratch`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, text, 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestHCSRun(t *testing.T) {
	tests := []struct {
		name, commandLine, stdin string
		stdout, stderr           string // stderr must contain it
		code                     uint32
	}{
		{"output", `cmd /c echo hello`, "", "hello\n", "", 0},
		{"exit code", `cmd /c exit 3`, "", "", "", 3},
		{"stderr", `cmd /c "echo oops 1>&2"`, "", "", "oops", 0},
		{"input to its end", insideLine("copy"), "one\ntwo\n", "one\ntwo\n", "", 0},
		{"Ctrl-C's exit code", insideLine("interrupted"), "", "", "0xC000013A STATUS_CONTROL_C_EXIT", 0xc000013a},
		{"missing program", `no-such-program.exe`, "", "", "FILE_NOT_FOUND", 127},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			standIn(t)
			got := runHCSRun(t, tt.stdin, "run", writeSpec(t, tt.commandLine))
			if got.stdout != tt.stdout || !strings.Contains(got.stderr, tt.stderr) || got.code != tt.code {
				t.Errorf("stdout %q, stderr %q, code %#x", got.stdout, got.stderr, got.code)
			}
		})
	}
}

func TestHCSRunPrintsEvents(t *testing.T) {
	standIn(t)
	got := runHCSRun(t, "", "run", "--events", "--id", "web", writeSpec(t, `cmd /c exit 3`))
	for _, want := range []string{`event start-container container="web"`, `event exit container="web" process="init"`, "code=3"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr lacks %s:\n%s", want, got.stderr)
		}
	}
}

// A document reaches HCS as hcsrun config prints it, without the fields that
// hcsshim's struct does not have.
func TestHCSRunSendsWhatItPrints(t *testing.T) {
	for _, spec := range []string{"oci-nanoserver-process.json", "oci-commandline.json"} {
		t.Run(spec, func(t *testing.T) {
			_, log := standIn(t)
			file := filepath.Join("..", "..", "testdata", "specs", spec)
			printed := runHCSRun(t, "", "config", "--id", "web", file)
			ran := runHCSRun(t, "", "run", "--id", "web", file)
			if printed.code != 0 || ran.code != 0 {
				t.Fatalf("config: %+v, run: %+v", printed, ran)
			}
			var config hcsshim.ContainerConfig
			if err := json.Unmarshal([]byte(printed.stdout), &config); err != nil {
				t.Fatal(err)
			}
			want, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			call := log.find("HcsCreateComputeSystem", "web")
			if call == nil {
				t.Fatal("HCS was asked for nothing")
			}
			if diff := cmp.Diff(string(want), call.text); diff != "" {
				t.Errorf("document (-printed +sent):\n%s", diff)
			}
		})
	}
}
