package endtoend

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/windows"
)

// The test binary is also the program in the containers, where Wine's cmd.exe
// cannot do what a test needs.
func TestMain(m *testing.M) {
	if len(os.Args) >= 3 && os.Args[1] == "inside" {
		inside(os.Args[2], os.Args[3:])
	}
	logrus.SetOutput(io.Discard) // hcsshim's: an error for every handle closed before its process ends
	os.Exit(m.Run())
}

// inside is the program in a container.
func inside(job string, args []string) {
	if dir, ok := strings.CutPrefix(job, "engine "); ok {
		fmt.Fprintln(os.Stderr, runUntilKilled(dir))
		os.Exit(1)
	}
	switch job {
	case "talk":
		talk(args[0])
	case "copy":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "interrupted":
		windows.ExitProcess(0xc000013a)
	}
	os.Exit(0)
}

// talk writes a line to stdout every tenth of a second, for at most a minute, and
// the results of these writes to a file.
func talk(file string) {
	record, err := os.Create(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := range 600 {
		_, written := fmt.Println("line", i)
		if _, err := fmt.Fprintln(record, "line", i, "error:", written); err != nil {
			os.Exit(1)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// insideLine is the command line that runs job.
func insideLine(job string) string {
	return fmt.Sprintf(`"%s" inside %s`, os.Args[0], job)
}

// standIn is the service on the stand-in vmcompute.dll. Without a stand-in it
// skips the test. If anything is left after the test, the test fails.
func standIn(t *testing.T) (libcontainerd.ComputeService, callLog) {
	t.Helper()
	return standInLosing(t, 0)
}

// standInLosing is like standIn, for a test in which hcsshim loses handles.
func standInLosing(t *testing.T, lost int) (libcontainerd.ComputeService, callLog) {
	t.Helper()
	if os.Getenv("LIBCONTAINERD_STANDIN") == "" {
		t.Skip("needs the stand-in vmcompute.dll: sh internal/wine/test.sh")
	}
	service, err := libcontainerd.HostService()
	if err != nil {
		t.Fatal(err)
	}
	warmUp.Do(func() { liveOnce(t) })
	log := startLog(t)
	before := countHandles(t)
	t.Cleanup(func() {
		eventually(t, "every compute system has stopped", func() bool {
			systems, err := service.ComputeSystems("")
			return err == nil && !slices.ContainsFunc(systems, func(s libcontainerd.ComputeSystemInfo) bool { return s.State != "Stopped" })
		})
		eventually(t, "every HCS handle is closed", func() bool { return log.openHandles() == lost })
		// A lost handle keeps its system, and the system keeps its job object.
		eventually(t, "no handle of Windows is left", func() bool { return countHandles(t) <= before+lost })
	})
	return service, log
}

// warmUp makes everything that is made once and then kept.
var warmUp sync.Once

func liveOnce(t *testing.T) {
	t.Helper()
	e := newEngine(t)
	e.create(t, "warm-up", testSpec("cmd", "/c", "exit 0"))
	e.await(t, "warm-up", libcontainerd.StateExit)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// order sets the faults until the test ends. internal/vmcompute/README.md has
// their grammar. An empty text ends all faults.
func order(t *testing.T, faults string) {
	t.Helper()
	if err := os.Setenv("VMCOMPUTE_FAULTS", faults); err != nil { //nolint:usetesting // that would bring an earlier order back at the end
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Unsetenv("VMCOMPUTE_FAULTS") })
}

// impatient runs the test again in a process in which hcsshim waits two seconds,
// not four minutes, for a notification. It returns true in that process.
func impatient(t *testing.T) bool {
	t.Helper()
	const seconds = "2"
	if os.Getenv("HCSSHIM_TIMEOUT_SYSTEMSTART") == seconds {
		return true
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(),
		"HCSSHIM_TIMEOUT_SYSTEMCREATE="+seconds, "HCSSHIM_TIMEOUT_SYSTEMSTART="+seconds,
		"HCSSHIM_TIMEOUT_SYSTEMPAUSE="+seconds, "HCSSHIM_TIMEOUT_SYSTEMRESUME="+seconds)
	if output, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	return false
}

// eventually waits until a condition holds, since HCS notifies asynchronously.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("not within 30 seconds: %s", what)
			return
		}
	}
}

// callLog is the log of calls of the stand-in.
type callLog struct{ file string }

type logLine struct{ name, id, text string }

func startLog(t *testing.T) callLog {
	t.Helper()
	log := callLog{filepath.Join(t.TempDir(), "calls.log")}
	t.Setenv("VMCOMPUTE_LOG", log.file)
	return log
}

func (l callLog) lines() []logLine {
	file, err := os.Open(l.file)
	if err != nil {
		return nil
	}
	defer file.Close()
	var lines []logLine
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		fields := strings.SplitN(scanner.Text(), "\t", 3)
		if len(fields) == 3 {
			lines = append(lines, logLine{fields[0], fields[1], fields[2]})
		}
	}
	return lines
}

// find returns the first call of that name for a container, nil if there is none.
func (l callLog) find(name, id string) *logLine {
	lines := l.lines()
	i := slices.IndexFunc(lines, func(line logLine) bool { return line.name == name && line.id == id })
	if i < 0 {
		return nil
	}
	return &lines[i]
}

// openHandles returns the number of HCS handles that are open.
func (l callLog) openHandles() int {
	change := map[string]int{
		"HcsCreateComputeSystem": 1, "HcsOpenComputeSystem": 1, "HcsCreateProcess": 1, "HcsOpenProcess": 1,
		"HcsCreateComputeSystem!": -1, "HcsOpenComputeSystem!": -1, "HcsCreateProcess!": -1, "HcsOpenProcess!": -1,
		"HcsCloseComputeSystem": -1, "HcsCloseProcess": -1,
		"HcsCloseComputeSystem!": 1, "HcsCloseProcess!": 1,
	}
	n := 0
	for _, line := range l.lines() {
		n += change[line.name]
	}
	return n
}
