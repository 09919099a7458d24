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
		if c.init.log.Path == "" {
			yield(LogEntry{}, fmt.Errorf("%s has no log file: %w", c.init.title(), errdefs.ErrFailedPrecondition))
			return
		}
		r := &logReader{log: c.init.log, since: query.Since}
		defer r.close()
		tail, err := r.tail(ctx, query.Tail)
		for _, entry := range tail {
			if !yield(entry, nil) {
				return
			}
		}
		for err == nil {
			grown, ended := r.log.growth(), isClosed(c.init.done)
			var entry LogEntry
			entry, err = r.next(ctx)
			switch {
			case err == nil:
				if !yield(entry, nil) {
					return
				}
			case errors.Is(err, io.EOF) && query.Follow && !ended:
				err = c.engine.await(ctx, grown)
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(LogEntry{}, fmt.Errorf("log of %s: %w", c.init.title(), err))
		}
	}
}

// logConfig is what WithLogFile was given. Without a path there is no log.
type logConfig struct {
	Path string
	LogOptions
}

// logFile is the log file of a container.
//
// Its files have numbers: that of the current one is the number of rotations so far.
type logFile struct {
	logConfig

	mu        sync.Mutex         // guards following; held while a line is written
	rotator   *timberjack.Logger // nil: not open for writing
	size      int64
	rotations int
	err       error         // the first one of a write
	grown     chan struct{} // closed when there is more to read, or never will be
}

func newLogFile(config logConfig) *logFile {
	return &logFile{logConfig: config, grown: make(chan struct{})}
}

// open makes the file writable; one that is open already stays so.
func (l *logFile) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Path == "" || l.rotator != nil {
		return nil
	}
	size, err := createLog(l.Path)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	l.size, l.err = size, nil
	l.rotator = &timberjack.Logger{
		Filename:           l.Path,
		AppendTimeAfterExt: true,
		MaxSize:            math.MaxInt32, // megabytes: writeLocked decides by bytes
		FileMode:           0o600,         // MaxBackups would delete later, in the background
	}
	return nil
}

// createLog creates the file if it is missing, and returns its size. That is not left
// to the rotator, which would move away what it cannot open, even a folder.
func createLog(path string) (size int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	n, err := f.WriteString("\n") // ends the line that an engine which died has left unfinished
	return info.Size() + int64(n), err
}

// write appends an entry. It keeps the error: the next entry is tried all the same.
func (l *logFile) write(entry LogEntry) {
	line, _ := json.Marshal(entry) // strings and a time of this century: no error
	defer l.wake()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rotator == nil {
		return // closed: the writer was given up
	}
	if err := l.writeLocked(append(line, '\n')); err != nil && l.err == nil {
		l.err = fmt.Errorf("log file is not complete: %w", err)
	}
}

// writeLocked appends a line, after a rotation if the file is full. If that fails the
// line is written all the same. l.mu is held.
func (l *logFile) writeLocked(line []byte) (err error) {
	if l.MaxSize > 0 && l.size > 0 && l.size+int64(len(line)) > l.MaxSize {
		err = l.rotateLocked()
	}
	n, failed := l.rotator.Write(line)
	l.size += int64(n)
	return errors.Join(err, failed)
}

// rotateLocked begins a new file, and deletes the oldest ones that are too many;
// l.mu is held. The names of the files sort as their numbers do.
func (l *logFile) rotateLocked() error {
	if err := l.rotator.RotateWithReason(fmt.Sprintf("%09d", l.rotations)); err != nil {
		return err
	}
	l.size = 0
	l.rotations++
	if l.MaxFiles == 0 {
		return nil
	}
	files, err := l.files()
	for _, file := range files[:max(len(files)-l.MaxFiles, 0)] {
		err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(l.Path), file)))
	}
	return err
}

// close ends the writing, and returns what could not be written.
func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rotator == nil {
		return nil
	}
	err := errors.Join(l.err, l.rotator.Close())
	l.rotator = nil
	return err
}

// wake lets those who follow the log look at it again.
func (l *logFile) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.grown)
	l.grown = make(chan struct{})
}

// growth returns what is closed when there is something new after this call.
func (l *logFile) growth() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grown
}

// files returns the names of the log's files, the oldest first.
func (l *logFile) files() ([]string, error) {
	const layout = "2006-01-02T15-04-05.000"
	entries, err := os.ReadDir(filepath.Dir(l.Path)) // sorted
	current := filepath.Base(l.Path)
	var names []string
	for _, entry := range entries {
		suffix, rotated := strings.CutPrefix(entry.Name(), current+"-")
		if !rotated || len(suffix) < len(layout) {
			continue
		}
		if _, err := time.Parse(layout, suffix[:len(layout)]); err == nil {
			names = append(names, entry.Name())
		}
	}
	return append(names, current), err
}

// maxLine is the longest text of an entry.
const maxLine = 16 << 10

// lineWriter writes a stream to the log, line by line. It is used by one goroutine.
type lineWriter struct {
	log    *logFile
	stream string
	line   []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	if w.log.Path == "" {
		return len(b), nil
	}
	for rest := b; len(rest) > 0; {
		part := rest[:min(len(rest), maxLine-len(w.line))]
		if end := bytes.IndexByte(part, '\n'); end >= 0 {
			part = part[:end+1]
		}
		rest = rest[len(part):]
		w.line = append(w.line, part...)
		if len(w.line) == maxLine || w.line[len(w.line)-1] == '\n' {
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
	number int      // of file
	lines  *bufio.Reader
}

func (r *logReader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// tail returns the last n entries that are there. It returns none, and has read
// none, if n is 0, since then all are wanted.
func (r *logReader) tail(ctx context.Context, n int) (entries []LogEntry, err error) {
	for n != 0 {
		entry, err := r.next(ctx)
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		if entries = append(entries, entry); len(entries) > max(n, 0) {
			entries = entries[1:]
		}
	}
	return nil, nil
}

// next returns the next entry, io.EOF if there is none yet. What is no entry is left
// out: an engine that died may have left it.
func (r *logReader) next(ctx context.Context) (LogEntry, error) {
	for ctx.Err() == nil {
		line, err := r.line()
		if err != nil {
			return LogEntry{}, err
		}
		var entry LogEntry
		if json.Unmarshal(line, &entry) == nil && !entry.Time.Before(r.since) {
			return entry, nil
		}
	}
	return LogEntry{}, context.Cause(ctx)
}

// line returns the next line, io.EOF if there is none yet. Nothing is written or
// rotated meanwhile.
func (r *logReader) line() ([]byte, error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for {
		if r.file != nil {
			line, err := r.lines.ReadBytes('\n')
			if !errors.Is(err, io.EOF) || r.number == r.log.rotations {
				return line, err
			}
		}
		if err := r.advanceLocked(); err != nil {
			return nil, err
		}
	}
}

// advanceLocked goes on with the file after the one that is open, or with the oldest
// one if that was deleted; the log's mu is held.
func (r *logReader) advanceLocked() error {
	names, err := r.log.files()
	if err != nil {
		return err
	}
	oldest := r.log.rotations - len(names) + 1
	number := oldest
	if r.file != nil {
		number = max(r.number+1, oldest)
	}
	// Through a Root, since Windows then lets the file be renamed and deleted meanwhile.
	file, err := os.OpenInRoot(filepath.Dir(r.log.Path), names[number-oldest])
	if errors.Is(err, os.ErrNotExist) {
		return io.EOF // nothing was written yet, or somebody has deleted it
	}
	if err != nil {
		return err
	}
	r.close()
	r.file, r.number, r.lines = file, number, bufio.NewReader(file)
	return nil
}
