package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// prints is a program that prints each text in one write, to stdout.
func prints(texts ...string) hcstest.Option {
	return hcstest.WithProgram("prints", func(p *hcstest.Process) uint32 {
		for _, text := range texts {
			io.WriteString(p.Stdout, text)
		}
		return 0
	})
}

// logs returns the texts of a query.
func logs(t *testing.T, c *engine.Container, query engine.LogQuery) (texts []string) {
	t.Helper()
	for entry, err := range c.Logs(t.Context(), query) {
		must(t, err)
		texts = append(texts, entry.Text)
	}
	return texts
}

func TestLogFileIsThatOfDocker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "web1-json.log")
	eng := newEngine(t, hcstest.New(t))
	begun := time.Now()
	c := mustRun(t, eng, "web1", spec("cmd", "/c", "echo out& echo err 1>&2"), engine.WithLogFile(path, engine.LogOptions{}))
	if exit := mustWait(t, c); exit.Err != nil {
		t.Error(exit.Err)
	}
	data, err := os.ReadFile(path)
	must(t, err)
	var lines []string
	for line := range strings.Lines(string(data)) {
		var entry struct {
			Log, Stream string
			Time        time.Time
		}
		must(t, json.Unmarshal([]byte(line), &entry))
		if entry.Time.Before(begun) || entry.Time.Location() != time.UTC {
			t.Errorf("time %v", entry.Time)
		}
		at, _ := json.Marshal(entry.Time)
		lines = append(lines, strings.Replace(line, string(at), "T", 1))
	}
	slices.Sort(lines)
	want := []string{`{"log":"err \r\n","stream":"stderr","time":T}` + "\n", `{"log":"out\r\n","stream":"stdout","time":T}` + "\n"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestLogHoldsLinesHoweverTheyAreWritten(t *testing.T) {
	long := strings.Repeat("x", 16<<10)
	for _, test := range []struct {
		name        string
		texts, want []string
	}{
		{"a line", []string{"a\n"}, []string{"a\n"}},
		{"lines in one write", []string{"a\nb\n\nc"}, []string{"a\n", "b\n", "\n", "c"}},
		{"a line in many writes", []string{"a", "b", "c\nd"}, []string{"abc\n", "d"}},
		{"a line of 16 KiB", []string{long + "\n"}, []string{long, "\n"}},
		{"a line of more", []string{long + long + "yz\n"}, []string{long, long, "yz\n"}},
		{"what JSON escapes", []string{"<\"\\\t\x00é\n"}, []string{"<\"\\\t\x00é\n"}},
		{"nothing", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			eng := newEngine(t, hcstest.New(t, prints(test.texts...)))
			c := mustRun(t, eng, "web1", spec("prints"), engine.WithLogFile(filepath.Join(t.TempDir(), "log"), engine.LogOptions{}))
			mustWait(t, c)
			if diff := cmp.Diff(test.want, logs(t, c, engine.LogQuery{})); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogsAreQueried(t *testing.T) {
	eng := newEngine(t, hcstest.New(t, prints("a\n", "b\n", "c\n")))
	c := mustRun(t, eng, "web1", spec("prints"), engine.WithLogFile(filepath.Join(t.TempDir(), "log"), engine.LogOptions{}))
	mustWait(t, c)
	for _, test := range []struct {
		name  string
		query engine.LogQuery
		want  []string
	}{
		{"all", engine.LogQuery{}, []string{"a\n", "b\n", "c\n"}},
		{"the last two", engine.LogQuery{Tail: 2}, []string{"b\n", "c\n"}},
		{"more than there are", engine.LogQuery{Tail: 20}, []string{"a\n", "b\n", "c\n"}},
		{"none", engine.LogQuery{Tail: -1}, nil},
		{"follow one that has exited", engine.LogQuery{Follow: true, Tail: 1}, []string{"c\n"}},
		{"since the start", engine.LogQuery{Since: c.Status().StartedAt.Add(-time.Minute)}, []string{"a\n", "b\n", "c\n"}},
		{"since now", engine.LogQuery{Since: time.Now()}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, logs(t, c, test.query)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogsWithoutALogFileSaySo(t *testing.T) {
	eng := newEngine(t, hcstest.New(t))
	c := mustRun(t, eng, "web1", spec("cmd"))
	mustWait(t, c)
	for _, err := range c.Logs(t.Context(), engine.LogQuery{}) {
		if !errdefs.IsFailedPrecondition(err) {
			t.Errorf("got %v", err)
		}
	}
}

// A follower sees every line, whatever is rotated meanwhile, and ends with the
// container.
func TestFollowerSeesEveryLineThroughRotations(t *testing.T) {
	const n = 2000
	dir := t.TempDir()
	next := make(chan struct{}, 50) // so the writer is at most so far ahead
	counts := hcstest.WithProgram("counts", func(p *hcstest.Process) uint32 {
		for i := range n {
			next <- struct{}{}
			fmt.Fprintf(p.Stdout, "line %d\n", i)
		}
		return 0
	})
	eng := newEngine(t, hcstest.New(t, counts))
	c := mustRun(t, eng, "web1", spec("counts"), engine.WithLogFile(filepath.Join(dir, "log.json"), engine.LogOptions{MaxSize: 1000, MaxFiles: 100}))
	i := 0
	for entry, err := range c.Logs(t.Context(), engine.LogQuery{Follow: true}) {
		must(t, err)
		if want := fmt.Sprintf("line %d\n", i); entry.Text != want {
			t.Fatalf("got %q, want %q", entry.Text, want)
		}
		i++
		<-next
	}
	if i != n {
		t.Errorf("%d lines", i)
	}
	mustWait(t, c)
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 100 {
		t.Errorf("%d files", len(files))
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Size() > 1000 {
			t.Errorf("%s has %d bytes, %v", file.Name(), info.Size(), err)
		}
	}
	// What is left is the end, without a gap.
	left := logs(t, c, engine.LogQuery{})
	for i, text := range left {
		if want := fmt.Sprintf("line %d\n", n-len(left)+i); text != want {
			t.Fatalf("got %q, want %q", text, want)
		}
	}
	if len(left) < 1000 {
		t.Errorf("%d lines are left", len(left))
	}
}

func TestOneLogFileIsBegunAgain(t *testing.T) {
	dir := t.TempDir()
	var texts []string
	for i := range 100 {
		texts = append(texts, fmt.Sprintf("line %d\n", i))
	}
	eng := newEngine(t, hcstest.New(t, prints(texts...)))
	c := mustRun(t, eng, "web1", spec("prints"), engine.WithLogFile(filepath.Join(dir, "log"), engine.LogOptions{MaxSize: 500, MaxFiles: 1}))
	if exit := mustWait(t, c); exit.Err != nil {
		t.Error(exit.Err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, %v", files, err)
	}
	if left := logs(t, c, engine.LogQuery{}); len(left) == 0 || left[len(left)-1] != "line 99\n" {
		t.Errorf("left is %q", left)
	}
}

func TestFollowerEndsWithItsContextAndWithTheEngine(t *testing.T) {
	svc := hcstest.New(t, echo())
	eng := newEngine(t, svc)
	r, w := io.Pipe()
	c := mustRun(t, eng, "web1", spec("echo"), engine.WithStdio(r, nil, nil), engine.WithLogFile(filepath.Join(t.TempDir(), "log"), engine.LogOptions{}))
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	follow := func(ctx context.Context, seen chan<- struct{}) {
		for _, err := range c.Logs(ctx, engine.LogQuery{Follow: true}) {
			if err != nil {
				errs <- err
				return
			}
			seen <- struct{}{}
		}
		errs <- nil
	}
	first, second := make(chan struct{}, 1), make(chan struct{}, 1)
	var all sync.WaitGroup
	all.Go(func() { follow(ctx, first) })
	io.WriteString(w, "x\n")
	<-first
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	all.Go(func() { follow(t.Context(), second) })
	<-second
	w.Close()
	if err := <-errs; err != nil { // its container has ended
		t.Errorf("got %v", err)
	}
	all.Wait()
	mustWait(t, c)
}

// An engine that died may have left half a line; what follows is whole.
func TestHalfALineIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	whole := `{"log":"before\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}` + "\n"
	must(t, os.WriteFile(path, []byte(whole+`{"log":"ha`), 0o600))
	eng := newEngine(t, hcstest.New(t, prints("after\n")))
	c := mustRun(t, eng, "web1", spec("prints"), engine.WithLogFile(path, engine.LogOptions{}))
	mustWait(t, c)
	if diff := cmp.Diff([]string{"before\n", "after\n"}, logs(t, c, engine.LogQuery{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// An old file that cannot be deleted costs no line.
func TestLineIsWrittenThoughTheRotationFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	stuck := path + "-2001-01-01T00-00-00.000-000000000"
	must(t, os.MkdirAll(filepath.Join(stuck, "sub"), 0o700))
	eng := newEngine(t, hcstest.New(t, prints("a\n", "b\n")))
	c := mustRun(t, eng, "web1", spec("prints"), engine.WithLogFile(path, engine.LogOptions{MaxSize: 10, MaxFiles: 1}))
	if exit := mustWait(t, c); exit.Err == nil || !strings.Contains(exit.Err.Error(), "log file") {
		t.Errorf("exit %+v", exit)
	}
	must(t, os.RemoveAll(stuck))
	if diff := cmp.Diff([]string{"b\n"}, logs(t, c, engine.LogQuery{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestLogFileThatIsAFolderIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	must(t, os.Mkdir(path, 0o700))
	eng := newEngine(t, hcstest.New(t))
	if _, err := eng.Run(t.Context(), "web1", spec("cmd"), engine.WithLogFile(path, engine.LogOptions{})); err == nil {
		t.Error("it runs")
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 || !files[0].IsDir() {
		t.Errorf("files %v, %v", files, err)
	}
}

func TestLogThatCannotBeWrittenIsInTheExit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	begin := make(chan struct{})
	late := hcstest.WithProgram("late", func(p *hcstest.Process) uint32 {
		io.WriteString(p.Stdout, "before\n")
		<-begin
		io.WriteString(p.Stdout, "after\n")
		return 0
	})
	eng := newEngine(t, hcstest.New(t, late))
	c := mustRun(t, eng, "web1", spec("late"), engine.WithLogFile(filepath.Join(dir, "log"), engine.LogOptions{MaxSize: 10}))
	for range c.Logs(t.Context(), engine.LogQuery{Follow: true}) {
		break
	}
	err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) // a file where the folder was
	close(begin)
	if runtime.GOOS == "windows" {
		mustWait(t, c) // Windows keeps the file that is open, so nothing can go wrong
		return
	}
	must(t, err)
	if exit := mustWait(t, c); exit.Err == nil || !strings.Contains(exit.Err.Error(), "log file") {
		t.Errorf("exit %+v", exit)
	}
}

// Whatever is in the file, the reader ends, and gives back what was written after it.
func FuzzLogFile(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\n\n"))
	f.Add([]byte(`{"log":"x\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte("null\n{}\n[]\n\xff\x00"))
	f.Fuzz(func(t *testing.T, before []byte) {
		path := filepath.Join(t.TempDir(), "log")
		must(t, os.WriteFile(path, before, 0o600))
		eng := newEngine(t, hcstest.New(t, prints("after\n")))
		c := mustRun(t, eng, "web1", spec("prints"), engine.WithLogFile(path, engine.LogOptions{}))
		mustWait(t, c)
		texts := logs(t, c, engine.LogQuery{})
		if len(texts) == 0 || texts[len(texts)-1] != "after\n" {
			t.Errorf("entries %q", texts)
		}
	})
}
