package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/sirupsen/logrus"
)

// Option is a setting for New.
type Option func(*settings) error

// defaultOwner is the owner of an engine that is given none, or begins it.
const defaultOwner = "libcontainerd-engine"

// settings is everything that an Option can set.
type settings struct {
	stateDir string // absolute; "": in memory
	owner    string // this engine's alone; "": none is
	client   []libcontainerd.RemoteOption
	warn     func(id, text string, err error)
	restored func(id string, labels map[string]string) (io.Reader, io.Writer, io.Writer) // nil: no streams
}

func newSettings(options []Option) (s settings, err error) {
	err = errors.Join(WithLogger(logrus.NewEntry(logrus.StandardLogger()))(&s), apply(&s, options))
	if s.owner == "" && s.stateDir != "" {
		s.owner = defaultOwner + " " + s.stateDir
	}
	owner := libcontainerd.WithOwner(cmp.Or(s.owner, defaultOwner))
	s.client = append([]libcontainerd.RemoteOption{owner}, s.client...)
	return s, err
}

// apply lets options set what they are for.
func apply[S any, O ~func(*S) error](settings *S, options []O) error {
	for _, o := range options {
		if o == nil {
			return invalid("option is nil")
		}
		if err := o(settings); err != nil {
			return err
		}
	}
	return nil
}

// WithStateDir keeps the state of the containers in dir, which is created if it
// is missing. Without it the state is in memory. One engine at a time uses a
// directory: New fails with errdefs.ErrUnavailable while another one does.
func WithStateDir(dir string) Option {
	return func(s *settings) (err error) {
		if dir == "" {
			return invalid("state directory is empty")
		}
		s.stateDir, err = filepath.Abs(dir)
		return err
	}
}

// WithOwner marks the containers of this engine with owner, and makes New end
// every compute system of that owner that the state does not know. So no other
// engine may use the same owner; an empty one and "docker" are
// errdefs.ErrInvalidArgument.
//
// Without it the owner is made from the state directory, and New ends what is not
// known under that. With neither, the owner is "libcontainerd-engine", and New
// ends nothing.
func WithOwner(owner string) Option {
	return func(s *settings) error {
		switch owner {
		case "":
			return invalid("owner is empty")
		case libcontainerd.DefaultOwner:
			return invalid(fmt.Sprintf("owner %q is the one of Docker's engine, whose containers would be ended", owner))
		}
		s.owner = owner
		return nil
	}
}

// WithComputeService makes the engine use service, such as a simulated HCS of
// package hcstest. Without it the engine uses the HCS of the host, which only
// Windows has.
func WithComputeService(service libcontainerd.ComputeService) Option {
	return func(s *settings) error {
		s.client = append(s.client, libcontainerd.WithComputeService(service))
		return nil
	}
}

// WithLogger makes the engine log to entry; the default is logrus's standard
// logger.
func WithLogger(entry *logrus.Entry) Option {
	return func(s *settings) error {
		if entry == nil {
			return invalid("logger is nil")
		}
		s.client = append(s.client, libcontainerd.WithLogger(entry))
		s.warn = func(id, text string, err error) { entry.WithField("container", id).WithError(err).Warn(text) }
		return nil
	}
}

// WithSlog makes the engine log to logger, instead of WithLogger.
func WithSlog(logger *slog.Logger) Option {
	return func(s *settings) error {
		if logger == nil {
			return invalid("logger is nil")
		}
		s.client = append(s.client, libcontainerd.WithSlog(logger))
		s.warn = func(id, text string, err error) { logger.Warn(text, "container", id, "error", err) }
		return nil
	}
}

// WithClientOptions passes options on to the libcontainerd.Client of the engine,
// such as timeouts or an observer. Compute service and logger have options of this
// package. An owner that is set here is shared with others: unlike for that of
// WithOwner, New ends nothing of it.
func WithClientOptions(options ...libcontainerd.RemoteOption) Option {
	return func(s *settings) error {
		s.client = append(s.client, options...)
		return nil
	}
}

// WithRestoredStdio gives streams to the containers that New takes up or restarts:
// those that WithStdio gave them belonged to an engine that has ended. open is
// called once for each, with its id and labels, and returns what WithStdio takes.
func WithRestoredStdio(open func(id string, labels map[string]string) (stdin io.Reader, stdout, stderr io.Writer)) Option {
	return func(s *settings) error {
		s.restored = open
		return nil
	}
}

// RunOption is a setting for one container or one exec'd process, for Run and Exec.
// Exec takes WithStdio and WithName only, Run all but WithName; another one is
// errdefs.ErrInvalidArgument.
type RunOption func(*runSettings) error

// runSettings is everything that a RunOption can set.
type runSettings struct {
	record  // what the state keeps of a container
	streams // stdin, stdout and stderr
	name    string
	runOnly string // an option that Exec refuses; "": there is none
}

// WithStdio connects the streams of the process. Each may be nil: the process then
// has no input, or its output is dropped.
//
// The input ends when stdin ends; with a terminal it stays open until the process
// exits. A Read of stdin that blocks is not waited for.
//
// A writer that fails gets nothing more; the rest of the output is read and
// dropped, so that the process does not block, and the exit's Err says so. A writer
// that blocks blocks the process. A writer that is given more than once, for stdout
// and stderr or to several containers, is written to by one at a time.
//
// With a terminal stdout gets all output.
func WithStdio(stdin io.Reader, stdout, stderr io.Writer) RunOption {
	return func(s *runSettings) error {
		s.streams = streams{stdin, stdout, stderr}
		return nil
	}
}

// WithName names an exec'd process. Without it Exec finds a name.
func WithName(name string) RunOption {
	return func(s *runSettings) error {
		if name == "" {
			return invalid("name of the process is empty")
		}
		s.name = name
		return nil
	}
}

// WithRestart sets the restart policy; the default is Never.
func WithRestart(policy RestartPolicy) RunOption {
	return func(s *runSettings) error {
		s.runOnly = "WithRestart"
		if policy.max < 0 {
			return invalid(fmt.Sprintf("limit %d of the restart policy is below 0", policy.max))
		}
		s.Policy = policy
		return nil
	}
}

// WithLogFile writes the output to the file path too, in the JSON lines of Docker's
// json-file driver, for Container.Logs and for whoever reads those. The file is
// created if it is missing, with its folder, and appended to otherwise; no other
// container may use it at the same time. What cannot be written is lost, and the
// exit's Err says so.
func WithLogFile(path string, options LogOptions) RunOption {
	return func(s *runSettings) error {
		s.runOnly = "WithLogFile"
		switch {
		case path == "":
			return invalid("path of the log file is empty")
		case options.MaxSize < 0:
			return invalid(fmt.Sprintf("MaxSize %d of the log file is below 0", options.MaxSize))
		case options.MaxFiles < 0:
			return invalid(fmt.Sprintf("MaxFiles %d of the log file is below 0", options.MaxFiles))
		}
		absolute, err := filepath.Abs(path)
		s.Log = logConfig{absolute, options}
		return err
	}
}

// LogOptions bounds a log file. The zero value does not.
type LogOptions struct {
	// MaxSize is the size in bytes from which on the file is rotated: renamed to
	// NAME.EXT-TIME-NUMBER, and begun again. 0: never.
	MaxSize int64
	// MaxFiles is how many files there are at most, the current one included; the
	// oldest is deleted. 0: no limit.
	MaxFiles int
}

// WithLabels keeps labels with the container, for its user.
func WithLabels(labels map[string]string) RunOption {
	return func(s *runSettings) error {
		s.runOnly = "WithLabels"
		s.Labels = maps.Clone(labels)
		return nil
	}
}

// WithAutoRemove removes the container when it has exited for good.
func WithAutoRemove() RunOption {
	return func(s *runSettings) error {
		s.runOnly = "WithAutoRemove"
		s.AutoRemove = true
		return nil
	}
}

func invalid(what string) error { return fmt.Errorf("%s: %w", what, errdefs.ErrInvalidArgument) }
