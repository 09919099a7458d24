package main

import (
	"io"
	"os"
	"sync"

	"github.com/containerd/console"
)

// screen is what the outputs of one hcsrun have in common: they are often the
// same console, so that they take turns, and the spinner gives way to both.
type screen struct {
	mu      sync.Mutex // guards following, and the outputs
	spinner io.Writer  // where a spinner stands on the last line, or nil
}

// eraseLocked takes the spinner off the screen.
func (s *screen) eraseLocked() {
	if s.spinner != nil {
		_, _ = io.WriteString(s.spinner, "\r\x1b[K")
		s.spinner = nil
	}
}

// output is standard output or standard error. It remembers its first failure,
// so that no command needs to look at each of its writes.
type output struct {
	screen   *screen
	terminal bool // it is a terminal, whose user looks at it now
	colours  bool

	w   io.Writer // screen.mu held
	err error     // screen.mu held
}

func newOutput(s *screen, w io.Writer) *output {
	terminal := isTerminal(w)
	_, never := os.LookupEnv("NO_COLOR")
	return &output{screen: s, w: w, terminal: terminal, colours: terminal && !never && os.Getenv("TERM") != "dumb"}
}

func (o *output) Write(p []byte) (int, error) {
	o.screen.mu.Lock()
	defer o.screen.mu.Unlock()
	o.screen.eraseLocked()
	n, err := o.w.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// failure is the first write's that failed, or nil.
func (o *output) failure() error {
	o.screen.mu.Lock()
	defer o.screen.mu.Unlock()
	return o.err
}

// close ends the stream for whoever reads it. What is written from now on is lost,
// and no failure.
func (o *output) close() {
	o.screen.mu.Lock()
	defer o.screen.mu.Unlock()
	if file, ok := o.w.(io.Closer); ok {
		_ = file.Close()
	}
	o.w = io.Discard
}

// A colour is the number by which terminals know it.
type colour string

const (
	bold   colour = "1"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// paint colours a text if that is wanted.
func (o *output) paint(c colour, text string) string {
	if !o.colours {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// isTerminal reports whether a stream is a terminal. On Windows it has the
// console understand colours.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := console.ConsoleFromFile(file)
	return err == nil
}
