package libcontainerd_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/sirupsen/logrus"
)

func TestStdinReachesTheProcessUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec("more")))
		stdin := e.pipe("c1").Stdin
		if _, err := io.WriteString(stdin, "one\r\ntwo\r\n"); err != nil {
			t.Fatal(err)
		}
		must(t, stdin.Close())
		must(t, stdin.Close())
		e.awaitExit("c1")
		if got := e.output("c1"); !strings.Contains(got, "one") || !strings.Contains(got, "two") {
			t.Errorf("output %q", got)
		}
	})
}

// A close of stdin closes the pipe, and then tells HCS, once. If HCS answers that the
// process has gone, that is not an error. See lessons_test.go: 44, D46, F39.
func TestStdinIsClosedOnBothEnds(t *testing.T) {
	for _, answer := range []error{nil, libcontainerd.CodeNotFound, libcontainerd.CodeInvalidState, libcontainerd.CodeInvalidHandle} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, nil)
			must(t, e.Create("c1", spec("more")))
			if answer != nil {
				once(hcstest.OpCloseStdin, hcstest.Fault{Err: answer, Done: true})(e.hcs)
			}
			must(t, e.pipe("c1").Stdin.Close())
			if err := e.pipe("c1").Stdin.Close(); err != nil {
				t.Errorf("second close: %v", err)
			}
			e.awaitExit("c1")
			must(t, e.pipe("c1").Stdin.Close())
			if n := len(e.hcs.Calls(hcstest.OpCloseStdin)); n != 1 {
				t.Errorf("HCS was told %d times", n)
			}
		})
	}
}

// A read error reaches the reader as it was. See lessons_test.go: 43, D45.
func TestReadErrorReachesTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onAttach = func(_ string, p libcontainerd.IOPipe) error { return nil }
		must(t, e.Create("c1", spec(untilStopped...)))
		out := e.pipe("c1").Stdout
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		buf := make([]byte, 1<<16)
		for {
			if _, err := out.Read(buf); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("got %v", err)
				}
				break
			}
		}
	})
}

// Output can be read after the exit. If nobody reads it, it is closed after a while. See
// lessons_test.go: F40.
func TestOutputOutlivesItsProcessForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onAttach = func(string, libcontainerd.IOPipe) error { return nil } // nobody reads yet
		must(t, e.Create("c1", spec("cmd", "/c", "echo last words")))
		must(t, e.Create("c2", spec("cmd", "/c", "echo nobody reads this")))
		e.awaitExit("c1")
		e.awaitExit("c2")
		time.Sleep(libcontainerd.DefaultGrace - time.Second)
		buf := make([]byte, 100)
		n, err := e.pipe("c1").Stdout.Read(buf)
		if err != nil || strings.TrimSpace(string(buf[:n])) != "last words" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		time.Sleep(2 * time.Second)
		if n, err := e.pipe("c2").Stdout.Read(buf); err == nil {
			t.Errorf("after the grace read %q, %v", buf[:n], err)
		}
	})
}

func TestOutputStaysOpenForAsLongAsItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.onAttach = func(string, libcontainerd.IOPipe) error { return nil }
		const text = "a long text that is read slowly"
		must(t, e.Create("c1", spec("cmd", "/c", "echo "+text)))
		e.awaitExit("c1")
		var got strings.Builder
		buf := make([]byte, 1)
		for {
			n, err := e.pipe("c1").Stdout.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				break
			}
			time.Sleep(libcontainerd.DefaultGrace / 2)
		}
		if strings.TrimSpace(got.String()) != text {
			t.Errorf("read %q", got.String())
		}
	})
}

// slowPipes is a HCS whose stdin pipes take an hour to close, as a pipe may that
// waits for the I/O that is under way.
type slowPipes struct{ *hcstest.Service }

func (s slowPipes) CreateComputeSystem(id, configuration string) (libcontainerd.ComputeSystem, error) {
	system, err := s.Service.CreateComputeSystem(id, configuration)
	return slowPipesSystem{system}, err
}

type slowPipesSystem struct{ libcontainerd.ComputeSystem }

func (s slowPipesSystem) CreateProcess(config *libcontainerd.ProcessConfig) (libcontainerd.ComputeProcess, error) {
	process, err := s.ComputeSystem.CreateProcess(config)
	return slowPipesProcess{process}, err
}

type slowPipesProcess struct{ libcontainerd.ComputeProcess }

func (p slowPipesProcess) Stdio() (stdin io.WriteCloser, stdout, stderr io.ReadCloser, err error) {
	stdin, stdout, stderr, err = p.ComputeProcess.Stdio()
	return slowPipe{stdin}, stdout, stderr, err
}

type slowPipe struct{ io.WriteCloser }

func (p slowPipe) Close() error {
	time.Sleep(time.Hour)
	return p.WriteCloser.Close()
}

func TestPipesThatAreSlowToCloseHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEngine(t, hcs, libcontainerd.WithComputeService(slowPipes{hcs}))
		began := time.Now()
		must(t, e.Create("c1", spec(untilStopped...)))
		must(t, e.AddProcess("c1", "p1", exec("cmd", "/c", "exit 5")))
		must(t, e.AddProcess("c1", "p2", exec(untilStopped...)))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		synctest.Wait()
		e.onState = func(string, libcontainerd.StateInfo) error { return errRefused }
		if err := e.Create("c1", spec(untilStopped...)); !is(errRefused)(err) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		time.Sleep(2 * time.Hour)
	})
}

// leftOpen is a HCS whose stdout pipes never end by themselves: a process that was
// left behind holds them.
type leftOpen struct{ *hcstest.Service }

func (s leftOpen) CreateComputeSystem(id, configuration string) (libcontainerd.ComputeSystem, error) {
	system, err := s.Service.CreateComputeSystem(id, configuration)
	return leftOpenSystem{system}, err
}

type leftOpenSystem struct{ libcontainerd.ComputeSystem }

func (s leftOpenSystem) CreateProcess(config *libcontainerd.ProcessConfig) (libcontainerd.ComputeProcess, error) {
	process, err := s.ComputeSystem.CreateProcess(config)
	return leftOpenProcess{process}, err
}

type leftOpenProcess struct{ libcontainerd.ComputeProcess }

func (p leftOpenProcess) Stdio() (stdin io.WriteCloser, stdout, stderr io.ReadCloser, err error) {
	stdin, stdout, stderr, err = p.ComputeProcess.Stdio()
	return stdin, newOpenEnd(stdout), stderr, err
}

// openEnd is a pipe that ends only when it is closed.
type openEnd struct {
	io.ReadCloser
	closed chan struct{}
	once   *sync.Once // guards the close of closed
}

func (p openEnd) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if err == io.EOF {
		<-p.closed
		return n, io.ErrClosedPipe
	}
	return n, err
}

func (p openEnd) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.ReadCloser.Close()
}

func newOpenEnd(pipe io.ReadCloser) openEnd {
	return openEnd{pipe, make(chan struct{}), new(sync.Once)}
}

// isCutOff reports whether a reader can tell err from the end of its stream.
func isCutOff(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) &&
		(errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "cut off"))
}

// Output that is cut off because nobody read it within the grace says so to its
// reader and in the log.
func TestOutputThatIsCutOffSaysSo(t *testing.T) {
	const text = "twenty-two characters" // and more at the end of the line
	for name, c := range map[string]struct {
		wrap    func(*hcstest.Service) libcontainerd.ComputeService
		process string // whose output it is
		read    int    // so much is read at once
		waits   bool   // then a read waits
	}{
		"nothing was read":                  {process: "init"},
		"something was read":                {process: "init", read: 7},
		"of an exec":                        {process: "p1", read: 5},
		"a reader waits":                    {func(h *hcstest.Service) libcontainerd.ComputeService { return leftOpen{h} }, "init", len(text) + 2, true},
		"a reader waits, of an exec":        {func(h *hcstest.Service) libcontainerd.ComputeService { return leftOpen{h} }, "p1", len(text) + 2, true},
		"a reader comes late, pipe is open": {func(h *hcstest.Service) libcontainerd.ComputeService { return leftOpen{h} }, "init", len(text) + 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				var service libcontainerd.ComputeService = hcs
				if c.wrap != nil {
					service = c.wrap(hcs)
				}
				logger, hook := newLog()
				e := newEngine(t, hcs, libcontainerd.WithComputeService(service), libcontainerd.WithLogger(logger))
				var readAll []io.Reader // output of the other process, which is not under test
				e.onAttach = func(name string, pipe libcontainerd.IOPipe) error {
					if name != c.process && (name != "c1" || c.process != "init") {
						readAll = append(readAll, pipe.Stdout, pipe.Stderr)
					}
					return nil
				}
				talks := []string{"cmd", "/c", "echo " + text}
				var pipe libcontainerd.IOPipe
				if c.process == "init" {
					must(t, e.Create("c1", spec(talks...)))
					pipe = e.pipe("c1")
				} else {
					must(t, e.Create("c1", spec("timeout", "/t", "-1")))
					must(t, e.AddProcess("c1", c.process, exec(talks...)))
					pipe = e.pipe(c.process)
				}
				for _, r := range readAll {
					e.reading.Go(func() { io.Copy(io.Discard, r) })
				}
				buf := make([]byte, c.read)
				if _, err := io.ReadFull(pipe.Stdout, buf); err != nil {
					t.Errorf("before the end: %v", err)
				}
				e.reading.Go(func() { io.Copy(io.Discard, pipe.Stderr) })
				if !c.waits {
					time.Sleep(3 * libcontainerd.DefaultGrace)
				}
				began := time.Now()
				for range 2 {
					n, err := pipe.Stdout.Read(make([]byte, 100))
					if n > 0 || !isCutOff(err) {
						t.Errorf("read %d, %v", n, err)
					}
				}
				if took := time.Since(began); took > 3*libcontainerd.DefaultGrace {
					t.Errorf("cut off after %v", took)
				}
				var logged []*logrus.Entry
				for _, entry := range hook.AllEntries() {
					if entry.Level == logrus.WarnLevel && entry.Data["container"] == "c1" && entry.Data["process"] == c.process {
						logged = append(logged, entry)
					}
				}
				if len(logged) != 1 {
					t.Errorf("%d warnings, want 1: %v", len(logged), logged)
				} else if !hasNumber(logged[0], c.read) {
					t.Errorf("the warning does not say that %d bytes were read: %q, %v", c.read, logged[0].Message, logged[0].Data)
				}
				e.Signal("c1", 9)
				e.wantExit(t, "c1", time.Hour)
				time.Sleep(time.Minute)
			})
		})
	}
}

// hasNumber reports whether a field of the entry is the number n.
func hasNumber(entry *logrus.Entry, n int) bool {
	for _, value := range entry.Data {
		switch v := value.(type) {
		case int:
			if v == n {
				return true
			}
		case int64:
			if v == int64(n) {
				return true
			}
		case uint64:
			if v == uint64(n) {
				return true
			}
		}
	}
	return false
}

// Output that was read to its end is not cut off, and output of which nothing is left
// is not logged.
func TestOutputThatEndsIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hook := newLog()
		e := newEngine(t, nil, libcontainerd.WithLogger(logger))
		e.onAttach = func(string, libcontainerd.IOPipe) error { return nil }
		must(t, e.Create("c1", spec("cmd", "/c", "echo something")))
		pipe := e.pipe("c1")
		for _, r := range []io.Reader{pipe.Stdout, pipe.Stderr} {
			if _, err := io.ReadAll(r); err != nil {
				t.Errorf("got %v", err)
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end read %d, %v", n, err)
			}
		}
		e.wantExit(t, "c1", time.Hour)
		time.Sleep(time.Minute)
		for _, entry := range hook.AllEntries() {
			if entry.Level <= logrus.WarnLevel {
				t.Errorf("logged %q, %v", entry.Message, entry.Data)
			}
		}
	})
}
