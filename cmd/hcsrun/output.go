package main

import (
	"io"
	"os"
	"sync"

	"github.com/containerd/console"
)

// screen is the common part of the outputs of one hcsrun. They are often the same
// console, so they take turns, and the spinner is erased before either writes.
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

// output is standard output or standard error. It remembers its first failure, so
// that commands need not check each write.
type output struct {
	screen   *screen
	terminal bool // it is a terminal
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

// failure returns the error of the first write that failed, or nil.
func (o *output) failure() error {
	o.screen.mu.Lock()
	defer o.screen.mu.Unlock()
	return o.err
}

// close ends the stream for its reader. What is written after that is dropped,
// which is not a failure.
func (o *output) close() {
	o.screen.mu.Lock()
	defer o.screen.mu.Unlock()
	if file, ok := o.w.(io.Closer); ok {
		_ = file.Close()
	}
	o.w = io.Discard
}

// A colour is the number that terminals give it.
type colour string

const (
	bold   colour = "1"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// paint colours a text if the output shows colours.
func (o *output) paint(c colour, text string) string {
	if !o.colours {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// isTerminal reports whether a stream is a terminal. On Windows it also makes the
// console understand colours.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := console.ConsoleFromFile(file)
	return err == nil
}
