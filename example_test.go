package libcontainerd_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// printer is the smallest Backend that shows something: it hands on what the
// containers write, and their exits.
type printer struct {
	lines chan string
	exits chan libcontainerd.StateInfo
}

func newPrinter() *printer {
	return &printer{lines: make(chan string, 10), exits: make(chan libcontainerd.StateInfo, 10)}
}

func (e *printer) AttachStreams(name string, pipes libcontainerd.IOPipe) error {
	for _, r := range []io.Reader{pipes.Stdout, pipes.Stderr} {
		if r != nil { // there is no stderr with a terminal
			go func() {
				for lines := bufio.NewScanner(r); lines.Scan(); {
					if lines.Text() != "" {
						e.lines <- name + ": " + lines.Text()
					}
				}
			}()
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
	e := newPrinter()
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
	fmt.Println(<-e.lines)
	fmt.Println("exit code", (<-e.exits).ExitCode)
	// Output:
	// web1: hello from WEB1
	// exit code 3
}

// A second process in a running container, and the end of both.
func ExampleClient() {
	e := newPrinter()
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
	fmt.Println(<-e.lines)
	if err := client.AddProcess("web1", "check", libcontainerd.Process{Args: []string{"whoami"}}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-e.lines)
	fmt.Println("exit code of", (<-e.exits).ProcessID)

	if err := client.Signal("web1", 15); err != nil {
		fmt.Println(err)
		return
	}
	exit := <-e.exits
	fmt.Printf("exit code of %s: %#x %s\n", exit.ProcessID, exit.ExitCode, libcontainerd.ExitName(exit.ExitCode))
	// Output:
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
	// use Hyper-V isolation or an image for this build whose revision is not newer than the host's
	// create container "web1": HCS 0xC0370101 IMAGE_MISMATCH: container OS does not match host (host build 20348): hint: use Hyper-V isolation or an image for this build whose revision is not newer than the host's
}
