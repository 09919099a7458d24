package libcontainerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// pipes are the ends that HCS has handed over, nil where none was asked for.
type pipes struct {
	stdin          io.WriteCloser
	stdout, stderr io.ReadCloser
}

func (p pipes) close() {
	if p.stdin != nil {
		p.stdin.Close()
	}
	for _, r := range []io.ReadCloser{p.stdout, p.stderr} {
		if r != nil {
			r.Close()
		}
	}
}

// lostPipe stands for a pipe that HCS no longer has, after a reattach.
type lostPipe struct{}

var errPipeLost = fmt.Errorf("the pipe was lost with the engine that had it: %w", errdefs.ErrUnavailable)

func (lostPipe) Read([]byte) (int, error)  { return 0, io.EOF }
func (lostPipe) Write([]byte) (int, error) { return 0, errPipeLost }
func (lostPipe) Close() error              { return nil }

// orLost puts a lostPipe in the place of each pipe that a process should have.
func (p pipes) orLost(terminal bool) pipes {
	if p.stdin == nil {
		p.stdin = lostPipe{}
	}
	if p.stdout == nil {
		p.stdout = lostPipe{}
	}
	if p.stderr == nil && !terminal {
		p.stderr = lostPipe{}
	}
	return p
}

// streams are the standard streams of a process, as its engine uses them. Bytes go
// straight from the pipe to the engine; no goroutine runs for a stream.
type streams struct {
	process        *process
	stdin          input
	stdout, stderr output
}

func newStreams(p *process, taken pipes) *streams {
	s := &streams{process: p}
	s.stdin.pipe = taken.stdin
	s.stdin.tellHCS = p
	s.stdout = output{pipe: taken.stdout, streams: s}
	s.stderr = output{pipe: taken.stderr, streams: s}
	return s
}

// pipe is the Backend's view.
func (s *streams) pipe(terminal bool) IOPipe {
	p := IOPipe{Terminal: terminal}
	if s.stdin.pipe != nil {
		p.Stdin = &s.stdin
	}
	if s.stdout.pipe != nil {
		p.Stdout = &s.stdout
	}
	if s.stderr.pipe != nil {
		p.Stderr = &s.stderr
	}
	return p
}

// linger leaves the output of a process that has ended open for as long as
// somebody reads it, and cuts it off when nothing was read for as long as the grace: HCS
// does not always end a pipe.
func (s *streams) linger() {
	c := s.process.container.client
	defer c.tasks.add(-1)
	s.stdin.closePipe()
	if s.open() {
		c.lingering.add(s, c.grace)
		s.outputEnded() // it may have ended meanwhile
	}
}

// cut closes everything at once. A reader that is left gets why, io.EOF if that is nil.
func (s *streams) cut(why error) {
	s.stdin.closePipe()
	s.stdout.close(why)
	s.stderr.close(why)
}

// cutOff cuts off output that nobody reads, and says so.
func (s *streams) cutOff(grace time.Duration) {
	read := s.read()
	if !s.open() {
		return
	}
	s.process.log().WithField("read", read).
		Warnf("output is cut off, since none of it was read for %s after the process has ended", humanDuration(grace))
	s.cut(fmt.Errorf("output is cut off after %d bytes, since none of it was read for %s after the process has ended: %w",
		read, humanDuration(grace), context.DeadlineExceeded))
}

// open reports whether output is left to be read.
func (s *streams) open() bool { return s.stdout.isOpen() || s.stderr.isOpen() }

func (s *streams) outputEnded() {
	if !s.open() {
		s.process.container.client.lingering.remove(s)
	}
}

// read is how many bytes of output were read.
func (s *streams) read() uint64 { return s.stdout.read.Load() + s.stderr.read.Load() }

// lingering holds the streams of processes that have ended and whose output is
// not read yet, each with the timer that cuts it off.
type lingering struct {
	mu     sync.Mutex // guards following
	timers map[*streams]*time.Timer
	over   bool // the client is closed: nothing lingers any longer
}

func (l *lingering) add(s *streams, grace time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		s.process.container.client.tasks.start(func() { s.cut(nil) }) // that takes l.mu
		return
	}
	if l.timers == nil {
		l.timers = make(map[*streams]*time.Timer)
	}
	seen := s.read()
	l.timers[s] = time.AfterFunc(grace, func() {
		if s.read() == seen {
			s.cutOff(grace)
			return
		}
		l.add(s, grace)
		s.outputEnded() // it may have ended meanwhile
	})
}

func (l *lingering) remove(s *streams) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.timers[s]; ok {
		t.Stop()
		delete(l.timers, s)
	}
}

// cut cuts all of them off, since the client is closed.
func (l *lingering) cut() {
	l.mu.Lock()
	timers := l.timers
	l.timers, l.over = nil, true
	l.mu.Unlock()
	for s, t := range timers {
		t.Stop()
		s.cut(nil)
	}
}

// input is the stdin of a process. Closing it takes two steps: once the pipe is closed
// HCS must be told, or the process never sees the end.
type input struct {
	pipe    io.WriteCloser // nil: there is none
	tellHCS interface{ closeStdin() error }

	once sync.Once
	err  error // of closing the pipe; set by once

	tell sync.Once
	told error // of telling HCS; set by tell
}

func (i *input) Write(b []byte) (int, error) { return i.pipe.Write(b) }

// Close ends the input of the process. It may be called at any time, and more
// than once.
func (i *input) Close() error {
	err := i.closePipe()
	i.tell.Do(func() { i.told = i.tellHCS.closeStdin() })
	return errors.Join(err, i.told)
}

func (i *input) closePipe() error {
	if i.pipe == nil {
		return nil
	}
	i.once.Do(func() { i.err = i.pipe.Close() })
	return i.err
}

// output is stdout or stderr of a process. It closes itself at its end, or at
// any other error, which reaches the reader as it was.
type output struct {
	pipe    io.ReadCloser // nil: there is none
	streams *streams
	read    atomic.Uint64 // bytes

	mu     sync.Mutex // guards following
	closed bool
	err    error // why it was closed; nil: somebody closed it before its end
}

func (o *output) Read(b []byte) (int, error) {
	n, err := o.pipe.Read(b)
	o.read.Add(uint64(n))
	if err == nil {
		return n, nil
	}
	o.close(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return n, io.EOF
	}
	return n, o.err
}

// Close ends the stream before its end; a Read that is under way gets io.EOF.
func (o *output) Close() error { return o.close(nil) }

func (o *output) isOpen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pipe != nil && !o.closed
}

// close closes the pipe once, and keeps why.
func (o *output) close(why error) error {
	o.mu.Lock()
	first := !o.closed && o.pipe != nil
	if first {
		o.closed = true
		o.err = why
	}
	o.mu.Unlock()
	if !first {
		return nil
	}
	err := o.pipe.Close()
	o.streams.outputEnded()
	return err
}
