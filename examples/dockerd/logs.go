package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// logQuery is what a client wants of a log.
type logQuery struct {
	engine.LogQuery
	until      time.Time
	timestamps bool
}

// parseLogQuery reads the parameters of a request.
func parseLogQuery(r *http.Request) (logQuery, error) {
	q := logQuery{timestamps: isTrue(r, "timestamps")}
	q.Follow = isTrue(r, "follow")
	var err error
	if q.Since, q.until, err = window(r); err != nil {
		return q, err
	}
	switch tail := r.FormValue("tail"); tail {
	case "", "all":
	default:
		n, err := strconv.Atoi(tail)
		switch {
		case err != nil:
			return q, invalid(`tail %q is neither a number nor "all"`, tail)
		case n == 0:
			q.Tail = -1 // none
		case n > 0:
			q.Tail = n
		}
	}
	return q, nil
}

// containerLogs answers with what the container has written, and will write.
func (d *daemon) containerLogs(w http.ResponseWriter, r *http.Request, c *managed) error {
	q, err := parseLogQuery(r)
	if err != nil {
		return err
	}
	rec := c.snapshot()
	stdout, stderr := isTrue(r, "stdout"), isTrue(r, "stderr")
	switch {
	case !stdout && !stderr:
		return invalid("you must choose at least one stream")
	case rec.HostConfig.LogConfig.Type == "none":
		return unsupported("the container has no log: its log driver is none")
	}
	contentType := types.MediaTypeMultiplexedStream
	if rec.Config.Tty {
		contentType = types.MediaTypeRawStream
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	if !q.until.IsZero() {
		defer time.AfterFunc(time.Until(q.until), cancel).Stop()
	}
	body := flushing{w, http.NewResponseController(w)}
	_, _ = body.Write(nil)
	out, errs := outputs(body, rec.Config.Tty, stdout, stderr)
	if err := copyLogs(ctx, c, q, out, errs); err != nil && ctx.Err() == nil {
		d.logger.Warn("a log cannot be read", "container", c.id, "error", err)
	}
	return nil
}

// flushing sends what is written at once.
type flushing struct {
	io.Writer
	controller *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.controller.Flush()
	}
	return n, err
}

// copyLogs writes the log of a container to the writers of its streams, which may be
// nil. A container that was never started has an empty one.
func copyLogs(ctx context.Context, c *managed, q logQuery, stdout, stderr io.Writer) error {
	c.mu.Lock()
	live := c.live
	c.mu.Unlock()
	if live == nil {
		return nil
	}
	for entry, err := range live.Logs(ctx, q.LogQuery) {
		if err != nil {
			return err
		}
		if !q.until.IsZero() && entry.Time.After(q.until) {
			return nil
		}
		w := stdout
		if entry.Stream == "stderr" {
			w = stderr
		}
		if w == nil {
			continue
		}
		text := entry.Text
		if q.timestamps {
			text = entry.Time.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") + " " + text
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// logOption says where the container's log goes.
func (d *daemon) logOption(r record) ([]engine.RunOption, error) {
	var options engine.LogOptions
	switch config := r.HostConfig.LogConfig; config.Type {
	case "none":
		return nil, nil
	case "", "json-file":
		for name, value := range config.Config {
			var err error
			switch name {
			case "max-size":
				options.MaxSize, err = units.RAMInBytes(value)
			case "max-file":
				options.MaxFiles, err = strconv.Atoi(value)
			default:
				err = errors.New("it is not served")
			}
			if err != nil {
				return nil, invalid("log option %s=%s: %v", name, value, err)
			}
		}
	default:
		return nil, invalid("log driver %q is not served; json-file and none are", config.Type)
	}
	return []engine.RunOption{engine.WithLogFile(filepath.Join(d.folder(r.ID), r.ID+"-json.log"), options)}, nil
}
