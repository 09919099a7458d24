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
	console        console.Console // the user's console, if the process gets it; or nil

	outputs  sync.WaitGroup // one for each stream that is copied
	lost     chan struct{}  // receives when an output could not be written
	detached chan struct{}  // closed when the user has pressed the detach keys
	released chan struct{}  // closed by release
	release  func()         // gives the console back to the user, as it was

	looking sync.Mutex // held while the size is read, which does not happen after release

	mu    sync.Mutex     // guards following
	errs  []error        // why output was lost
	taken bool           // a process has the user's console
	typed *io.PipeWriter // what the user types; nil before input
}

// newTerminal connects a process, with or without an emulated console, with the
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
			_ = t.typed.Close() // it is no longer read
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

// consoleOf returns a stream as a console, nil if it is not one.
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

// size returns the size of the user's console, 0 if there is none.
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
	// Do not wait for the input: a read from a terminal ends when the user
	// types something, which may be never.
	go t.feed(pipes.Stdin)
	t.copy(t.stdout, pipes.Stdout)
	t.copy(t.stderr, pipes.Stderr)
	return t.take(resize)
}

// take gives the user's console to a running process: the process gets every key,
// and resize is called when the size of the window changes.
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

// input is the input of a process, nil if it has none.
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

// feed sends all input to the process. The process need not read all of it. A
// process with a console keeps its input open, because the end of its input would
// end the process.
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

// output returns the writer for an output of a process.
func (t *terminal) output(w io.Writer) io.Writer { return losing{t, w} }

// losing reports output that cannot be written.
type losing struct {
	*terminal
	io.Writer
}

func (l losing) Write(p []byte) (int, error) {
	n, err := l.Writer.Write(p)
	if err != nil {
		select {
		case l.lost <- struct{}{}:
		default: // lost says so already
		}
	}
	return n, err
}

// takes passes a Ctrl-C on to the program that has the user's console, and
// reports whether it did. Any other signal asks hcsrun to stop.
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

// drain waits until all output is written, and returns why output was lost, if
// any was.
func (t *terminal) drain() error {
	t.outputs.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.errs...)
}

// sizeInterval is how often the size of the window is read. Windows does not
// report a change to a program that reads keys as bytes.
const sizeInterval = 250 * time.Millisecond

// followSize passes changes of the window's size on. A resize that fails, as it
// does until the process runs, is tried again.
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

// currentSize returns the size of the user's console, 0 after release.
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

// releaseOnPanic is deferred where hcsrun might panic: it gives the console back,
// so that the user can read the panic.
func (t *terminal) releaseOnPanic() {
	if p := recover(); p != nil {
		t.release()
		panic(p)
	}
}
