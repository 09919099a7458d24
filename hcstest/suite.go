package hcstest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// SuiteConfig tells TestComputeService how to use a ComputeService. Its zero
// value is right for a Service of this package.
type SuiteConfig struct {
	// Spec describes the containers that the suite makes, by Configuration. The
	// suite runs one container at a time, so one scratch layer is enough. Its
	// process and its isolation should be as in the default: process isolation.
	Spec *libcontainerd.Spec

	// HyperV describes a container with Hyper-V isolation. Without it, pausing is
	// only shown to be refused. A zero SuiteConfig has one.
	HyperV *libcontainerd.Spec

	// Commands are what the suite runs in a container. Empty ones have defaults
	// that suit a container with cmd, findstr and ping.
	Commands SuiteCommands

	// Timeout bounds each behaviour; 0 means two minutes. Nothing else depends on
	// time.
	Timeout time.Duration
}

// SuiteCommands are command lines.
type SuiteCommands struct {
	Print   string // prints "hello" and ends with exit code 7
	Errors  string // prints "oops" to stderr and ends with any exit code
	Copy    string // prints the lines that it reads until its input ends, and ends with 0
	Exit    string // ends with exit code 0xC000013A
	Run     string // runs until it is ended
	Missing string // names a program that does not exist
}

// TestComputeService proves that svc behaves as package libcontainerd relies on:
// order, repeated teardown, error codes, the ends of streams and of waits. It
// returns one joined error with a line for each behaviour that is wrong.
//
// It runs on the simulator, on hcsshim over a stand-in, and on a Windows host.
// All compute systems it makes have ids that begin with "hcstest-", and are gone
// when it returns, unless svc did not answer in time.
func TestComputeService(svc libcontainerd.ComputeService, config SuiteConfig) error {
	config = config.withDefaults()
	var errs []error
	for _, b := range behaviours {
		if b.hyperV && config.HyperV == nil {
			continue
		}
		if err := prove(svc, config, b); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.name, err))
		}
	}
	return errors.Join(errs...)
}

func (config SuiteConfig) withDefaults() SuiteConfig {
	if config.Spec == nil {
		config.Spec = suiteSpec()
		config.HyperV = suiteSpec()
		config.HyperV.Root.Path = ""
		config.HyperV.Windows.HvRuntime = &libcontainerd.HvRuntime{}
	}
	c := &config.Commands
	c.Print = cmp.Or(c.Print, `cmd /c "echo hello& exit 7"`)
	c.Errors = cmp.Or(c.Errors, `cmd /c "echo oops 1>&2"`)
	c.Copy = cmp.Or(c.Copy, `findstr "^"`)
	c.Exit = cmp.Or(c.Exit, `cmd /c exit -1073741510`)
	c.Run = cmp.Or(c.Run, `ping -t localhost`)
	c.Missing = cmp.Or(c.Missing, `hcstest-no-such-program.exe`)
	config.Timeout = cmp.Or(config.Timeout, 2*time.Minute)
	return config
}

func suiteSpec() *libcontainerd.Spec {
	return &libcontainerd.Spec{
		Hostname: "hcstest",
		Process:  libcontainerd.Process{Args: []string{"cmd"}, Cwd: `C:\`},
		Root:     libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{
			LayerFolder: `C:\hcstest\scratch`,
			LayerPaths:  []string{`C:\hcstest\base`},
		},
	}
}

// behaviour is one thing that a ComputeService must do.
type behaviour struct {
	name   string
	hyperV bool // needs SuiteConfig.HyperV
	show   func(*trial)
}

// prove shows one behaviour in a new goroutine, which ends with the first
// failure.
func prove(svc libcontainerd.ComputeService, config SuiteConfig, b behaviour) error {
	t := &trial{svc: svc, config: config, id: "hcstest-" + strings.ToLower(rand.Text())}
	done := make(chan error, 1)
	go func() {
		defer func() {
			t.tidy()
			done <- errors.Join(t.errs...)
		}()
		b.show(t)
	}()
	limit := time.NewTimer(config.Timeout)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return fmt.Errorf("no answer within %v", config.Timeout)
	}
}

// trial is the proof of one behaviour. All of it belongs to one goroutine.
type trial struct {
	svc      libcontainerd.ComputeService
	config   SuiteConfig
	id       string
	errs     []error
	cleanups []func()
}

// fatalf ends the trial.
func (t *trial) fatalf(format string, args ...any) {
	t.errorf(format, args...)
	runtime.Goexit()
}

func (t *trial) errorf(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf(format, args...))
}

func (t *trial) cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// tidy runs the cleanups, the newest first. If one fails, the others still run.
func (t *trial) tidy() {
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		f := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		f()
	}
}

// must ends the trial unless err is nil.
func (t *trial) must(what string, err error) {
	if err != nil {
		t.fatalf("%s: %w", what, err)
	}
}

// mustBe notes a failure unless err carries code.
func (t *trial) mustBe(what string, err error, code libcontainerd.Code) {
	if !errors.Is(err, code) {
		t.errorf("%s: got %v, want code %#x", what, err, uint32(code))
	}
}

// mustFail notes a failure if err is nil.
func (t *trial) mustFail(what string, err error) {
	if err == nil {
		t.errorf("%s: no error", what)
	}
}

func (t *trial) document(spec *libcontainerd.Spec) string {
	document, err := libcontainerd.Configuration(t.id, *spec, t.svc)
	t.must("document", err)
	return document
}

// suiteHandle is a handle to the trial's system.
type suiteHandle struct {
	libcontainerd.ComputeSystem
	closed bool
}

// Close closes the handle once. A second call, by a cleanup, does nothing.
func (h *suiteHandle) Close() error {
	if h.closed {
		return nil
	}
	h.closed = true
	return h.ComputeSystem.Close()
}

// created creates the trial's system.
func (t *trial) created() *suiteHandle { return t.createdFrom(t.config.Spec) }

func (t *trial) createdFrom(spec *libcontainerd.Spec) *suiteHandle {
	system, err := t.svc.CreateComputeSystem(t.id, t.document(spec))
	t.must("create", err)
	h := &suiteHandle{ComputeSystem: system}
	t.cleanup(func() {
		if h.closed {
			return
		}
		if err := h.Terminate(); err != nil {
			t.errorf("terminate at the end: %w", err)
		}
		_ = h.Wait()
		if err := h.Close(); err != nil {
			t.errorf("close at the end: %w", err)
		}
	})
	return h
}

// running creates and starts the trial's system.
func (t *trial) running() *suiteHandle {
	h := t.created()
	t.must("start", h.Start())
	return h
}

// opened opens a further handle to the trial's system.
func (t *trial) opened() *suiteHandle {
	system, err := t.svc.OpenComputeSystem(t.id)
	t.must("open", err)
	h := &suiteHandle{ComputeSystem: system}
	t.cleanup(func() { _ = h.Close() })
	return h
}

// suiteProcess is a process with its pipes.
type suiteProcess struct {
	libcontainerd.ComputeProcess
	stdin          io.WriteCloser
	stdout, stderr io.ReadCloser
	inputClosed    bool
	closed         bool
}

// Close closes the handle once.
func (p *suiteProcess) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return p.ComputeProcess.Close()
}

// exec runs a command line with all three pipes.
func (t *trial) exec(system libcontainerd.ComputeSystem, commandLine string) *suiteProcess {
	return t.execConfig(system, libcontainerd.ProcessConfig{
		CommandLine:      commandLine,
		CreateStdInPipe:  true,
		CreateStdOutPipe: true,
		CreateStdErrPipe: true,
	})
}

func (t *trial) execConfig(system libcontainerd.ComputeSystem, config libcontainerd.ProcessConfig) *suiteProcess {
	process, err := system.CreateProcess(&config)
	t.must("create process "+config.CommandLine, err)
	p := &suiteProcess{ComputeProcess: process}
	t.cleanup(func() {
		p.closePipes()
		if err := p.Close(); err != nil {
			t.errorf("close process at the end: %w", err)
		}
	})
	p.stdin, p.stdout, p.stderr, err = process.Stdio()
	t.must("stdio", err)
	return p
}

func (p *suiteProcess) closePipes() {
	if p.stdin != nil && !p.inputClosed {
		p.inputClosed = true
		_ = p.stdin.Close()
	}
	if p.stdout != nil {
		_ = p.stdout.Close()
		p.stdout = nil
	}
	if p.stderr != nil {
		_ = p.stderr.Close()
		p.stderr = nil
	}
}

// endInput closes stdin on both ends.
func (t *trial) endInput(p *suiteProcess) {
	p.inputClosed = true
	t.must("close the stdin pipe", p.stdin.Close())
	t.must("close stdin", p.CloseStdin())
}

// readAll reads an output to its end, as lines that end with \n.
func (t *trial) readAll(name string, r io.Reader) string {
	text, err := io.ReadAll(r)
	t.must("read "+name+" to its end", err)
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

func (t *trial) wait(p libcontainerd.ComputeProcess) uint32 {
	code, err := p.Wait()
	t.must("wait for the process", err)
	return code
}

// waited is the result of a wait for a process.
type waited struct {
	code uint32
	err  error
}

// waitProcess waits in another goroutine.
func waitProcess(p libcontainerd.ComputeProcess) <-chan waited {
	done := make(chan waited, 1)
	go func() {
		code, err := p.Wait()
		done <- waited{code, err}
	}()
	return done
}

// waitSystem waits in another goroutine.
func waitSystem(system libcontainerd.ComputeSystem) <-chan error {
	done := make(chan error, 1)
	go func() { done <- system.Wait() }()
	return done
}
