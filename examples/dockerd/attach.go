package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types"
	eventsapi "github.com/moby/moby/api/types/events"
	"github.com/moby/term"
)

// hijacked is the connection of a request, which streams take over.
type hijacked struct {
	net.Conn
	in    io.Reader     // what comes from the client
	head  string        // of the answer
	once  sync.Once     // of begin
	begun chan struct{} // closed when the head is written, or cannot be
}

// hijack takes over the connection. The body of the request must have been read.
// Output may be written at once; it waits for begin.
func hijack(w http.ResponseWriter, r *http.Request, terminal bool) (*hijacked, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	contentType := types.MediaTypeMultiplexedStream
	if terminal {
		contentType = types.MediaTypeRawStream
	}
	h := &hijacked{Conn: conn, in: buffered.Reader, begun: make(chan struct{})}
	h.head = "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\n\r\n"
	if r.Header.Get("Upgrade") != "" {
		h.head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + contentType + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	}
	return h, nil
}

// begin tells the client that its connection is ready: it goes on then.
func (h *hijacked) begin() {
	h.once.Do(func() {
		_, _ = io.WriteString(h.Conn, h.head) // if it fails the next write does, too
		close(h.begun)
	})
}

func (h *hijacked) Write(p []byte) (int, error) {
	<-h.begun
	return h.Conn.Write(p)
}

// lingering is how long the client may take to read the last output.
const lingering = 10 * time.Second

// finish ends the output, and closes the connection when the client has done so, or
// after a while: a connection that is closed with input unread loses output.
func (h *hijacked) finish(inputOver <-chan struct{}) {
	defer h.Close()
	half, ok := h.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	timer := time.NewTimer(lingering)
	defer timer.Stop()
	select {
	case <-inputOver:
	case <-timer.C:
	}
}

// readInput hands what the client sends to stdin, and reads on when that takes
// nothing more. It returns whether the client has typed the keys to detach.
func (h *hijacked) readInput(stdin io.Writer, keys []byte) (detached bool) {
	if stdin != nil {
		in := h.in
		if len(keys) > 0 {
			in = term.NewEscapeProxy(in, keys)
		}
		if _, err := io.Copy(stdin, in); errors.As(err, new(term.EscapeError)) {
			return true
		}
	}
	return false
}

// attachContainer connects the client with the current run of a container, or with
// the next one.
func (d *daemon) attachContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	rec, run := c.snapshot(), c.current()
	keys, err := detachKeys(r, rec.Config.Tty)
	if err != nil {
		return err
	}
	conn, err := hijack(w, r, rec.Config.Tty)
	if err != nil {
		return err
	}
	a := &attachment{conn: conn, container: c, run: run, gone: make(chan struct{})}
	stdout, stderr := outputs(conn, rec.Config.Tty, isTrue(r, "stdout"), isTrue(r, "stderr"))
	if isTrue(r, "logs") {
		conn.begin()
		if err := copyLogs(d.ctx, c, logQuery{}, stdout, stderr); err != nil {
			a.leave()
		}
	}
	if !isTrue(r, "stream") {
		conn.begin()
		return conn.Close()
	}
	defer a.connect(stdout, stderr)()
	d.tell(c, eventsapi.ActionAttach, nil)
	conn.begin()
	var input io.Writer
	if isTrue(r, "stdin") && run.streams.input != nil {
		input = run.streams.input
	}
	if a.serve(d.ctx, input, keys) {
		d.tell(c, eventsapi.ActionDetach, nil)
	}
	return nil
}

// detachKeys returns the keys by which the user of a terminal leaves it.
func detachKeys(r *http.Request, terminal bool) ([]byte, error) {
	text := r.FormValue("detachKeys")
	if text == "" && terminal {
		text = "ctrl-p,ctrl-q"
	}
	if text == "" {
		return nil, nil
	}
	keys, err := term.ToBytes(text)
	if err != nil {
		return nil, invalid("detachKeys %q: %v", text, err)
	}
	return keys, nil
}

// attachment is a client that is attached to a run.
type attachment struct {
	conn      *hijacked
	container *managed
	run       *run
	detached  atomic.Bool
	once      sync.Once
	gone      chan struct{} // closed when the client takes no output any longer, or has detached
}

func (a *attachment) leave() { a.once.Do(func() { close(a.gone) }) }

// connect lets the client have the output; what it returns ends that.
func (a *attachment) connect(stdout, stderr io.Writer) (disconnect func()) {
	out, err := &client{stdout, a.leave}, &client{stderr, a.leave}
	if stdout != nil {
		a.run.streams.stdout.attach(out)
	}
	if stderr != nil {
		a.run.streams.stderr.attach(err)
	}
	return func() {
		a.run.streams.stdout.detach(out)
		a.run.streams.stderr.detach(err)
	}
}

// serve returns when the run is over, or the client has gone. It reports whether the
// client has detached.
func (a *attachment) serve(ctx context.Context, stdin io.Writer, keys []byte) (detached bool) {
	inputOver := make(chan struct{})
	go func() {
		defer close(inputOver)
		if a.conn.readInput(stdin, keys) {
			a.detached.Store(true)
			a.leave()
			return
		}
		config := a.container.snapshot().Config
		if stdin != nil && config.StdinOnce && !config.Tty {
			a.run.streams.input.Close()
		}
		_, _ = io.Copy(io.Discard, a.conn.in)
	}()
	select {
	case <-a.run.over:
	case <-a.container.gone:
	case <-ctx.Done():
	case <-a.gone:
		a.conn.Close()
		return a.detached.Load()
	}
	a.conn.finish(inputOver)
	return false
}

// resizeContainer sets the size of the console.
func (d *daemon) resizeContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	height, width, err := consoleSize(r)
	if err != nil {
		return err
	}
	live, err := c.running()
	if err != nil {
		return err
	}
	if err := live.Resize(r.Context(), width, height); err != nil {
		return err
	}
	d.tell(c, eventsapi.ActionResize, map[string]string{"height": fmt.Sprint(height), "width": fmt.Sprint(width)})
	w.WriteHeader(http.StatusOK)
	return nil
}

func consoleSize(r *http.Request) (height, width int, err error) {
	for name, value := range map[string]*int{"h": &height, "w": &width} {
		if _, err := fmt.Sscan(r.FormValue(name), value); err != nil {
			return 0, 0, invalid("%s %q is not a number of characters", name, r.FormValue(name))
		}
	}
	return height, width, nil
}
