package hcstest

import (
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/seed-609fd248/libcontainerd"
)

// pipeSize is how many bytes a pipe holds before its writer blocks, as on
// Windows.
const pipeSize = 64 << 10

// pipe is an anonymous pipe. After the end of the writer is closed, what was
// written can still be read. The methods that close may be called on a nil pipe,
// and more than once.
type pipe struct {
	mu      sync.Mutex // guards following
	changed sync.Cond  // with mu
	buf     []byte     // unread
	written bool       // the writer's end is closed: end of file after buf
	shut    bool       // the writer's end is closed, but the reader is not told
	broken  bool       // the reader's end is closed
}

func newPipe() *pipe {
	p := &pipe{}
	p.changed.L = &p.mu
	return p
}

// Read blocks until there is something to read or the writer is gone.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken:
			return 0, fs.ErrClosed
		case len(b) == 0:
			return 0, nil
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			p.changed.Broadcast()
			return n, nil
		case p.written:
			return 0, io.EOF
		}
		p.changed.Wait()
	}
}

// Write blocks while the pipe is full.
func (p *pipe) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.written || p.shut:
			return n, fs.ErrClosed
		case p.broken:
			return n, libcontainerd.CodeBrokenPipe
		case n == len(b):
			return n, nil
		}
		if room := min(pipeSize-len(p.buf), len(b)-n); room > 0 {
			p.buf = append(p.buf, b[n:n+room]...)
			n += room
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
}

// shutWriter closes the writer's end without telling the reader.
func (p *pipe) shutWriter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	p.changed.Broadcast()
}

func (p *pipe) closeWriter() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written = true
	p.changed.Broadcast()
}

func (p *pipe) closeReader() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	p.buf = nil
	p.changed.Broadcast()
}

// pipeEnd is an end of a pipe that Stdio has handed out.
type pipeEnd struct {
	p     *process
	name  string
	pipe  *pipe
	close func() // what Close does to the pipe
	drop  func() // called when the owner dies
}

func (e *pipeEnd) Close() error {
	if e.forget() {
		e.close()
		e.p.settle()
	}
	return nil
}

// abandon closes the end as Windows does when its owner dies.
func (e *pipeEnd) abandon() {
	if e.forget() {
		e.drop()
		e.p.settle()
	}
}

// forget reports whether the end was open.
func (e *pipeEnd) forget() bool {
	sys := e.p.sys
	sys.mu.Lock()
	defer sys.mu.Unlock()
	i := slices.Index(e.p.ends, e)
	if i < 0 {
		return false
	}
	e.p.ends = slices.Delete(e.p.ends, i, i+1)
	return true
}

type inputEnd struct{ pipeEnd }

func (e *inputEnd) Write(b []byte) (int, error) { return e.pipe.Write(b) }

type outputEnd struct{ pipeEnd }

func (e *outputEnd) Read(b []byte) (int, error) { return e.pipe.Read(b) }

// pipeEnds are the caller's ends of the pipes of a process, nil without a pipe.
type pipeEnds struct {
	stdin          *inputEnd
	stdout, stderr *outputEnd
}

func (p *process) newEnds() pipeEnds {
	var ends pipeEnds
	if p.stdin != nil {
		ends.stdin = &inputEnd{pipeEnd{p: p, name: "stdin", pipe: p.stdin, close: p.shutInput, drop: p.stdin.closeWriter}}
	}
	if p.stdout != nil {
		ends.stdout = p.outputEnd("stdout", p.stdout)
	}
	if p.stderr != nil {
		ends.stderr = p.outputEnd("stderr", p.stderr)
	}
	return ends
}

func (p *process) outputEnd(name string, out *pipe) *outputEnd {
	return &outputEnd{pipeEnd{p: p, name: name, pipe: out, close: out.closeReader, drop: out.closeReader}}
}

// shutInput closes the caller's end of stdin. The program sees the end of its
// input when CloseStdin was called too.
func (p *process) shutInput() {
	p.sys.mu.Lock()
	p.inputShut = true
	over := p.inputOver
	p.sys.mu.Unlock()
	if over {
		p.stdin.closeWriter()
	} else {
		p.stdin.shutWriter()
	}
}

func (ends pipeEnds) list() []*pipeEnd {
	var list []*pipeEnd
	if ends.stdin != nil {
		list = append(list, &ends.stdin.pipeEnd)
	}
	if ends.stdout != nil {
		list = append(list, &ends.stdout.pipeEnd)
	}
	if ends.stderr != nil {
		list = append(list, &ends.stderr.pipeEnd)
	}
	return list
}

func (ends pipeEnds) close() {
	for _, end := range ends.list() {
		_ = end.Close()
	}
}

// interfaces returns a nil interface for each pipe that does not exist.
func (ends pipeEnds) interfaces() (stdin io.WriteCloser, stdout, stderr io.ReadCloser) {
	if ends.stdin != nil {
		stdin = ends.stdin
	}
	if ends.stdout != nil {
		stdout = ends.stdout
	}
	if ends.stderr != nil {
		stderr = ends.stderr
	}
	return stdin, stdout, stderr
}
