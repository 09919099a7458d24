package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	eventsapi "github.com/moby/moby/api/types/events"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// execution is a process that a client has asked for in a container. The daemon
// forgets it with the container, and does not keep it on the disk.
type execution struct {
	id        string
	container *managed
	request   container.ExecCreateRequest
	over      chan struct{} // closed when the process has ended

	mu      sync.Mutex // guards following
	started bool
	process *engine.Process // nil: it does not run yet, or could not be started
	ended   time.Time       // zero: it has not
	code    int             // once it has ended
}

// keptExecs is how long an execution that has ended can be inspected.
const keptExecs = 5 * time.Minute

func (d *daemon) createExec(w http.ResponseWriter, r *http.Request, c *managed) error {
	var request container.ExecCreateRequest
	if err := decode(r, &request); err != nil {
		return err
	}
	switch {
	case len(request.Cmd) == 0:
		return invalid("no exec command specified")
	case request.Privileged:
		return unsupported("privileged processes are not served")
	}
	if _, err := c.running(); err != nil {
		return err
	}
	e := &execution{id: newID(), container: c, request: request, over: make(chan struct{})}
	d.mu.Lock()
	for id, other := range d.execs {
		if other.container == c && other.isOld() {
			delete(d.execs, id)
		}
	}
	d.execs[e.id] = e
	d.mu.Unlock()
	d.tell(c, e.action(eventsapi.ActionExecCreate), map[string]string{"execID": e.id})
	return reply(w, http.StatusCreated, container.ExecCreateResponse{ID: e.id})
}

// action is what Docker calls an action that has a command line.
func (e *execution) action(action eventsapi.Action) eventsapi.Action {
	return action + ": " + eventsapi.Action(strings.Join(e.request.Cmd, " "))
}

// execByID returns an execution, nil if there is none.
func (d *daemon) execByID(id string) *execution {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.execs[id]
}

func (e *execution) isOld() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.ended.IsZero() && time.Since(e.ended) > keptExecs
}

func (d *daemon) findExec(r *http.Request) (*execution, error) {
	id := r.PathValue("id")
	if e := d.execByID(id); e != nil {
		return e, nil
	}
	return nil, notFound("No such exec instance: %s", id)
}

// startExec starts the process. The client has the streams on its connection, or
// nothing of them if it asks for none.
func (d *daemon) startExec(w http.ResponseWriter, r *http.Request) error {
	e, err := d.findExec(r)
	if err != nil {
		return err
	}
	var request container.ExecStartRequest
	if err := decode(r, &request); err != nil {
		return err
	}
	live, err := e.container.running()
	if err != nil {
		return err
	}
	if err := e.claim(request.ConsoleSize); err != nil {
		return err
	}
	if request.Detach {
		if err := d.runExec(e, live, nil, nil, nil); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	conn, err := hijack(w, r, e.request.Tty)
	if err != nil {
		e.end(startCode(err))
		return err
	}
	conn.begin()
	d.serveExec(e, live, conn)
	return nil
}

// claim lets a process be started once, with a console of a size that may be nil.
func (e *execution) claim(size *[2]uint) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started {
		return conflict("exec %s was started already", e.id)
	}
	e.started = true
	if size != nil {
		e.request.ConsoleSize = size // nobody else uses it before the start
	}
	return nil
}

func (e *execution) end(code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended, e.code = time.Now(), code
}

// serveExec runs the process with the streams on the connection. An error of the
// start is output, since the head of the answer is gone.
func (d *daemon) serveExec(e *execution, live *engine.Container, conn *hijacked) {
	stdout, stderr := outputs(conn, e.request.Tty, e.request.AttachStdout, e.request.AttachStderr)
	input, inputEnd := io.Pipe()
	var stdin io.Reader
	if e.request.AttachStdin {
		stdin = input
	}
	inputOver := make(chan struct{})
	go func() {
		defer close(inputOver)
		if stdin != nil {
			_, _ = io.Copy(inputEnd, conn.in)
			inputEnd.Close()
		}
		_, _ = io.Copy(io.Discard, conn.in)
	}()
	if err := d.runExec(e, live, stdin, stdout, stderr); err != nil {
		if stderr == nil {
			stderr = conn
		}
		fmt.Fprintf(stderr, "%v\r\n", err)
	} else {
		_ = d.await(d.ctx, e.over)
	}
	input.Close()
	conn.finish(inputOver)
}

// runExec starts the process.
func (d *daemon) runExec(e *execution, live *engine.Container, stdin io.Reader, stdout, stderr io.Writer) error {
	process, err := execProcess(e.container.snapshot(), e.request)
	if err == nil {
		var p *engine.Process
		p, err = live.Exec(d.ctx, process, engine.WithName(e.id), engine.WithStdio(stdin, stdout, stderr))
		if err == nil {
			d.noteExec(e, p)
			return nil
		}
		err = startError(err)
	}
	e.end(startCode(err))
	return err
}

// noteExec notes the start of a process, and has its end waited for.
func (d *daemon) noteExec(e *execution, p *engine.Process) {
	e.mu.Lock()
	e.process = p
	e.mu.Unlock()
	d.spawn(func() {
		exit, err := p.Wait(d.ctx)
		if err != nil {
			return // the daemon ends
		}
		e.end(int(exit.Code))
		close(e.over)
	})
}

func (d *daemon) inspectExec(w http.ResponseWriter, r *http.Request) error {
	e, err := d.findExec(r)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, e.inspect())
}

func (e *execution) inspect() container.ExecInspectResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	answer := container.ExecInspectResponse{
		ID: e.id, ContainerID: e.container.id, Running: e.process != nil && e.ended.IsZero(),
		OpenStdin: e.request.AttachStdin, OpenStdout: e.request.AttachStdout, OpenStderr: e.request.AttachStderr,
		ProcessConfig: &container.ExecProcessConfig{
			Tty: e.request.Tty, Entrypoint: e.request.Cmd[0], Arguments: e.request.Cmd[1:], User: e.request.User,
		},
	}
	if e.process != nil {
		answer.Pid = int(e.process.Pid())
	}
	if !e.ended.IsZero() {
		answer.ExitCode, answer.CanRemove = new(e.code), true
	}
	return answer
}

// resizeExec sets the size of the console.
func (d *daemon) resizeExec(w http.ResponseWriter, r *http.Request) error {
	e, err := d.findExec(r)
	if err != nil {
		return err
	}
	height, width, err := consoleSize(r)
	if err != nil {
		return err
	}
	e.mu.Lock()
	process := e.process
	e.mu.Unlock()
	if process == nil {
		return conflict("exec %s does not run", e.id)
	}
	if err := process.Resize(r.Context(), width, height); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
