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

// engine is the smallest engine: it collects the output of its containers, and
// reports when one has ended.
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
	if pipes.Stdout != nil {
		go func() {
			text, _ := io.ReadAll(pipes.Stdout)
			e.output <- strings.TrimSpace(string(text))
		}()
	}
	if pipes.Stdin == nil {
		return nil // after a restart of the engine there may be no streams
	}
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

// A program that is not a test makes its Service with NewService, and calls Check
// at the end to find what is left. In a test use New(t), which checks by itself.
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

// A test can register its own programs.
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

// A test can make go wrong what goes wrong on Windows.
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

// A Rule chooses calls, and a Fault says what happens to them. Here HCS starts
// the second container, but answers with an error. The client must end the
// container that then runs.
func ExampleService_Inject() {
	svc := hcstest.NewService()
	client, err := libcontainerd.NewClient(newEngine(), libcontainerd.WithComputeService(svc))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	in := svc.Inject(hcstest.Rule{
		Op:   hcstest.OpStart,
		Skip: 1, // the first start passes
		Fault: hcstest.Fault{
			Err:  libcontainerd.CodeRPCFailed,
			Done: true, // it is carried out all the same
		},
	})
	for _, id := range []string{"web1", "web2"} {
		err := client.Create(id, webSpec("ping", "-t", "localhost"))
		fmt.Println(id, "refused:", errors.Is(err, libcontainerd.CodeRPCFailed))
	}
	fmt.Println("starts that failed:", in.Hits())

	systems, err := svc.ComputeSystems("")
	for _, system := range systems {
		fmt.Println("runs:", system.ID)
	}
	svc.Heal() // the end of all faults
	fmt.Println(err, client.Signal("web1", libcontainerd.SignalKill))
	// Output:
	// web1 refused: false
	// web2 refused: true
	// starts that failed: 1
	// runs: web1
	// <nil> <nil>
}

// An engine dies and comes back. Close plays its death: the containers run on, and
// the first engine gets no further event. The second engine takes them up again.
func Example_restartOfTheEngine() {
	svc := hcstest.NewService()
	first, err := libcontainerd.NewClient(newEngine(), libcontainerd.WithComputeService(svc))
	if err != nil {
		fmt.Println(err)
		return
	}
	spec := webSpec("ping", "-t", "localhost")
	if err := first.Create("web1", spec); err != nil {
		fmt.Println(err)
		return
	}
	pids, err := first.GetPidsForContainer("web1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the first engine dies:", first.Close())

	engine := newEngine()
	second, err := libcontainerd.NewClient(engine, libcontainerd.WithComputeService(svc))
	if err != nil {
		fmt.Println(err)
		return
	}
	// An engine has the spec and the pid of the init process on its disk.
	if err := second.Restore("web1", libcontainerd.WithReattach(spec, uint32(pids[0]))); err != nil {
		fmt.Println(err)
		return
	}
	state, err := second.State("web1")
	fmt.Println("the second engine finds it", state, err)
	if err := second.Signal("web1", libcontainerd.SignalTerminate); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exit code", libcontainerd.ExitName((<-engine.exit).ExitCode))
	fmt.Println(errors.Join(second.Close(), svc.Settle(time.Second)))
	// Output:
	// the first engine dies: <nil>
	// the second engine finds it running <nil>
	// exit code STATUS_CONTROL_C_EXIT
	// <nil>
}

// oneLayer is a ComputeService that gives every layer the same id.
type oneLayer struct{ libcontainerd.ComputeService }

func (oneLayer) LayerID(string) (string, error) { return aGUID, nil }

const aGUID = "66d1ef4c-7a00-11e6-8948-00155ddbef9d"

// The suite returns one error for each behaviour that differs from what the
// client relies on. A test fails if it returns any.
func ExampleTestComputeService() {
	svc := hcstest.NewService()
	fmt.Println(hcstest.TestComputeService(svc, hcstest.SuiteConfig{}))
	err := hcstest.TestComputeService(oneLayer{svc}, hcstest.SuiteConfig{})
	fmt.Println(strings.ReplaceAll(err.Error(), aGUID, "GUID"))
	// Output:
	// <nil>
	// a layer's id is a GUID that depends on its name alone: ids of one, one and two: "GUID", "GUID", "GUID"
}
