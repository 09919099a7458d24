package libcontainerd

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
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

// streams are the standard streams of a process, as its engine uses them. Bytes
// go straight from the pipe to the engine; nothing runs for a stream.
type streams struct {
	client         *client
	stdin          *input  // nil: none
	stdout, stderr *output // nil: none
}

func newStreams(c *client, p pipes, closeStdin func() error) *streams {
	s := &streams{client: c}
	if p.stdin != nil {
		s.stdin = &input{pipe: p.stdin, closeStdin: closeStdin}
	}
	if p.stdout != nil {
		s.stdout = &output{pipe: p.stdout, ended: s.outputEnded}
	}
	if p.stderr != nil {
		s.stderr = &output{pipe: p.stderr, ended: s.outputEnded}
	}
	return s
}

// pipe is the Backend's view.
func (s *streams) pipe(terminal bool) IOPipe {
	p := IOPipe{Terminal: terminal}
	if s.stdin != nil {
		p.Stdin = s.stdin
	}
	if s.stdout != nil {
		p.Stdout = s.stdout
	}
	if s.stderr != nil {
		p.Stderr = s.stderr
	}
	return p
}

// linger leaves the output of a process that has ended open for as long as
// somebody reads it, and cuts it off when nothing was read for grace: HCS does
// not always end a pipe.
func (s *streams) linger(grace time.Duration) {
	if s.stdin != nil {
		s.stdin.closePipe()
	}
	if s.open() {
		s.client.lingering.add(s, grace)
		s.outputEnded() // it may have ended meanwhile
	}
}

// cut closes everything at once; a reader that is left sees the end of its
// stream.
func (s *streams) cut() {
	if s.stdin != nil {
		s.stdin.closePipe()
	}
	for _, o := range []*output{s.stdout, s.stderr} {
		if o != nil {
			o.Close()
		}
	}
}

// open tells whether output is left to be read.
func (s *streams) open() bool {
	return s.stdout != nil && !s.stdout.isClosed() || s.stderr != nil && !s.stderr.isClosed()
}

func (s *streams) outputEnded() {
	if !s.open() {
		s.client.lingering.remove(s)
	}
}

// reads counts the reads that brought something.
func (s *streams) reads() uint64 {
	var n uint64
	for _, o := range []*output{s.stdout, s.stderr} {
		if o != nil {
			n += o.reads.Load()
		}
	}
	return n
}

// lingering holds the streams of processes that have ended and whose output is
// not read yet, each with the timer that cuts it off.
type lingering struct {
	mu     sync.Mutex // guards following
	timers map[*streams]*time.Timer
}

func (l *lingering) add(s *streams, grace time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timers == nil {
		l.timers = make(map[*streams]*time.Timer)
	}
	seen := s.reads()
	l.timers[s] = time.AfterFunc(grace, func() {
		if s.reads() == seen {
			s.cut()
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

// cut cuts all of them off.
func (l *lingering) cut() {
	l.mu.Lock()
	timers := l.timers
	l.timers = nil
	l.mu.Unlock()
	for s, t := range timers {
		t.Stop()
		s.cut()
	}
}

// input is the stdin of a process. Closing it takes two steps: HCS must be told
// besides, once the pipe is closed, or the process never sees the end.
type input struct {
	pipe       io.WriteCloser
	closeStdin func() error

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
	i.tell.Do(func() { i.told = i.closeStdin() })
	return errors.Join(err, i.told)
}

func (i *input) closePipe() error {
	i.once.Do(func() { i.err = i.pipe.Close() })
	return i.err
}

// output is stdout or stderr of a process. It closes itself at its end, or at
// any other error, which reaches the reader as it was.
type output struct {
	pipe  io.ReadCloser
	ended func()
	reads atomic.Uint64 // that brought something

	mu     sync.Mutex // guards following
	closed bool
	err    error // of the Read that ended it, nil if it was cut off
}

func (o *output) Read(b []byte) (int, error) {
	n, err := o.pipe.Read(b)
	if n > 0 {
		o.reads.Add(1)
	}
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

// Close ends the stream before its end; a Read that is under way sees io.EOF.
func (o *output) Close() error { return o.close(nil) }

func (o *output) isClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// close closes the pipe once, and keeps why.
func (o *output) close(why error) error {
	o.mu.Lock()
	first := !o.closed
	if first {
		o.closed = true
		o.err = why
	}
	o.mu.Unlock()
	if !first {
		return nil
	}
	err := o.pipe.Close()
	o.ended()
	return err
}
