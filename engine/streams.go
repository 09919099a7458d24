package engine

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// outputPatience is how long a writer that takes nothing holds up a Wait after the
// exit. It is longer than the client's grace, after which that cuts the output off.
const outputPatience = 15 * time.Second

// errNotTaken says that a writer is given up.
var errNotTaken = fmt.Errorf("output was cut off: nothing of it was taken for %v after the exit", outputPatience)

// errGoesOn says that output was still to come.
var errGoesOn = errors.New("output was cut off: it need not end")

// stdio is what WithStdio and WithLogFile have connected to a process.
type stdio struct {
	stdin          io.Reader // nil: no input
	stdout, stderr io.Writer // nil: dropped
	log            *logFile  // nil: none
	input          input
}

// connect starts to copy between the pipes of a run and the ends of the user. The
// input is read until over is closed.
func (e *Engine) connect(s *stdio, pipe libcontainerd.IOPipe, over <-chan struct{}) *output {
	if pipe.Stdin != nil {
		s.input.connect(e, s.stdin, pipe, over)
	}
	o := &output{done: make(chan struct{}), pipe: pipe}
	var copies sync.WaitGroup
	for _, stream := range []struct {
		name string
		r    io.Reader
		w    io.Writer
	}{{"stdout", pipe.Stdout, s.stdout}, {"stderr", pipe.Stderr, s.stderr}} {
		if stream.r != nil {
			writer := e.writers.share(stream.w)
			log := s.log.writer(stream.name)
			copies.Go(func() {
				defer e.writers.release(writer)
				defer log.flush()
				o.copy(stream.name, stream.r, writer, log)
			})
		}
	}
	go func() {
		copies.Wait()
		close(o.done)
	}()
	return o
}

// output is the output of one run of a process.
type output struct {
	pipe  libcontainerd.IOPipe
	done  chan struct{} // closed when all is read and written
	moved atomic.Uint64 // bytes that were read and written

	mu   sync.Mutex // guards following
	errs []error
}

// copy reads r to its end, whatever becomes of the writers.
func (o *output) copy(name string, r io.Reader, writers ...io.Writer) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		for i, w := range writers {
			if n == 0 || w == nil {
				continue
			}
			if _, err := w.Write(buffer[:n]); err != nil {
				o.fail(fmt.Errorf("%s was not written any further: %w", name, err))
				writers[i] = nil
			}
		}
		o.moved.Add(uint64(n))
		if err != nil {
			if err != io.EOF {
				o.fail(fmt.Errorf("%s was cut off: %w", name, err))
			}
			return
		}
	}
}

func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, err)
}

// wait waits, after the exit, until the output is complete, for as long as
// something moves; the error says what was cut off. A nil output is complete.
func (o *output) wait(closing <-chan struct{}) error {
	if o == nil {
		return nil
	}
	for moved := o.moved.Load(); ; moved = o.moved.Load() {
		timer := time.NewTimer(outputPatience)
		select {
		case <-o.done:
			timer.Stop()
			return o.err()
		case <-closing:
			timer.Stop()
			return ErrClosed
		case <-timer.C:
			if moved == o.moved.Load() {
				o.cut(errNotTaken)
				return o.err()
			}
		}
	}
}

// cut ends the reading, and says why. A nil output is not there to be cut.
func (o *output) cut(why error) {
	if o == nil {
		return
	}
	o.fail(why)
	for _, r := range []io.Reader{o.pipe.Stdout, o.pipe.Stderr} {
		if c, ok := r.(io.Closer); ok {
			c.Close()
		}
	}
}

func (o *output) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Join(o.errs...)
}

// input hands what a reader gives to the run of the process that wants it.
type input struct {
	pump sync.Once

	mu    sync.Mutex     // guards following
	pipe  io.WriteCloser // of the current run; nil: none, or it takes nothing more
	ready chan struct{}  // closed when pipe is set; nil: nobody waits
	ended bool           // the reader has, and every run's input ends at once
}

// connect makes pipe the input, and starts to read r if nobody does yet.
func (i *input) connect(e *Engine, r io.Reader, pipe libcontainerd.IOPipe, over <-chan struct{}) {
	i.mu.Lock()
	i.pipe = pipe.Stdin
	if i.ready != nil {
		close(i.ready)
		i.ready = nil
	}
	ended := (r == nil || i.ended) && !pipe.Terminal
	i.mu.Unlock()
	if ended {
		e.spawn(func() { pipe.Stdin.Close() }) // it asks HCS
	}
	if r != nil {
		i.pump.Do(func() { go i.copy(e, r, pipe.Terminal, over) })
	}
}

// copy hands over what it reads, until the end of either side. Only a Read of r may
// outlive the process.
func (i *input) copy(e *Engine, r io.Reader, terminal bool, over <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		if n > 0 && !i.write(e, buffer[:n], over) {
			return
		}
		if err == nil {
			continue
		}
		if pipe := i.end(); pipe != nil && !terminal {
			e.spawn(func() { pipe.Close() }) // it asks HCS
		}
		return
	}
}

// write writes b to the current run, or to the next one, and reports whether there
// may be more to write. What a run does not take is lost.
func (i *input) write(e *Engine, b []byte, over <-chan struct{}) bool {
	for {
		i.mu.Lock()
		pipe := i.pipe
		if pipe == nil && i.ready == nil {
			i.ready = make(chan struct{})
		}
		ready := i.ready
		i.mu.Unlock()
		if pipe != nil {
			if _, err := pipe.Write(b); err != nil {
				i.drop(pipe)
			}
			return true
		}
		select {
		case <-ready:
		case <-over:
			return false
		case <-e.closing:
			return false
		}
	}
}

// drop ends the use of a pipe that takes nothing more.
func (i *input) drop(pipe io.WriteCloser) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pipe == pipe {
		i.pipe = nil
	}
}

// end says that there is nothing more to read, and returns the current pipe.
func (i *input) end() io.WriteCloser {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	return i.pipe
}

// writers gives each io.Writer one lock, however many streams share it.
type writers struct {
	mu     sync.Mutex // guards following
	shared map[io.Writer]*sharedWriter
}

type sharedWriter struct {
	users int // guarded by writers.mu

	mu sync.Mutex // held while w writes
	w  io.Writer
}

func (s *sharedWriter) Write(b []byte) (int, error) {
	if s == nil {
		return len(b), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// share returns w with its lock, nil for nil.
func (ws *writers) share(w io.Writer) *sharedWriter {
	switch {
	case w == nil:
		return nil
	case !reflect.ValueOf(w).Comparable(): // so it is not the same as any other
		return &sharedWriter{w: w}
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	s := ws.shared[w]
	if s == nil {
		s = &sharedWriter{w: w}
		if ws.shared == nil {
			ws.shared = make(map[io.Writer]*sharedWriter)
		}
		ws.shared[w] = s
	}
	s.users++
	return s
}

// release ends one use of what share returned.
func (ws *writers) release(s *sharedWriter) {
	if s == nil {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	s.users--
	if s.users == 0 {
		delete(ws.shared, s.w)
	}
}
