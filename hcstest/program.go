package hcstest

import (
	"cmp"
	"io"
	"slices"
	"strings"
	"sync"
)

// Program is the code of a process; its result is the exit code. If the process
// is ended from outside, its pipes are broken and Killed is closed, and the
// Program should return soon.
type Program func(p *Process) (exitCode uint32)

// Exit is a Program that ends at once.
func Exit(code uint32) Program {
	return func(*Process) uint32 { return code }
}

// Process is a process as its Program sees it. It belongs to that program's
// goroutine; only Killed, Resized and ConsoleSize may be used by others.
type Process struct {
	// Stdin is empty if no pipe was asked for; what is written to an output
	// without a pipe is lost. With a console Stderr is Stdout.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	Pid         uint32
	ContainerID string
	CommandLine string
	Args        []string // CommandLine, split as CommandLineToArgvW does
	User        string
	Cwd         string

	process *process
	env     environment // nil: not asked for yet
	depth   int         // of commands that cmd has started
}

func (p *process) view(args []string) *Process {
	view := &Process{
		Stdin:       strings.NewReader(""),
		Stdout:      io.Discard,
		Stderr:      io.Discard,
		Pid:         p.pid,
		ContainerID: p.sys.id,
		CommandLine: p.config.CommandLine,
		Args:        args,
		User:        p.config.User,
		Cwd:         p.config.WorkingDirectory,
		process:     p,
	}
	if p.stdin != nil {
		view.Stdin = p.stdin
	}
	if p.stdout != nil {
		view.Stdout = p.stdout
	}
	switch {
	case p.console != nil:
		view.Stderr = view.Stdout
	case p.stderr != nil:
		view.Stderr = p.stderr
	}
	return view
}

// Killed is closed when the process has been ended from outside.
func (p *Process) Killed() <-chan struct{} { return p.process.done }

// killed reports whether the process has been ended from outside.
func (p *Process) killed() bool {
	select {
	case <-p.process.done:
		return true
	default:
		return false
	}
}

// Hostname is the computer name of the container.
func (p *Process) Hostname() string {
	return cmp.Or(p.process.sys.doc.HostName, p.ContainerID)
}

// Getenv returns the value of an environment variable, and "" if there is none.
// The case of its name does not matter.
func (p *Process) Getenv(name string) string {
	return p.environment()[strings.ToUpper(name)].value
}

// Environ returns the environment as NAME=value, sorted.
func (p *Process) Environ() []string {
	var list []string
	for _, v := range p.environment() {
		list = append(list, v.name+"="+v.value)
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Compare(strings.ToUpper(a), strings.ToUpper(b))
	})
	return list
}

// environment holds variables under their upper-case names.
type environment map[string]variable

type variable struct{ name, value string }

func (e environment) set(name, value string) {
	e[strings.ToUpper(name)] = variable{name, value}
}

// environment has the variables that Windows gives every process, and those of
// the ProcessConfig.
func (p *Process) environment() environment {
	if p.env != nil {
		return p.env
	}
	p.env = environment{}
	user := cmp.Or(p.User, "ContainerAdministrator")
	for _, v := range []variable{
		{"ComSpec", `C:\Windows\system32\cmd.exe`},
		// NetBIOS names are upper-case and at most 15 characters long.
		{"COMPUTERNAME", strings.ToUpper(p.Hostname()[:min(15, len(p.Hostname()))])},
		{"NUMBER_OF_PROCESSORS", "4"},
		{"OS", "Windows_NT"},
		{"Path", `C:\Windows\system32;C:\Windows`},
		{"PATHEXT", ".COM;.EXE;.BAT;.CMD"},
		{"PROMPT", "$P$G"},
		{"SystemDrive", "C:"},
		{"SystemRoot", `C:\Windows`},
		{"TEMP", `C:\Users\` + user + `\AppData\Local\Temp`},
		{"USERNAME", user},
		{"USERPROFILE", `C:\Users\` + user},
		{"windir", `C:\Windows`},
	} {
		p.env.set(v.name, v.value)
	}
	for name, value := range p.process.config.Environment {
		p.env.set(name, value)
	}
	return p.env
}

// HasConsole reports whether the process has an emulated console.
func (p *Process) HasConsole() bool { return p.process.console != nil }

// ConsoleSize is the size of the console in characters, 0 without one.
func (p *Process) ConsoleSize() (width, height uint16) { return p.process.console.size() }

// Resized receives a value after the size of the console has changed. Several
// changes may give one value. It is nil without a console.
func (p *Process) Resized() <-chan struct{} {
	if p.process.console == nil {
		return nil
	}
	return p.process.console.resized
}

// console is an emulated console.
type console struct {
	resized chan struct{} // capacity 1

	mu            sync.Mutex // guards following
	width, height uint16
}

// newConsole takes the size in the order of a ProcessConfig: height, then width.
func newConsole(size [2]uint) *console {
	return &console{
		resized: make(chan struct{}, 1),
		width:   uint16(cmp.Or(size[1], 80)),
		height:  uint16(cmp.Or(size[0], 25)),
	}
}

func (c *console) resize(width, height uint16) {
	c.mu.Lock()
	c.width, c.height = width, height
	c.mu.Unlock()
	select {
	case c.resized <- struct{}{}:
	default:
	}
}

func (c *console) size() (width, height uint16) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.width, c.height
}
