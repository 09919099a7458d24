// Command first is the program of docs/engines.md: a container from its creation to
// its exit.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"sync"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

type engine struct {
	output sync.WaitGroup
	exit   chan libcontainerd.StateInfo
}

func (e *engine) AttachStreams(_ string, pipes libcontainerd.IOPipe) error {
	e.output.Go(func() { io.Copy(os.Stdout, pipes.Stdout) })
	e.output.Go(func() { io.Copy(os.Stderr, pipes.Stderr) })
	return pipes.Stdin.Close()
}

func (e *engine) StateChanged(_ string, state libcontainerd.StateInfo) error {
	if state.State == libcontainerd.StateExit {
		e.exit <- state
	}
	return nil
}

func main() {
	e := &engine{exit: make(chan libcontainerd.StateInfo, 1)}
	// On Windows, without WithComputeService: the HCS of the host.
	client, err := libcontainerd.NewClient(e, libcontainerd.WithComputeService(hcstest.NewService()))
	if err != nil {
		log.Fatal(err)
	}
	err = client.Create("web1", libcontainerd.Spec{
		Process: libcontainerd.Process{Args: []string{"cmd", "/c", "echo hello from %COMPUTERNAME%& exit 3"}, Cwd: `C:\`},
		Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{LayerFolder: `C:\layers\scratch`, LayerPaths: []string{`C:\layers\nanoserver`}},
	})
	if err != nil {
		log.Fatal(err)
	}
	exit := <-e.exit
	e.output.Wait()
	fmt.Println("exit code", exit.ExitCode)
}
