package main

import (
	"encoding/binary"
	"io"
	"slices"
	"sync"
)

// streams are the ends of a run's streams to which clients attach. They outlive the
// restarts that the policy makes.
type streams struct {
	stdin          *io.PipeReader // nil: the container has no input
	input          *io.PipeWriter // the other end of stdin
	stdout, stderr broadcast
}

func newStreams(openStdin bool) *streams {
	s := &streams{}
	if openStdin {
		s.stdin, s.input = io.Pipe()
	}
	return s
}

// stdio returns what engine.WithStdio wants.
func (s *streams) stdio() (io.Reader, io.Writer, io.Writer) {
	if s.stdin == nil {
		return nil, &s.stdout, &s.stderr // a nil *io.PipeReader would be no nil io.Reader
	}
	return s.stdin, &s.stdout, &s.stderr
}

// close ends the input, and whoever still writes to it.
func (s *streams) close() {
	if s.stdin != nil {
		s.stdin.Close()
		s.input.Close()
	}
}

// broadcast hands what is written to it to every client that is attached, and drops
// it if there is none. It never fails: a client that has gone does not concern the
// container.
type broadcast struct {
	mu      sync.Mutex // guards following
	clients []*client  // is replaced, not changed
}

// client is an attached client, as an output sees it.
type client struct {
	w    io.Writer
	gone func() // is called when w has failed
}

func (b *broadcast) Write(p []byte) (int, error) {
	b.mu.Lock()
	clients := b.clients
	b.mu.Unlock()
	for _, c := range clients {
		if _, err := c.w.Write(p); err != nil {
			b.detach(c)
			c.gone()
		}
	}
	return len(p), nil
}

func (b *broadcast) attach(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients = append(slices.Clone(b.clients), c)
}

func (b *broadcast) detach(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients = slices.DeleteFunc(slices.Clone(b.clients), func(other *client) bool { return other == c })
}

// Streams, as the header of a frame numbers them.
const (
	stdoutFrame = 1
	stderrFrame = 2
)

// frames writes each piece of output as a frame, so that several streams share a
// connection: the stream, three zeros, the length in four bytes, the output.
type frames struct {
	w      io.Writer
	stream byte
}

// Write writes the frame at once, so that those of other streams do not get into it.
func (f frames) Write(p []byte) (int, error) {
	frame := make([]byte, 8, 8+len(p))
	frame[0] = f.stream
	binary.BigEndian.PutUint32(frame[4:], uint32(len(p))) // the engine reads at most 32 KiB at a time
	if _, err := f.w.Write(append(frame, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// outputs returns the writers for the output to w, as frames unless there is a
// terminal. A stream that is not wanted is nil.
func outputs(w io.Writer, terminal, stdout, stderr bool) (out, err io.Writer) {
	if terminal {
		if stdout || stderr {
			return w, nil
		}
		return nil, nil
	}
	if stdout {
		out = frames{w, stdoutFrame}
	}
	if stderr {
		err = frames{w, stderrFrame}
	}
	return out, err
}
