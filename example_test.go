package libcontainerd_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// printer is the smallest Backend that shows something: it prints what the
// containers write, and hands on their exits.
type printer struct {
	output sync.WaitGroup
	exits  chan libcontainerd.StateInfo
}

func (e *printer) AttachStreams(name string, pipes libcontainerd.IOPipe) error {
	for _, r := range []io.Reader{pipes.Stdout, pipes.Stderr} {
		if r != nil { // there is no stderr with a terminal
			e.output.Go(func() {
				for lines := bufio.NewScanner(r); lines.Scan(); {
					if lines.Text() != "" {
						fmt.Printf("%s: %s\n", name, lines.Text())
					}
				}
			})
		}
	}
	return pipes.Stdin.Close()
}

func (e *printer) StateChanged(_ string, state libcontainerd.StateInfo) error {
	if state.State == libcontainerd.StateExit || state.State == libcontainerd.StateExitProcess {
		e.exits <- state
	}
	return nil
}

func webServer(args ...string) libcontainerd.Spec {
	return libcontainerd.Spec{
		Process:  libcontainerd.Process{Args: args, Cwd: `C:\`},
		Root:     libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Hostname: "web1",
		Windows: libcontainerd.Windows{
			LayerFolder: `C:\layers\scratch`,
			LayerPaths:  []string{`C:\layers\nanoserver`},
		},
	}
}

// A container from its creation to its exit. On Windows, leave
// WithComputeService out to use the HCS of the host.
func Example() {
	e := &printer{exits: make(chan libcontainerd.StateInfo)}
	client, err := libcontainerd.NewClient(e, libcontainerd.WithComputeService(hcstest.NewService()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	if err := client.Create("web1", webServer("cmd", "/c", "echo hello from %COMPUTERNAME%& exit 3")); err != nil {
		fmt.Println(err)
		return
	}
	exit := <-e.exits
	e.output.Wait()
	fmt.Println("exit code", exit.ExitCode)
	// Output:
	// web1: hello from WEB1
	// exit code 3
}

// A second process in a running container, and the end of both.
func ExampleClient() {
	e := &printer{exits: make(chan libcontainerd.StateInfo)}
	client, err := libcontainerd.NewClient(e, libcontainerd.WithComputeService(hcstest.NewService()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	// ServiceMonitor runs until its container is stopped.
	if err := client.Create("web1", webServer("ServiceMonitor", "w3svc")); err != nil {
		fmt.Println(err)
		return
	}
	if err := client.AddProcess("web1", "check", libcontainerd.Process{Args: []string{"whoami"}}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exit code of", (<-e.exits).ProcessID)

	if err := client.Signal("web1", 15); err != nil {
		fmt.Println(err)
		return
	}
	exit := <-e.exits
	fmt.Printf("exit code of %s: %#x %s\n", exit.ProcessID, exit.ExitCode, libcontainerd.ExitName(exit.ExitCode))
	e.output.Wait()
	// Unordered output:
	// web1: Service 'w3svc' started
	// check: user manager\containeradministrator
	// exit code of check
	// exit code of init: 0xc000013a STATUS_CONTROL_C_EXIT
}

// The document that HCS would get can be seen without a client.
func ExampleConfiguration() {
	document, err := libcontainerd.Configuration("web1", webServer("cmd"), hcstest.NewService())
	if err != nil {
		fmt.Println(err)
		return
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(document), "", "  "); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(indented.String())
	// Output:
	// {
	//   "SystemType": "Container",
	//   "Name": "web1",
	//   "Owner": "docker",
	//   "IsDummy": false,
	//   "VolumePath": "\\\\?\\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}",
	//   "Devices": null,
	//   "IgnoreFlushesDuringBoot": false,
	//   "LayerFolderPath": "C:\\layers\\scratch",
	//   "Layers": [
	//     {
	//       "ID": "1dab7fc0-b59a-56a4-8821-a8ce3ec4f4db",
	//       "Path": "C:\\layers\\nanoserver"
	//     }
	//   ],
	//   "HostName": "web1",
	//   "MappedDirectories": [],
	//   "SandboxPath": "",
	//   "HvPartition": false,
	//   "EndpointList": null
	// }
}

// A failure answers whoever asks: for its kind, for its code, or for what to do.
func ExampleError() {
	service := hcstest.NewService()
	service.Fail(hcstest.OpCreate, "web1", libcontainerd.CodeImageMismatch)
	client, err := libcontainerd.NewClient(&printer{}, libcontainerd.WithComputeService(service))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	err = client.Create("web1", webServer("cmd"))
	fmt.Println(errdefs.IsFailedPrecondition(err))
	fmt.Println(errors.Is(err, libcontainerd.CodeImageMismatch))
	if e, ok := errors.AsType[*libcontainerd.Error](err); ok {
		fmt.Println(e.Retry())
		fmt.Println(e.Hint())
	}
	fmt.Println(err)
	// Output:
	// true
	// true
	// do not retry
	// use Hyper-V isolation or an image for this build
	// create container "web1": HCS 0xC0370101 IMAGE_MISMATCH: container OS does not match host (host build 20348): hint: use Hyper-V isolation or an image for this build
}
