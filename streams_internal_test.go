package libcontainerd

import (
	"errors"
	"io"
	"testing"
)

// brokenPipe is a pipe that delivers something and then fails.
type brokenPipe struct {
	err    error
	closed int
}

func (p *brokenPipe) Read(b []byte) (int, error) { return copy(b, "last words"), p.err }
func (p *brokenPipe) Close() error               { p.closed++; return nil }

// A read error reaches the reader as it was, with what was read. It closes the pipe,
// so that the process does not block on it. See lessons_test.go: 43, D45.
func TestReadErrorClosesThePipeAndIsPassedOn(t *testing.T) {
	for _, failure := range []error{io.EOF, CodeBrokenPipe, errors.New("of no kind")} {
		pipe := &brokenPipe{err: failure}
		s := newStreams(&process{container: &container{client: &client{}}}, pipes{stdout: pipe})
		buf := make([]byte, 100)
		n, err := s.stdout.Read(buf)
		if string(buf[:n]) != "last words" || err != failure { //nolint:errorlint // as it was, not wrapped
			t.Errorf("read %q, %v, want %v", buf[:n], err, failure)
		}
		if _, err := s.stdout.Read(buf); err != failure { //nolint:errorlint // as it was, not wrapped
			t.Errorf("the next read: %v", err)
		}
		s.cut(nil)
		if pipe.closed != 1 {
			t.Errorf("the pipe was closed %d times", pipe.closed)
		}
	}
}
