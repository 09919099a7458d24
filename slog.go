package libcontainerd

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/sirupsen/logrus"
)

// slogLevels are the levels of logrus as those of slog.
var slogLevels = map[logrus.Level]slog.Level{
	logrus.PanicLevel: slog.LevelError,
	logrus.FatalLevel: slog.LevelError,
	logrus.ErrorLevel: slog.LevelError,
	logrus.WarnLevel:  slog.LevelWarn,
	logrus.InfoLevel:  slog.LevelInfo,
	logrus.DebugLevel: slog.LevelDebug,
	logrus.TraceLevel: slog.LevelDebug,
}

// slogEntry returns an entry whose records go to logger.
func slogEntry(logger *slog.Logger) *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	l.SetLevel(logrus.DebugLevel) // the handler of logger decides which ones it takes
	l.AddHook(slogHook{logger})
	return logrus.NewEntry(l)
}

type slogHook struct{ logger *slog.Logger }

func (h slogHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h slogHook) Fire(entry *logrus.Entry) error {
	ctx, level := context.Background(), slogLevels[entry.Level]
	if !h.logger.Enabled(ctx, level) {
		return nil
	}
	record := slog.NewRecord(entry.Time, level, entry.Message, 0)
	for _, name := range slices.Sorted(maps.Keys(entry.Data)) {
		record.AddAttrs(slog.Any(name, entry.Data[name]))
	}
	return h.logger.Handler().Handle(ctx, record)
}
