package endtoend

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"
)

// imageRun is the command line of an hcsrun for a container of an image in Docker's
// store, and its own store.
func imageRun(t *testing.T, command ...string) (args []string, store string) {
	t.Helper()
	store = t.TempDir()
	return append([]string{"--store", store, "run", "--events", "--name", "web", "--image", dockerLayers(t)[0]}, command...), store
}

func TestHCSRunOfAnImage(t *testing.T) {
	_, log := standIn(t)
	args, store := imageRun(t, "cmd", "/c", "echo hello&exit 3")
	got := runHCSRun(t, "", args...)
	if got.stdout != "hello\n" || got.code != 3 {
		t.Errorf("%+v", got)
	}
	want := "CreateSandboxLayer ActivateLayer PrepareLayer UnprepareLayer DeactivateLayer DestroyLayer"
	if calls := strings.Join(log.layerCalls("web"), " "); calls != want {
		t.Errorf("calls %s, want %s", calls, want)
	}
	nothingIn(t, filepath.Join(store, "scratches"))
}

func TestHCSRunLeavesNoLayerMountedAfterAFailure(t *testing.T) {
	for _, step := range []string{
		"CreateSandboxLayer", "ActivateLayer", "PrepareLayer", "GetLayerMountPath", "HcsCreateComputeSystem", "SystemCreateCompleted",
		"HcsStartComputeSystem", "SystemStartCompleted", "HcsCreateProcess",
	} {
		t.Run(step, func(t *testing.T) {
			standIn(t)
			args, store := imageRun(t, "cmd", "/c", "echo hello")
			order(t, step+"=0x80070005")
			if got := runHCSRun(t, "", args...); got.stdout != "" || got.code != 125 || !strings.Contains(got.stderr, "ACCESS_DENIED") {
				t.Errorf("%+v", got)
			}
			nothingIn(t, filepath.Join(store, "scratches"))
		})
	}
}

// startHCSRun starts an hcsrun that can be interrupted without this process, and
// waits for an event of its container.
func startHCSRun(t *testing.T, event string, args ...string) *exec.Cmd {
	t.Helper()
	program := os.Getenv("LIBCONTAINERD_HCSRUN")
	if program == "" {
		t.Skip("LIBCONTAINERD_HCSRUN does not name hcsrun.exe: sh internal/wine/test.sh")
	}
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	stdin, err := cmd.StdinPipe() // stays open
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "event "+event) {
			go func() {
				for lines.Scan() {
				}
			}()
			return cmd
		}
	}
	t.Fatalf("hcsrun told of no %s: %v", event, cmd.Wait())
	return nil
}

func TestHCSRunLeavesNoLayerMountedAfterCtrlC(t *testing.T) {
	args, store := imageRun(t, "-i", os.Args[0], "inside", "copy")
	cmd := startHCSRun(t, "start-container", args...)
	if err := windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(cmd.Process.Pid)); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Skipf("no console for a Ctrl-C: %v", err)
	}
	_ = cmd.Wait()
	if code := uint32(cmd.ProcessState.ExitCode()); code != 0xc000013a {
		t.Errorf("exit code %#x", code)
	}
	nothingIn(t, filepath.Join(store, "scratches"))
}

// The next hcsrun finds and releases what a killed one has left.
func TestHCSRunReleasesWhatAKilledOneHasLeft(t *testing.T) {
	for _, how := range []string{"reconcile", "layer unmount web"} {
		t.Run(how, func(t *testing.T) {
			args, store := imageRun(t, "-i", os.Args[0], "inside", "copy")
			cmd := startHCSRun(t, "start-container", args...)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			list := runHCSRun(t, "", "--store", store, "layer", "ls")
			if !strings.Contains(list.stdout, "web") || !strings.Contains(list.stdout, "false") {
				t.Errorf("%+v", list)
			}
			if got := runHCSRun(t, "", append([]string{"--store", store}, strings.Fields(how)...)...); got.code != 0 {
				t.Errorf("%+v", got)
			}
			nothingIn(t, filepath.Join(store, "scratches"))
		})
	}
}

func TestHCSRunStaysWithADetachedContainer(t *testing.T) {
	standIn(t)
	args, store := imageRun(t, "-d", os.Args[0], "inside", "copy")
	if got := runHCSRun(t, "", args...); got.stdout != "web\n" || got.code != 0 {
		t.Errorf("%+v", got)
	}
	eventually(t, "nothing is mounted", func() bool {
		entries, err := os.ReadDir(filepath.Join(store, "scratches"))
		return err == nil && len(entries) == 0
	})
	args, store = imageRun(t, "-d", "no-such-program.exe")
	if got := runHCSRun(t, "", args...); got.stdout != "" || got.code != 127 || !strings.Contains(got.stderr, "FILE_NOT_FOUND") {
		t.Errorf("%+v", got)
	}
	nothingIn(t, filepath.Join(store, "scratches"))
}

// A config.json as containerd writes it: nothing is mounted yet, and it names a
// network namespace, which not every Windows has.
func TestHCSRunOfASpecThatNobodyHasMounted(t *testing.T) {
	standIn(t)
	stack, folder := dockerLayers(t), t.TempDir()
	file := filepath.Join(t.TempDir(), "config.json")
	text := fmt.Sprintf(`{"ociVersion":"1.1.0","process":{"args":["cmd","/c","echo hi"],"cwd":"C:\\"},"root":{"path":""},
		"windows":{"layerFolders":[%q,%q,%q],"network":{"networkNamespace":"b2c1ac70-c7b4-4a3a-8a1c-1f1c6a1a0001"}}}`,
		stack[0], stack[1], filepath.Join(folder, "scratch"))
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := runHCSRun(t, "", "run", file); got.stdout != "hi\n" || got.code != 0 {
		t.Errorf("%+v", got)
	}
	nothingIn(t, folder)
}
