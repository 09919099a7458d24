package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

var errFull = errors.New("disk is full")

// failing takes n bytes, and then fails.
type failing struct{ n int }

func (w *failing) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// blocking blocks until it is closed.
type blocking chan struct{}

func (w blocking) Write(b []byte) (int, error) {
	<-w
	return len(b), nil
}

// chatter prints 1 MiB, and ends.
func chatter() hcstest.Option {
	return hcstest.WithProgram("chatter", func(p *hcstest.Process) uint32 {
		line := strings.Repeat("x", 1023) + "\n"
		for range 1024 {
			if _, err := io.WriteString(p.Stdout, line); err != nil {
				return 1
			}
		}
		return 0
	})
}

func TestWriterThatFailsDoesNotBlockTheContainer(t *testing.T) {
	eng := newEngine(t, hcstest.New(t, chatter()))
	c := mustRun(t, eng, "web1", spec("chatter"), engine.WithStdio(nil, &failing{n: 5000}, nil))
	exit := mustWait(t, c)
	if exit.Code != 0 || !errors.Is(exit.Err, errFull) || !strings.Contains(exit.Err.Error(), "stdout") {
		t.Errorf("exit %+v", exit)
	}
	if err := c.Status().Err; !errors.Is(err, errFull) {
		t.Errorf("status: %v", err)
	}
}

func TestWriterThatBlocksDoesNotBlockTheExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := newEngine(t, hcstest.New(t))
		w := make(blocking)
		c := mustRun(t, eng, "web1", spec("cmd", "/c", "echo hello"), engine.WithStdio(nil, w, nil))
		begun := time.Now()
		exit := mustWait(t, c)
		if exit.Code != 0 || exit.Err == nil || !strings.Contains(exit.Err.Error(), "cut off") {
			t.Errorf("exit %+v", exit)
		}
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		close(w)
	})
}

// slow takes a little at a time, and a long time for all.
type slow struct{ bytes.Buffer }

func (w *slow) Write(b []byte) (int, error) {
	time.Sleep(9 * time.Second)
	return w.Buffer.Write(b)
}

func TestOutputIsCompleteWhenWaitReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := newEngine(t, hcstest.New(t, chatter()))
		var w slow
		c := mustRun(t, eng, "web1", spec("chatter"), engine.WithStdio(nil, &w, nil))
		if exit := mustWait(t, c); exit.Code != 0 || exit.Err != nil {
			t.Errorf("exit %+v", exit)
		}
		if w.Len() != 1<<20 {
			t.Errorf("%d bytes", w.Len())
		}
	})
}

// overlap notes whether two write to it at a time.
type overlap struct {
	busy sync.Mutex
	bad  atomic.Bool
	text strings.Builder // guarded by busy
}

func (w *overlap) Write(b []byte) (int, error) {
	if !w.busy.TryLock() {
		w.bad.Store(true)
		return len(b), nil
	}
	defer w.busy.Unlock()
	runtime.Gosched()
	return w.text.Write(b)
}

func TestSharedWriterIsWrittenToByOneAtATime(t *testing.T) {
	both := hcstest.WithProgram("both", func(p *hcstest.Process) uint32 {
		for range 100 {
			io.WriteString(p.Stdout, "out\n")
			io.WriteString(p.Stderr, "err\n")
		}
		return 0
	})
	eng := newEngine(t, hcstest.New(t, both))
	var w overlap
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			c, err := eng.Run(t.Context(), fmt.Sprint("web", i), spec("both"), engine.WithStdio(nil, &w, &w))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if w.bad.Load() {
		t.Error("two at a time")
	}
	if text := w.text.String(); strings.Count(text, "out\n") != 1000 || strings.Count(text, "err\n") != 1000 {
		t.Errorf("%d bytes of output", len(text))
	}
}

// values is a writer that cannot be compared.
type values struct{ to []io.Writer }

func (w values) Write(b []byte) (int, error) { return w.to[0].Write(b) }

func TestWriterThatCannotBeComparedIsWrittenTo(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	var b bytes.Buffer
	mustWait(t, mustRun(t, eng, "web1", spec("cmd", "/c", "echo hello"), engine.WithStdio(nil, values{[]io.Writer{&b}}, nil)))
	if b.String() != "hello\r\n" {
		t.Errorf("output %q", &b)
	}
}

// echo prints what it reads, and at the end "end".
func echo() hcstest.Option {
	return hcstest.WithProgram("echo", func(p *hcstest.Process) uint32 {
		io.Copy(p.Stdout, p.Stdin)
		io.WriteString(p.Stdout, "end")
		return 0
	})
}

func TestTerminalKeepsItsInputOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := newEngine(t, hcstest.New(t, echo()))
		var b bytes.Buffer
		s := spec("echo")
		s.Process.Terminal = true
		c := mustRun(t, eng, "web1", s, engine.WithStdio(strings.NewReader("hello"), &b, nil))
		time.Sleep(time.Hour)
		if phase := c.Status().Phase; phase != engine.PhaseRunning {
			t.Errorf("it is %v", phase)
		}
		mustKill(t, c)
		if b.String() != "hello" {
			t.Errorf("output %q", &b)
		}
	})
}

// What is typed goes to the run that runs, and the end of the input to all.
func TestInputGoesOnAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := func(p *hcstest.Process) uint32 { // ends after one read
			b := make([]byte, 100)
			n, err := p.Stdin.Read(b)
			p.Stdout.Write(b[:n])
			if err != nil {
				return 0
			}
			return 1
		}
		eng := newEngine(t, hcstest.New(t, hcstest.WithProgram("first", first)))
		var b bytes.Buffer
		r, w := io.Pipe()
		c := mustRun(t, eng, "web1", spec("first"), engine.WithStdio(r, &b, nil), engine.WithRestart(engine.OnFailure(0)))
		for _, text := range []string{"a", "b", "c"} {
			io.WriteString(w, text)
			time.Sleep(10 * time.Minute)
		}
		must(t, w.Close())
		if exit := mustWait(t, c); exit.Code != 0 || exit.Err != nil {
			t.Errorf("exit %+v", exit)
		}
		if b.String() != "abc" {
			t.Errorf("output %q", &b)
		}
	})
}

// A reader that blocks for ever holds up nothing.
func TestReaderThatBlocksDoesNotBlockTheExit(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	r, w := io.Pipe()
	defer w.Close()
	c := mustRun(t, eng, "web1", spec("cmd", "/c", "exit 2"), engine.WithStdio(r, nil, nil))
	if exit := mustWait(t, c); exit.Code != 2 || exit.Err != nil {
		t.Errorf("exit %+v", exit)
	}
}

func TestOutputOfAProcessIsNotItsContainers(t *testing.T) {
	eng := newEngine(t, hcstest.New(t, echo()))
	var outer, inner, errs bytes.Buffer
	r, w := io.Pipe()
	c := mustRun(t, eng, "web1", spec("echo"), engine.WithStdio(r, &outer, nil))
	p, err := c.Exec(t.Context(), libcontainerd.Process{Args: []string{"echo"}}, engine.WithStdio(strings.NewReader("inner "), &inner, &errs))
	must(t, err)
	mustWait(t, p)
	io.WriteString(w, "outer ")
	w.Close()
	mustWait(t, c)
	if outer.String() != "outer end" || inner.String() != "inner end" || errs.Len() > 0 {
		t.Errorf("output %q, %q and %q", &outer, &inner, &errs)
	}
}
