package main

import (
	"errors"
	"io"
	"sync"

	"github.com/seed-609fd248/libcontainerd"
)

// terminal connects a process to the streams of hcsrun.
type terminal struct {
	stdin          io.Reader // nil: the process has no input
	stdout, stderr io.Writer

	outputs sync.WaitGroup // one for each stream that is copied

	mu   sync.Mutex // guards following
	errs []error    // what went wrong with the outputs
}

func newTerminal(stdin io.Reader, stdout, stderr io.Writer) *terminal {
	return &terminal{stdin: stdin, stdout: stdout, stderr: stderr}
}

// attach begins to copy and returns at once.
func (t *terminal) attach(pipes libcontainerd.IOPipe) {
	// Nobody waits for the input: a read from a terminal ends when the user
	// types something, which may be never.
	go t.feed(pipes.Stdin)
	t.copy(t.stdout, pipes.Stdout)
	t.copy(t.stderr, pipes.Stderr)
}

// feed sends all input to the process. A process that reads no more is no
// failure.
func (t *terminal) feed(stdin io.WriteCloser) {
	if stdin == nil {
		return
	}
	if t.stdin != nil {
		_, _ = io.Copy(stdin, t.stdin)
	}
	_ = stdin.Close()
}

func (t *terminal) copy(to io.Writer, from io.Reader) {
	if from == nil {
		return
	}
	t.outputs.Go(func() {
		_, err := io.Copy(to, from)
		if err != nil {
			// The process must not block on output that has nowhere to go.
			_, _ = io.Copy(io.Discard, from)
			t.mu.Lock()
			defer t.mu.Unlock()
			t.errs = append(t.errs, err)
		}
	})
}

// drain waits until all output is written, and tells what of it is lost.
func (t *terminal) drain() error {
	t.outputs.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.errs...)
}

// lockedWriter lets the container, the events and the log write to one stream.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer // mu held
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
