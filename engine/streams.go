package engine

import (
	"context"
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

// streams is what WithStdio was given.
type streams struct {
	stdin          io.Reader // nil: no input
	stdout, stderr io.Writer // nil: dropped
}

// run is one run of a process: that of a container has another one with each restart.
type run struct {
	pipe  libcontainerd.IOPipe
	over  context.Context // done when the process has ended
	end   context.CancelFunc
	moved counter       // bytes of output that were read and written
	done  chan struct{} // closed when all output is read and written
	err   error         // what was cut off; set before done is closed
}

// connect begins a run: it starts to copy between its pipes and the streams of the
// user. pid is that of an exec'd process, 0 for the init process.
func (p *Process) connect(pid uint32, pipe libcontainerd.IOPipe) {
	e := p.container.engine
	r := &run{pipe: pipe, done: make(chan struct{})}
	r.over, r.end = context.WithCancel(context.Background())
	p.container.mu.Lock()
	first := p.run == nil
	p.pid, p.run = pid, r
	p.container.mu.Unlock()
	if pid != 0 {
		p.container.tell(EventExecStart, p.name, libcontainerd.StateInfo{Pid: pid})
	}
	if pipe.Stdin != nil {
		if first {
			go p.read()
		}
		e.spawn(func() { p.feed(r) })
	}
	e.copies.Go(func() {
		defer close(r.done)
		var stdout, stderr error
		var both sync.WaitGroup
		both.Go(func() { stdout = p.copy(r, "stdout", pipe.Stdout, p.stdio.stdout) })
		both.Go(func() { stderr = p.copy(r, "stderr", pipe.Stderr, p.stdio.stderr) })
		both.Wait()
		r.err = errors.Join(stdout, stderr)
	})
}

// copy reads a stream to its end, whatever becomes of the writers.
func (p *Process) copy(r *run, stream string, from io.Reader, to io.Writer) error {
	if from == nil {
		return nil
	}
	if to == nil {
		to = io.Discard
	}
	writers := &p.container.engine.writers
	user := writers.share(to)
	defer writers.release(user)
	log := lineWriter{log: p.log, stream: stream}
	defer log.flush()
	_, err := io.Copy(io.MultiWriter(&log, user, &r.moved), from)
	if err != nil {
		err = fmt.Errorf("%s was cut off: %w", stream, err)
	}
	if user.err != nil {
		err = errors.Join(err, fmt.Errorf("%s was not written any further: %w", stream, user.err))
	}
	return err
}

// finish ends the input, since the process has ended, and waits until the output is
// complete, for as long as something moves. If the process may still run, the output
// is cut off. The error says what is missing. Without a run there is nothing to do.
func (r *run) finish(e *Engine, mayStillRun bool) error {
	if r == nil {
		return nil
	}
	r.end()
	if mayStillRun {
		r.cut()
	}
	for {
		moved := r.moved.Load()
		err := e.awaitFor(r.done, outputPatience)
		switch {
		case err == nil && mayStillRun:
			return errors.Join(errGoesOn, r.err)
		case err == nil:
			return r.err
		case isClosed(e.closing):
			return ErrClosed
		case moved == r.moved.Load():
			r.cut()
			return errNotTaken
		}
	}
}

// cut ends the reading of the output.
func (r *run) cut() {
	for _, stream := range []io.Reader{r.pipe.Stdout, r.pipe.Stderr} {
		if c, ok := stream.(io.Closer); ok {
			c.Close()
		}
	}
}

// read reads stdin for all runs. Only a Read may outlive the process.
func (p *Process) read() {
	defer close(p.input)
	for p.stdio.stdin != nil {
		b := make([]byte, 32<<10)
		n, err := p.stdio.stdin.Read(b)
		if n > 0 {
			select {
			case p.input <- b[:n]:
			case <-p.exited:
				return
			case <-p.container.engine.closing:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// feed hands input to a run, until either has ended. What the run does not take is
// lost.
func (p *Process) feed(r *run) {
	for {
		select {
		case b, more := <-p.input:
			if !more {
				if !r.pipe.Terminal {
					r.pipe.Stdin.Close()
				}
				return
			}
			if _, err := r.pipe.Stdin.Write(b); err != nil {
				return
			}
		case <-r.over.Done():
			return
		case <-p.container.engine.closing:
			return
		}
	}
}

// counter counts what is written to it.
type counter struct{ atomic.Uint64 }

func (c *counter) Write(b []byte) (int, error) {
	c.Add(uint64(len(b)))
	return len(b), nil
}

// writers gives each io.Writer one lock, however many streams share it.
type writers struct {
	mu    sync.Mutex // guards following
	locks map[io.Writer]*writerLock
}

type writerLock struct {
	sync.Mutex     // held while the writer writes
	users      int // guarded by writers.mu
}

// userWriter is a writer of the user for one stream. It drops what comes after the
// first error.
type userWriter struct {
	to   io.Writer
	lock *writerLock
	err  error
}

func (w *userWriter) Write(b []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.err == nil {
		_, w.err = w.to.Write(b)
	}
	return len(b), nil
}

// share returns w with its lock. A w that cannot be compared has none but this.
func (ws *writers) share(w io.Writer) *userWriter {
	if !reflect.ValueOf(w).Comparable() {
		return &userWriter{to: w, lock: &writerLock{users: 2}} // so release leaves it alone
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.locks[w] == nil {
		ws.locks[w] = new(writerLock)
	}
	ws.locks[w].users++
	return &userWriter{to: w, lock: ws.locks[w]}
}

// release ends the use of what share has returned.
func (ws *writers) release(w *userWriter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.lock.users--; w.lock.users == 0 {
		delete(ws.locks, w.to)
	}
}
