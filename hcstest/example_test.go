package hcstest_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// engine is the smallest engine: it collects what its containers print, and
// tells when one has ended.
type engine struct {
	output chan string
	exit   chan libcontainerd.StateInfo
}

func newEngine() *engine {
	return &engine{output: make(chan string, 1), exit: make(chan libcontainerd.StateInfo, 1)}
}

func (e *engine) AttachStreams(_ string, pipes libcontainerd.IOPipe) error {
	if pipes.Stderr != nil {
		go io.Copy(io.Discard, pipes.Stderr)
	}
	go func() {
		text, _ := io.ReadAll(pipes.Stdout)
		e.output <- strings.TrimSpace(string(text))
	}()
	return pipes.Stdin.Close()
}

func (e *engine) StateChanged(_ string, state libcontainerd.StateInfo) error {
	if state.State == libcontainerd.StateExit {
		e.exit <- state
	}
	return nil
}

// webSpec is a container that prints something and ends.
func webSpec(args ...string) libcontainerd.Spec {
	return libcontainerd.Spec{
		Hostname: "web",
		Process:  libcontainerd.Process{Args: args, Cwd: `C:\`},
		Root:     libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{
			LayerFolder: `C:\layers\scratch`,
			LayerPaths:  []string{`C:\layers\servercore`},
		},
	}
}

// A program that is no test makes its Service with NewService, and asks at the
// end whether anything is left. In a test it is New(t), which asks by itself.
func ExampleNewService() {
	svc := hcstest.NewService()
	engine := newEngine()
	client, err := libcontainerd.NewClient(engine, libcontainerd.WithComputeService(svc))
	if err != nil {
		fmt.Println(err)
		return
	}

	if err := client.Create("web1", webSpec("cmd", "/c", "echo hello from %COMPUTERNAME%&", "exit", "3")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-engine.output)
	fmt.Println("exit code", (<-engine.exit).ExitCode)

	fmt.Println(errors.Join(client.Close(), svc.Settle(time.Second)))
	// Output:
	// hello from WEB
	// exit code 3
	// <nil>
}

// A test can register programs of its own.
func ExampleWithProgram() {
	greet := func(p *hcstest.Process) uint32 {
		fmt.Fprintln(p.Stdout, "hello,", p.Args[1])
		return 0
	}
	svc := hcstest.NewService(hcstest.WithProgram("greet.exe", greet))
	engine := newEngine()
	client, err := libcontainerd.NewClient(engine, libcontainerd.WithComputeService(svc))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	if err := client.Create("web1", webSpec("greet", "gopher")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-engine.output)
	<-engine.exit
	// Output: hello, gopher
}

// What goes wrong on Windows goes wrong here, when it is asked to.
func ExampleService_Fail() {
	svc := hcstest.NewService()
	client, err := libcontainerd.NewClient(newEngine(), libcontainerd.WithComputeService(svc))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	svc.Fail(hcstest.OpStart, "web1", libcontainerd.CodeUnexpectedExit)
	err = client.Create("web1", webSpec("cmd"))
	fmt.Println("unexpected exit:", errors.Is(err, libcontainerd.CodeUnexpectedExit))
	for _, call := range svc.Calls() {
		fmt.Println(call)
	}
	fmt.Println("left over:", svc.Check())
	// Output:
	// unexpected exit: true
	// Create web1
	// Start web1
	// Terminate web1
	// Close web1
	// left over: <nil>
}
