package swarm

import (
	"context"
	"path/filepath"
	"slices"

	gogotypes "github.com/gogo/protobuf/types"
	"github.com/moby/swarmkit/v2/agent/exec"
	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// logOptions bounds the log of a task.
var logOptions = engine.LogOptions{MaxSize: 10 << 20, MaxFiles: 3}

func (c *controller) logFile() string {
	return filepath.Join(c.executor.logFolder(c.id), "output.log")
}

// Logs publishes the output of the container. With Follow it first waits until there
// is a container.
func (c *controller) Logs(ctx context.Context, publisher exec.LogPublisher, options api.LogSubscriptionOptions) error {
	query, err := newLogQuery(options)
	if err != nil {
		return err
	}
	if options.Follow {
		select {
		case <-c.known:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.executor.life.Done():
			return exec.ErrControllerClosed
		}
	}
	container, err := c.container()
	if err != nil {
		return ignoreNotFound(err) // it has not started, or could not
	}
	for entry, err := range container.Logs(ctx, query) {
		if err != nil {
			return first(ctx, err)
		}
		stream := streams[entry.Stream]
		if len(options.Streams) > 0 && !slices.Contains(options.Streams, stream) {
			continue
		}
		if err := c.publish(ctx, publisher, stream, entry); err != nil {
			return err
		}
	}
	return nil
}

var streams = map[string]api.LogStream{"stdout": api.LogStreamStdout, "stderr": api.LogStreamStderr}

func (c *controller) publish(ctx context.Context, publisher exec.LogPublisher, stream api.LogStream, entry engine.LogEntry) error {
	t := c.currentTask()
	at, err := gogotypes.TimestampProto(entry.Time)
	if err != nil {
		return err
	}
	return publisher.Publish(ctx, api.LogMessage{
		Context:   api.LogContext{NodeID: t.NodeID, ServiceID: t.ServiceID, TaskID: t.ID},
		Timestamp: at,
		Stream:    stream,
		Data:      []byte(entry.Text),
	})
}

// newLogQuery translates a subscription. A tail of -1 is nothing, of -11 the last ten
// lines, and of 0 all.
func newLogQuery(o api.LogSubscriptionOptions) (engine.LogQuery, error) {
	query := engine.LogQuery{Follow: o.Follow}
	switch {
	case o.Tail > 0:
		var p problems
		p.add("tail", "%d lines from the start cannot be left out", o.Tail)
		return query, p.err()
	case o.Tail == -1:
		query.Tail = -1
	case o.Tail < -1:
		query.Tail = int(-o.Tail - 1)
	}
	if o.Since == nil {
		return query, nil
	}
	var err error
	query.Since, err = gogotypes.TimestampFromProto(o.Since)
	return query, err
}
