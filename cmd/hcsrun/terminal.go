package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/containerd/console"
	"github.com/seed-609fd248/libcontainerd"
)

// terminal connects a process to the streams of hcsrun.
type terminal struct {
	stdin          io.Reader // nil: the process has no input
	stdout, stderr io.Writer
	emulated       bool            // the process has an emulated console
	console        console.Console // what the user sits at, if the process is to have it; or nil

	outputs  sync.WaitGroup // one for each stream that is copied
	lost     chan struct{}  // receives when an output could not be written
	detached chan struct{}  // closed when the user has pressed the detach keys
	released chan struct{}  // closed by release
	release  func()         // gives the console back to the user, as it was

	looking sync.Mutex // held while the size is looked at: never after release

	mu    sync.Mutex     // guards following
	errs  []error        // what of the outputs is lost, and why
	taken bool           // a process has the user's console
	typed *io.PipeWriter // what the user types; nil before input
}

// newTerminal connects a process that has an emulated console, or none, with the
// streams of hcsrun. The caller calls release.
func (a *app) newTerminal(stdin io.Reader, emulated bool) *terminal {
	t := &terminal{
		stdin: stdin, stdout: a.stdout, stderr: a.stderr, emulated: emulated,
		lost: make(chan struct{}, 2), detached: make(chan struct{}), released: make(chan struct{}),
	}
	if emulated {
		t.console = consoleOf(stdin)
	}
	t.release = sync.OnceFunc(func() {
		close(t.released)
		t.mu.Lock()
		if t.typed != nil {
			_ = t.typed.Close() // nobody reads it any more
		}
		t.mu.Unlock()
		t.looking.Lock()
		defer t.looking.Unlock()
		if t.console != nil {
			_ = t.console.Reset()
		}
	})
	return t
}

// consoleOf is the console that a stream is, or nil.
func consoleOf(stream io.Reader) console.Console {
	file, ok := stream.(*os.File)
	if !ok {
		return nil
	}
	c, err := console.ConsoleFromFile(file)
	if err != nil {
		return nil
	}
	return c
}

// size is that of the user's console, 0 if there is none.
func (t *terminal) size() (width, height int) {
	if t.console == nil {
		return 0, 0
	}
	size, err := t.console.Size()
	if err != nil {
		return 0, 0
	}
	return int(size.Width), int(size.Height)
}

// attach begins to copy and returns at once.
func (t *terminal) attach(pipes libcontainerd.IOPipe, resize func(width, height int) error) error {
	// Nobody waits for the input: a read from a terminal ends when the user
	// types something, which may be never.
	go t.feed(pipes.Stdin)
	t.copy(t.stdout, pipes.Stdout)
	t.copy(t.stderr, pipes.Stderr)
	return t.take(resize)
}

// take gives the user's console to a process that runs: it gets every key that the
// user presses, and resize is told when his window changes.
func (t *terminal) take(resize func(width, height int) error) error {
	if t.console == nil {
		return nil
	}
	if err := t.console.SetRaw(); err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	t.mu.Lock()
	t.taken = true
	t.mu.Unlock()
	go t.followSize(resize)
	return nil
}

// input is what a process reads, nil if it has no input.
func (t *terminal) input() io.Reader {
	if t.stdin == nil || t.console == nil {
		return t.stdin
	}
	keys, typed := io.Pipe()
	t.mu.Lock()
	t.typed = typed
	t.mu.Unlock()
	go func() {
		defer t.releaseOnPanic()
		if _, err := io.Copy(typed, &detachReader{Reader: t.stdin}); errors.Is(err, errDetached) {
			close(t.detached)
		}
	}()
	return keys
}

// feed sends all input to the process. It is no failure if the
// process does not read all of it. One with a console keeps its input open, since its end would end the
// process.
func (t *terminal) feed(stdin io.WriteCloser) {
	defer t.releaseOnPanic()
	if stdin == nil {
		return
	}
	if input := t.input(); input != nil {
		_, _ = io.Copy(stdin, input)
	}
	if t.emulated {
		<-t.released
	}
	_ = stdin.Close()
}

func (t *terminal) copy(to io.Writer, from io.Reader) {
	if from == nil {
		return
	}
	t.outputs.Go(func() {
		defer t.releaseOnPanic()
		if _, err := io.Copy(t.output(to), from); err != nil {
			t.mu.Lock()
			t.errs = append(t.errs, err)
			t.mu.Unlock()
			// The process must not block on output that has nowhere to go.
			_, _ = io.Copy(io.Discard, from)
		}
	})
}

// output is where a process writes.
func (t *terminal) output(w io.Writer) io.Writer { return losing{t, w} }

// losing tells of output that cannot be written.
type losing struct {
	*terminal
	io.Writer
}

func (l losing) Write(p []byte) (int, error) {
	n, err := l.Writer.Write(p)
	if err != nil {
		select {
		case l.lost <- struct{}{}:
		default: // it is told already
		}
	}
	return n, err
}

// takes passes a Ctrl-C on to the program that has the user's console, and reports
// whether it did. Any other signal asks hcsrun to stop.
func (t *terminal) takes(signal os.Signal) bool {
	t.mu.Lock()
	taken, typed := t.taken, t.typed
	t.mu.Unlock()
	if !taken || typed == nil || signal != os.Interrupt {
		return false
	}
	const ctrlC = 3
	go typed.Write([]byte{ctrlC}) // the program may not read it soon
	return true
}

// drain waits until all output is written, and tells what of it is lost.
func (t *terminal) drain() error {
	t.outputs.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.errs...)
}

// sizeInterval is how often the size of a window is looked at: Windows tells
// nobody who reads keys as bytes.
const sizeInterval = 250 * time.Millisecond

// followSize passes on what the user does to his window. A resize that fails, as
// it does until the process runs, is tried again.
func (t *terminal) followSize(resize func(width, height int) error) {
	defer t.releaseOnPanic()
	tick := time.NewTicker(sizeInterval)
	defer tick.Stop()
	var lastWidth, lastHeight int
	for {
		if width, height := t.currentSize(); width > 0 && height > 0 && (width != lastWidth || height != lastHeight) {
			if resize(width, height) == nil {
				lastWidth, lastHeight = width, height
			}
		}
		select {
		case <-tick.C:
		case <-t.released:
			return
		}
	}
}

// currentSize is that of the user's console, 0 once it was given back.
func (t *terminal) currentSize() (width, height int) {
	t.looking.Lock()
	defer t.looking.Unlock()
	select {
	case <-t.released:
		return 0, 0
	default:
		return t.size()
	}
}

// releaseOnPanic is deferred where hcsrun might panic: the user shall be able to
// read it.
func (t *terminal) releaseOnPanic() {
	if p := recover(); p != nil {
		t.release()
		panic(p)
	}
}
