package libcontainerd

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
)

// Limits that hold unless an option says otherwise.
const (
	// DefaultShutdownTimeout is how long a compute system may take to shut down,
	// as Docker's engine has had it since 2016.
	DefaultShutdownTimeout = 5 * time.Minute
	// DefaultTerminateTimeout is generous because ending a system early can cost
	// its scratch: teardowns of two minutes have been seen on busy hosts.
	DefaultTerminateTimeout = 5 * time.Minute
	// DefaultCallTimeout is above the four minutes after which hcsshim gives up by
	// itself, so that its more telling error comes first.
	DefaultCallTimeout = 5 * time.Minute
	// DefaultGrace is how long the client waits for what should come at once:
	//   - the exit code of a process whose compute system has stopped
	//   - somebody to read on, once the process has ended
	//   - the id of a compute system that has ended to become free
	//   - a handle that HCS refuses to close
	//   - the stop of a system that HCS was asked to end, before the client asks whether
	//     it still runs
	DefaultGrace = 10 * time.Second
	// DefaultOwner is the owner that the compute systems are marked with.
	DefaultOwner = "docker"
)

// settings is everything that options can set.
type settings struct {
	service          ComputeService
	owner            string
	ownerGiven       bool         // by WithOwner
	maxStarts        int          // 0: no limit
	retry            *RetryPolicy // nil: by the host
	shutdownTimeout  time.Duration
	terminateTimeout time.Duration
	callTimeout      time.Duration
	grace            time.Duration
	terminateOnClose bool
	logger           *logrus.Entry
	observer         Observer
}

func defaultSettings() settings {
	return settings{
		owner:            DefaultOwner,
		shutdownTimeout:  DefaultShutdownTimeout,
		terminateTimeout: DefaultTerminateTimeout,
		callTimeout:      DefaultCallTimeout,
		grace:            DefaultGrace,
		logger:           logrus.NewEntry(logrus.StandardLogger()),
	}
}

// RemoteOption is a setting for New and NewClient. The options of this package
// fit only the Remote that New makes.
type RemoteOption interface {
	Apply(Remote) error
}

type remoteOption func(*settings) error

func (o remoteOption) Apply(r Remote) error {
	own, ok := r.(*remote)
	if !ok {
		return fmt.Errorf("option for a %T: %w", r, errdefs.ErrInvalidArgument)
	}
	return o(&own.settings)
}

// WithComputeService makes the client use service. Without it the client uses
// the HCS of the host, which only Windows has.
func WithComputeService(service ComputeService) RemoteOption {
	return remoteOption(func(s *settings) error {
		if service == nil {
			return fmt.Errorf("compute service is nil: %w", errdefs.ErrInvalidArgument)
		}
		s.service = service
		return nil
	})
}

// WithOwner marks the compute systems that the client creates with owner, not
// empty; the default is DefaultOwner. One client uses an owner at a time: what another
// one has created under it counts as left by an engine before this one.
func WithOwner(owner string) RemoteOption {
	return remoteOption(func(s *settings) error {
		if owner == "" {
			return fmt.Errorf("owner is empty: %w", errdefs.ErrInvalidArgument)
		}
		s.owner, s.ownerGiven = owner, true
		return nil
	})
}

// WithRetryPolicy sets when a failed creation is tried again. Without it that
// is TP4RetryPolicy on Technical Preview 4, and never elsewhere.
func WithRetryPolicy(policy RetryPolicy) RemoteOption {
	return remoteOption(func(s *settings) error {
		if err := policy.validate(); err != nil {
			return err
		}
		s.retry = &policy
		return nil
	})
}

// WithShutdownTimeout sets how long a compute system whose init process has
// ended may take to shut down before it is terminated; above 0, the default is
// DefaultShutdownTimeout.
func WithShutdownTimeout(d time.Duration) RemoteOption {
	return duration("shutdown timeout", d, func(s *settings) { s.shutdownTimeout = d })
}

// WithTerminateTimeout sets how long the client waits for a compute system to be
// gone once it asked for its termination; above 0, the default is
// DefaultTerminateTimeout.
func WithTerminateTimeout(d time.Duration) RemoteOption {
	return duration("terminate timeout", d, func(s *settings) { s.terminateTimeout = d })
}

// WithCallTimeout sets how long the client waits for the answer to any other
// call into HCS; above 0, the default is DefaultCallTimeout.
func WithCallTimeout(d time.Duration) RemoteOption {
	return duration("call timeout", d, func(s *settings) { s.callTimeout = d })
}

// WithGrace sets how long the client waits for what should come at once, as DefaultGrace
// lists it; above 0.
func WithGrace(d time.Duration) RemoteOption {
	return duration("grace", d, func(s *settings) { s.grace = d })
}

// WithMaxConcurrentStarts lets n containers start at a time, n above 0; the others wait for
// their turn, in the order of their Create, and a Signal or Close ends the wait. A start
// lasts from the creation of the compute system until the init process runs, also in a
// restart. Without the option there is no limit. HCS fails when too many containers start
// at the same time.
func WithMaxConcurrentStarts(n int) RemoteOption {
	return remoteOption(func(s *settings) error {
		if n <= 0 {
			return fmt.Errorf("maximum of concurrent starts %d is not above 0: %w", n, errdefs.ErrInvalidArgument)
		}
		s.maxStarts = n
		return nil
	})
}

// WithTerminateOnLastHandleClosed has HCS terminate a compute system when the
// last handle to it is closed, so also when the engine dies.
func WithTerminateOnLastHandleClosed() RemoteOption {
	return remoteOption(func(s *settings) error {
		s.terminateOnClose = true
		return nil
	})
}

// WithLogger makes the client log to entry; the default is logrus's standard
// logger. Secrets are never logged.
func WithLogger(entry *logrus.Entry) RemoteOption {
	return remoteOption(func(s *settings) error {
		if entry == nil {
			return fmt.Errorf("logger is nil: %w", errdefs.ErrInvalidArgument)
		}
		s.logger = entry
		return nil
	})
}

// WithSlog makes the client log to logger, which gets the levels, the texts and the
// fields that logrus would; instead of WithLogger.
func WithSlog(logger *slog.Logger) RemoteOption {
	return remoteOption(func(s *settings) error {
		if logger == nil {
			return fmt.Errorf("logger is nil: %w", errdefs.ErrInvalidArgument)
		}
		s.logger = slogEntry(logger)
		return nil
	})
}

// WithObserver has observer told of every call into HCS.
func WithObserver(observer Observer) RemoteOption {
	return remoteOption(func(s *settings) error {
		if observer == nil {
			return fmt.Errorf("observer is nil: %w", errdefs.ErrInvalidArgument)
		}
		s.observer = observer
		return nil
	})
}

func duration(name string, d time.Duration, set func(*settings)) RemoteOption {
	return remoteOption(func(s *settings) error {
		if d <= 0 {
			return fmt.Errorf("%s %v is not above 0: %w", name, d, errdefs.ErrInvalidArgument)
		}
		set(s)
		return nil
	})
}

// CreateOption is a setting of one container, for Create and Restore.
type CreateOption interface {
	Apply(interface{}) error
}

// createSettings is everything that a CreateOption can set.
type createSettings struct {
	restartManager RestartManager // nil: never restarted
	reattach       *reattachment  // nil: Restore ends the container
}

// reattachment says how to take up a container that outlived its engine.
type reattachment struct {
	spec    Spec
	initPid uint32
}

type createOption func(*createSettings) error

func (o createOption) Apply(p interface{}) error {
	s, ok := p.(*createSettings)
	if !ok {
		return fmt.Errorf("option for a %T: %w", p, errdefs.ErrInvalidArgument)
	}
	return o(s)
}

// RestartManager decides whether a container whose init process has ended is
// started again. ShouldRestart is asked after every exit, also after one that
// Signal brought about. When it answers true the client waits for its channel: nil
// or a closed channel restarts the container, an error ends it. Cancel ends that
// wait; the client calls it when the container is signalled meanwhile.
type RestartManager interface {
	ShouldRestart(exitCode uint32) (bool, chan error, error)
	Cancel() error
}

// WithRestartManager makes rm decide about restarts of the container.
func WithRestartManager(rm RestartManager) CreateOption {
	return createOption(func(s *createSettings) error {
		s.restartManager = rm
		return nil
	})
}

// WithReattach makes Restore take up a container that is still running, instead
// of ending it. spec is the one it was created with, initPid the pid of its
// init process, as StateStart told it. A container whose init process has ended is
// ended as without the option.
//
// Windows breaks the pipes of a container when its engine dies: what the container
// writes then fails, which ends many programs. The streams of a container that was taken
// up are therefore usually empty: reads end at once, writes fail. A container that is to
// outlive its engine logs to a file or to the event log.
func WithReattach(spec Spec, initPid uint32) CreateOption {
	return createOption(func(s *createSettings) error {
		s.reattach = &reattachment{spec: spec, initPid: initPid}
		return nil
	})
}

func applyCreateOptions(options []CreateOption) (createSettings, error) {
	if len(options) == 0 {
		return createSettings{}, nil // costs nothing
	}
	var s createSettings
	for _, o := range options {
		if o == nil {
			return s, fmt.Errorf("option is nil: %w", errdefs.ErrInvalidArgument)
		}
		if err := o.Apply(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}
