package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"golang.org/x/sys/unix"
)

// window is a pseudo terminal that a user sits at.
type window struct {
	keys *os.File // what he types
	tty  *os.File // what hcsrun gets

	mu   sync.Mutex // guards following
	text bytes.Buffer
}

func openWindow(t *testing.T) *window {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	w := &window{keys: ptmx, tty: tty}
	w.resize(t, 100, 30)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(w, ptmx)
	}()
	t.Cleanup(func() {
		defer ptmx.Close()
		tty.Close()
		// The window closes when nobody reads its keys any more. Whatever mode it is
		// in, one of these ends such a read.
		for {
			select {
			case <-read:
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = io.WriteString(ptmx, "\x04\n")
			}
		}
	})
	return w
}

func (w *window) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *window) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *window) resize(t *testing.T, width, height uint16) {
	t.Helper()
	if err := pty.Setsize(w.keys, &pty.Winsize{Cols: width, Rows: height}); err != nil {
		t.Fatal(err)
	}
}

func (w *window) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(w.keys, keys); err != nil {
		t.Fatal(err)
	}
}

// until waits until a condition holds.
func (w *window) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never %s; the window shows %q", what, w)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *window) shows(t *testing.T, text string) {
	t.Helper()
	w.until(t, "shows "+text, func() bool { return strings.Contains(w.String(), text) })
}

func (w *window) mode(t *testing.T) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(w.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

// start runs hcsrun in the window.
func (w *window) start(service libcontainerd.ComputeService, interrupts <-chan os.Signal, args ...string) <-chan uint32 {
	a := newApp(w.tty, w.tty, w.tty, interrupts, func() (libcontainerd.ComputeService, error) { return service, nil })
	code := make(chan uint32, 1)
	go func() { code <- a.run(args) }()
	return code
}

// showKeys prints each key that it gets and each size of its window, until q.
func showKeys(p *hcstest.Process) uint32 {
	showSize := func() {
		width, height := p.ConsoleSize()
		fmt.Fprintf(p.Stdout, "<%dx%d>", width, height)
	}
	showSize()
	keys := make(chan byte)
	go func() {
		defer close(keys)
		for key := make([]byte, 1); ; {
			if _, err := p.Stdin.Read(key); err != nil {
				return
			}
			keys <- key[0]
		}
	}()
	for {
		select {
		case key, ok := <-keys:
			if !ok {
				return 1
			}
			fmt.Fprintf(p.Stdout, "<key %d>", key)
			if key == 'q' {
				return 7
			}
		case <-p.Resized():
			showSize()
		case <-p.Killed():
			return 1
		}
	}
}

// withTerminal is a spec of a container with a terminal.
func withTerminal(t *testing.T, commandLine string) string {
	t.Helper()
	text := fmt.Sprintf(`{"ociVersion":"1.3.0","process":{"terminal":true,"commandLine":%q,"cwd":"C:\\"},"root":{"path":"\\\\?\\Volume{11111111-2222-3333-4444-555555555555}"},"windows":{"layerFolders":["C:\\base","C:\\scratch"]}}`, commandLine)
	file := t.TempDir() + "/terminal.json"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTerminalBelongsToTheProgramAndIsGivenBack(t *testing.T) {
	service := hcstest.New(t, hcstest.WithProgram("keys", showKeys))
	engine := startEngine(t, service, "web1")
	tests := map[string]struct {
		args []string
		end  func(t *testing.T, w *window, interrupts chan<- os.Signal)
		code uint32
	}{
		"run: key": {
			args: []string{"run", withTerminal(t, "keys")}, code: 7,
			end: func(t *testing.T, w *window, _ chan<- os.Signal) { w.press(t, "q") },
		},
		"run: SIGTERM": {
			args: []string{"run", withTerminal(t, "keys")}, code: 0xc000013a,
			end: func(_ *testing.T, _ *window, interrupts chan<- os.Signal) { interrupts <- syscall.SIGTERM },
		},
		"run: detach keys": {
			args: []string{"run", withTerminal(t, "keys")}, code: 0,
			end: func(t *testing.T, w *window, _ chan<- os.Signal) {
				w.press(t, "\x10\x10")
				w.shows(t, "<key 16>") // the first ctrl-p did not begin the detach keys
				w.press(t, "\x11")
				w.shows(t, "container terminal runs on without hcsrun")
			},
		},
		"exec: key": {
			args: []string{"exec", "-t", "web1", "keys"}, code: 7,
			end: func(t *testing.T, w *window, _ chan<- os.Signal) { w.press(t, "q") },
		},
		"exec: SIGTERM": {
			args: []string{"exec", "-t", "web1", "keys"}, code: 1067,
			end: func(_ *testing.T, _ *window, interrupts chan<- os.Signal) { interrupts <- syscall.SIGTERM },
		},
		"exec: detach keys": {
			args: []string{"exec", "-t", "web1", "keys"}, code: 0,
			end: func(t *testing.T, w *window, _ chan<- os.Signal) {
				w.press(t, "\x10\x11")
				w.shows(t, "runs on without hcsrun")
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := openWindow(t)
			before := w.mode(t)
			interrupts := make(chan os.Signal, 1)
			code := w.start(service, interrupts, test.args...)
			w.shows(t, "<100x30>")
			if w.mode(t).Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
				t.Error("the terminal is not raw")
			}
			w.press(t, "\x03") // Ctrl-C
			w.shows(t, "<key 3>")
			interrupts <- os.Interrupt // the same, on a console that makes a signal of it
			w.shows(t, "<key 3><key 3>")
			w.resize(t, 120, 40)
			w.shows(t, "<120x40>")
			test.end(t, w, interrupts)
			if got := <-code; got != test.code {
				t.Errorf("exit code %#x, want %#x", got, test.code)
			}
			if diff := cmp.Diff(before, w.mode(t)); diff != "" {
				t.Errorf("the terminal is not as it was:\n%s", diff)
			}
			command{hostHCS: service}.run(t, "kill", "terminal")
		})
	}
	_ = engine.Signal("web1", libcontainerd.SignalKill)
	<-engine.exits
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
}

func TestTerminalIsGivenBackOnPanic(t *testing.T) {
	w := openWindow(t)
	before := w.mode(t)
	a := newApp(w.tty, w.tty, w.tty, nil, nil)
	term := a.newTerminal(a.stdin, true)
	if err := term.take(func(int, int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if before.Lflag == w.mode(t).Lflag {
		t.Error("the terminal is not raw")
	}
	func() {
		defer func() {
			if recover() != "oops" {
				t.Error("the panic is lost")
			}
		}()
		defer term.releaseOnPanic()
		panic("oops")
	}()
	if diff := cmp.Diff(before, w.mode(t)); diff != "" {
		t.Errorf("the terminal is not as it was:\n%s", diff)
	}
}

// Without a terminal in the container Ctrl-C goes to hcsrun.
func TestTerminalStaysAsItIsWithoutConsole(t *testing.T) {
	service := hcstest.New(t)
	w := openWindow(t)
	before := w.mode(t)
	interrupts := make(chan os.Signal, 1)
	code := w.start(service, interrupts, "run", "--events", oci(t, "ping -t localhost"))
	w.shows(t, "start-container")
	if diff := cmp.Diff(before, w.mode(t)); diff != "" {
		t.Errorf("the terminal has changed:\n%s", diff)
	}
	interrupts <- os.Interrupt
	if got := <-code; got != 0xc000013a {
		t.Errorf("exit code %#x", got)
	}
}

func TestSpinnerShowsWhatIsBeingWaitedFor(t *testing.T) {
	service := hcstest.New(t)
	hang := service.Hang(hcstest.OpCreate, "small")
	w := openWindow(t)
	code := w.start(service, nil, "run", oci(t, "cmd /c echo hello"))
	w.shows(t, "starting container small (1 s)")
	hang.Release()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
	w.shows(t, "hello")
	if shown := w.String(); !strings.HasSuffix(shown[:strings.LastIndex(shown, "hello")], "\r\x1b[K") {
		t.Errorf("the spinner stays: %q", shown)
	}
}

// commandLines has a command line for every command.
var commandLines = []string{
	"ps", "ps --json", "list", "ps web1", "inspect web1", "inspect", "inspect none", "stats web1", "stats", "exec web1 cmd /c echo hello", "exec web1",
	"exec none cmd", "kill none", "kill", "kill --timeout 0s web1", "reconcile none", "reconcile docker", "reconcile a b", "explain 2", "explain what", "explain",
	"doctor --simulate", "doctor x", "config", "config --nonsense", "run", "--version", "--help", "exec --help", "nonsense", "",
}

// comparable returns the lines of a text without the parts that differ each time.
func comparable(text string) []string {
	text = strings.ReplaceAll(text, "\r", "")
	text = regexp.MustCompile(`[0-9.]+([µm]?s)?`).ReplaceAllString(text, "0")
	text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")
	return slices.Sorted(strings.Lines(text))
}

// A terminal shows colours and the spinner, and otherwise the same as a pipe.
func TestTerminalShowsWhatAPipeGets(t *testing.T) {
	colours := regexp.MustCompile("\x1b\\[[0-9]*m")
	service := hcstest.New(t)
	engine := startEngine(t, service, "web1")
	for _, line := range commandLines {
		t.Run(line, func(t *testing.T) {
			want := command{hostHCS: service}.run(t, strings.Fields(line)...)
			for _, never := range []bool{false, true} {
				if never {
					t.Setenv("NO_COLOR", "")
				}
				w := openWindow(t)
				if got := <-w.start(service, nil, strings.Fields(line)...); got != want.code {
					t.Errorf("exit code %d, in a pipe %d", got, want.code)
				}
				text := want.stdout + want.stderr
				w.until(t, "shows all", func() bool { return strings.Count(w.String(), "\n") >= strings.Count(text, "\n") })
				shown := strings.ReplaceAll(w.String(), "\r\n", "\n")
				if never && colours.MatchString(shown) {
					t.Errorf("coloured with NO_COLOR: %q", shown)
				}
				if want.stderr != "" && !never && !colours.MatchString(shown) {
					t.Errorf("not coloured: %q", shown)
				}
				if diff := cmp.Diff(comparable(text), comparable(colours.ReplaceAllString(shown, ""))); diff != "" {
					t.Errorf("(-in a pipe +in a terminal):\n%s", diff)
				}
			}
		})
	}
	_ = engine.Signal("web1", libcontainerd.SignalKill)
	<-engine.exits
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
}
