package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
	"github.com/containerd/errdefs"
)

// LogQuery says what Logs reads. The zero value is everything that is there.
type LogQuery struct {
	Follow bool      // go on with what is written from now on
	Since  time.Time // leave out what is older
	Tail   int       // only so many of the newest entries that are there; 0: all, below 0: none
}

// LogEntry is one line of output, or a part of a line that is longer than 16 KiB.
// Its JSON is a line of the log file.
type LogEntry struct {
	Text   string    `json:"log"`    // with the line's end; without it, the line goes on in the next entry of the stream
	Stream string    `json:"stream"` // "stdout" or "stderr"
	Time   time.Time `json:"time"`
}

// Logs reads the log file, the oldest entry first. With Follow it goes on until the
// container has exited for good and all is read; ctx ends it earlier. An error ends
// the sequence. A container without a log file is errdefs.ErrFailedPrecondition.
//
// A reader that is slower than the rotation may miss the files that it deletes.
func (c *Container) Logs(ctx context.Context, query LogQuery) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		if c.stdio.log == nil {
			yield(LogEntry{}, fmt.Errorf("container %q has no log file: %w", c.id, errdefs.ErrFailedPrecondition))
			return
		}
		r := &logReader{log: c.stdio.log, since: query.Since}
		defer r.close()
		entries, err := r.tail(ctx, query.Tail)
		for _, entry := range entries {
			if !yield(entry, nil) {
				return
			}
		}
		for err == nil {
			var entry LogEntry
			if entry, err = r.await(ctx, c, query.Follow); err == nil && !yield(entry, nil) {
				return
			}
		}
		if err != io.EOF {
			yield(LogEntry{}, fmt.Errorf("log of container %q: %w", c.id, err))
		}
	}
}

// logConfig is what WithLogFile was given.
type logConfig struct {
	Path string
	LogOptions
}

// logFile is the log file of a container.
type logFile struct {
	logConfig

	mu        sync.Mutex         // guards following; held while a line is written
	rotator   *timberjack.Logger // nil: not open for writing
	size      int64
	rotations int           // so far
	err       error         // the first one of a write
	grown     chan struct{} // closed when there is more to read; nil: nobody waits
}

// open makes the file writable; one that is open already stays so.
func (l *logFile) open() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rotator != nil {
		return nil
	}
	size, err := prepareLog(l.Path)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	l.size, l.err = size, nil
	l.rotator = &timberjack.Logger{
		Filename: l.Path,
		MaxSize:  math.MaxInt32, // megabytes: writeLocked decides by bytes
		FileMode: 0o600,         // MaxBackups would delete later, in the background
	}
	return nil
}

// prepareLog creates the file, ends the line that an engine which died has left
// unfinished, and returns the size.
func prepareLog(path string) (size int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return info.Size(), err
	}
	_, err = f.WriteString("\n")
	return info.Size() + 1, err
}

// write appends an entry. It keeps the error: the next entry is tried all the same.
func (l *logFile) write(entry LogEntry) {
	line, err := json.Marshal(entry)
	if err != nil {
		return // cannot be: strings and a time of this century
	}
	line = append(line, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rotator == nil {
		return // closed: the writer was given up
	}
	if err := l.writeLocked(line); err != nil && l.err == nil {
		l.err = fmt.Errorf("log file is not complete: %w", err)
	}
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
}

// writeLocked appends a line, after a rotation if the file is full; l.mu is held.
func (l *logFile) writeLocked(line []byte) error {
	if l.MaxSize > 0 && l.size > 0 && l.size+int64(len(line)) > l.MaxSize {
		if err := l.rotateLocked(); err != nil {
			return err
		}
	}
	n, err := l.rotator.Write(line)
	l.size += int64(n)
	return err
}

// rotateLocked begins a new file, and deletes the oldest ones that are too many;
// l.mu is held.
func (l *logFile) rotateLocked() error {
	if err := l.rotator.RotateWithReason("size"); err != nil {
		return err
	}
	l.size = 0
	l.rotations++
	if l.MaxFiles == 0 {
		return nil
	}
	files, err := l.files()
	for _, name := range files[:max(len(files)-l.MaxFiles, 0)] {
		err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(l.Path), name)))
	}
	return err
}

// close ends the writing, and returns what could not be written.
func (l *logFile) close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rotator == nil {
		return nil
	}
	err := errors.Join(l.err, l.rotator.Close())
	l.rotator = nil
	return err
}

// growth returns what is closed when an entry is written after this call.
func (l *logFile) growth() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grown == nil {
		l.grown = make(chan struct{})
	}
	return l.grown
}

// files returns the names of the log's files, the oldest first. Those that were
// rotated have the time in their names, in a form that sorts.
func (l *logFile) files() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(l.Path))
	if err != nil {
		return nil, err
	}
	current := filepath.Base(l.Path)
	extension := filepath.Ext(current)
	prefix := strings.TrimSuffix(current, extension) + "-"
	const rotated = "2006-01-02T15-04-05.000"
	var names []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || !strings.HasSuffix(rest, extension) || len(rest) < len(rotated) {
			continue
		}
		if _, err := time.Parse(rotated, rest[:len(rotated)]); err == nil && strings.HasPrefix(rest[len(rotated):], "-size") {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		n := len(prefix) + len(rotated)
		if byTime := strings.Compare(a[:n], b[:n]); byTime != 0 || len(a) == len(b) {
			return strings.Compare(a, b)
		}
		return len(a) - len(b) // "-size_2" before "-size_10"
	})
	return append(names, current), nil
}

// maxLine is the longest text of an entry.
const maxLine = 16 << 10

// lineWriter writes a stream to the log, line by line. It is used by one goroutine.
type lineWriter struct {
	log    *logFile
	stream string
	line   []byte
}

// writer returns a writer for a stream. The writer of a nil log drops everything.
func (l *logFile) writer(stream string) *lineWriter { return &lineWriter{log: l, stream: stream} }

func (w *lineWriter) Write(b []byte) (int, error) {
	if w.log == nil {
		return len(b), nil
	}
	for rest := b; len(rest) > 0; {
		n := min(bytes.IndexByte(rest, '\n')+1, maxLine-len(w.line))
		complete := n > 0
		if !complete {
			n = min(len(rest), maxLine-len(w.line))
		}
		w.line = append(w.line, rest[:n]...)
		rest = rest[n:]
		if complete || len(w.line) == maxLine {
			w.flush()
		}
	}
	return len(b), nil
}

// flush writes what is left of a line.
func (w *lineWriter) flush() {
	if len(w.line) > 0 {
		w.log.write(LogEntry{Text: string(w.line), Stream: w.stream, Time: time.Now().UTC()})
		w.line = w.line[:0]
	}
}

// logReader reads a log through its rotations.
type logReader struct {
	log    *logFile
	since  time.Time
	file   *os.File // nil: none was opened yet
	lines  *bufio.Reader
	begun  []byte // a line whose end is not there yet
	newest int    // 1 + the rotations when file was found to be the newest one; 0: it was not
}

func (r *logReader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// tail returns the last n entries that are there. It returns none, and has read
// none, if n is 0, since then all are wanted.
func (r *logReader) tail(ctx context.Context, n int) ([]LogEntry, error) {
	var entries []LogEntry
	for n != 0 {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		entry, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
		if wanted := max(n, 0); len(entries) > 2*wanted+1000 {
			entries = slices.Clone(entries[len(entries)-wanted:])
		}
	}
	return entries[max(len(entries)-max(n, 0), 0):], nil
}

// await returns the next entry; with follow it waits for one as long as the
// container may write one. io.EOF means that there is none.
func (r *logReader) await(ctx context.Context, c *Container, follow bool) (LogEntry, error) {
	for {
		grown, ended := r.log.growth(), isClosed(c.done)
		if ctx.Err() != nil {
			return LogEntry{}, context.Cause(ctx)
		}
		entry, err := r.next()
		if err != io.EOF || ended || !follow {
			return entry, err
		}
		select {
		case <-grown:
		case <-c.done:
		case <-ctx.Done():
		case <-c.engine.closing:
			return LogEntry{}, ErrClosed
		}
	}
}

// next returns the next entry, io.EOF if there is none yet.
func (r *logReader) next() (LogEntry, error) {
	for drained := r.file == nil; ; {
		entry, err := r.nextOfFile()
		if err != io.EOF {
			return entry, err
		}
		opened, err := r.advance(drained)
		if err != nil {
			return LogEntry{}, err
		}
		drained = !opened // a file may have grown before it was rotated
	}
}

// nextOfFile returns the next entry of the file that is open. What is no entry is
// left out: an engine that died may have left it.
func (r *logReader) nextOfFile() (LogEntry, error) {
	for r.file != nil {
		line, err := r.lines.ReadBytes('\n')
		r.begun = append(r.begun, line...)
		if err != nil {
			return LogEntry{}, err
		}
		var entry LogEntry
		err = json.Unmarshal(r.begun, &entry)
		r.begun = r.begun[:0]
		if err == nil && !entry.Time.Before(r.since) {
			return entry, nil
		}
	}
	return LogEntry{}, io.EOF
}

// advance goes on with the file after the one that is open, if that is drained.
// io.EOF means that the open file is the newest. While it looks no file is rotated.
func (r *logReader) advance(drained bool) (opened bool, err error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.newest == r.log.rotations+1 {
		return false, io.EOF
	}
	name, err := r.following()
	switch {
	case err != nil:
		return false, err
	case name == "":
		r.newest = r.log.rotations + 1
		return false, io.EOF
	case !drained:
		return false, nil
	}
	return true, r.open(name)
}

// following returns the name of the file after the one that is open, "" if that is
// the newest. If the open one was deleted it is the oldest that is there.
func (r *logReader) following() (string, error) {
	names, err := r.log.files()
	if err != nil || r.file == nil {
		return first(names), err
	}
	open, err := r.file.Stat()
	if err != nil {
		return "", err
	}
	for i, name := range names {
		info, err := os.Stat(filepath.Join(filepath.Dir(r.log.Path), name))
		if err == nil && os.SameFile(open, info) {
			return first(names[i+1:]), nil
		}
	}
	return first(names), nil
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// open makes the reader go on with a file. Through a Root, since Windows then lets
// the file be renamed and deleted meanwhile.
func (r *logReader) open(name string) error {
	file, err := os.OpenInRoot(filepath.Dir(r.log.Path), name)
	if errors.Is(err, os.ErrNotExist) {
		return io.EOF // nothing was written yet, or somebody has deleted it
	}
	if err != nil {
		return err
	}
	r.close()
	r.file, r.lines, r.begun, r.newest = file, bufio.NewReader(file), r.begun[:0], 0
	return nil
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
