package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// webSpec is a container that runs a command. Its layers come from an image.
func webSpec(args ...string) libcontainerd.Spec {
	return libcontainerd.Spec{
		Process: libcontainerd.Process{Args: args, Cwd: `C:\`},
		Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{LayerFolder: `C:\layers\scratch`, LayerPaths: []string{`C:\layers\nanoserver`}},
	}
}

// A container from its creation to its exit, here on a simulated HCS.
func Example() {
	ctx := context.Background()
	eng, err := engine.New(engine.WithComputeService(hcstest.NewService()))
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close(ctx)
	var output strings.Builder
	c, err := eng.Run(ctx, "web1", webSpec("cmd", "/c", "echo hello& exit 3"), engine.WithStdio(nil, &output, os.Stderr))
	if err != nil {
		log.Fatal(err)
	}
	exit, err := c.Wait(ctx)
	fmt.Println(strings.TrimSpace(output.String()))
	fmt.Println("exit code", exit.Code, exit.Err, err)
	// Output:
	// hello
	// exit code 3 <nil> <nil>
}

func ExampleContainer_Exec() {
	ctx := context.Background()
	eng, err := engine.New(engine.WithComputeService(hcstest.NewService()))
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close(ctx)
	c, err := eng.Run(ctx, "web1", webSpec("ping", "-t", "localhost"))
	if err != nil {
		log.Fatal(err)
	}
	var output strings.Builder
	p, err := c.Exec(ctx, libcontainerd.Process{Args: []string{"cmd", "/c", "echo healthy"}},
		engine.WithName("health"), engine.WithStdio(nil, &output, &output))
	if err != nil {
		log.Fatal(err)
	}
	exit, err := p.Wait(ctx)
	fmt.Println(p.Name(), exit.Code, strings.TrimSpace(output.String()), err)
	fmt.Println(c.Stop(ctx, 10*time.Second), c.Status().Phase)
	// Output:
	// health 0 healthy <nil>
	// <nil> exited
}

// A container that fails is started again, three times at most.
func ExampleWithRestart() {
	ctx := context.Background()
	eng, err := engine.New(engine.WithComputeService(hcstest.NewService()))
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close(ctx)
	c, err := eng.Run(ctx, "web1", webSpec("cmd", "/c", "exit 1"), engine.WithRestart(engine.OnFailure(3)))
	if err != nil {
		log.Fatal(err)
	}
	exit, err := c.Wait(ctx)
	fmt.Println("exit code", exit.Code, "after", c.Status().Restarts, "restarts", err)
	// Output: exit code 1 after 3 restarts <nil>
}

// The log file is read back, here what was written last.
func ExampleContainer_Logs() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "logs")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	eng, err := engine.New(engine.WithComputeService(hcstest.NewService()))
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close(ctx)
	c, err := eng.Run(ctx, "web1", webSpec("cmd", "/c", "echo one& echo two& echo three"),
		engine.WithLogFile(filepath.Join(dir, "web1-json.log"), engine.LogOptions{MaxSize: 10 << 20, MaxFiles: 3}))
	if err != nil {
		log.Fatal(err)
	}
	for entry, err := range c.Logs(ctx, engine.LogQuery{Follow: true}) { // until the container has exited
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Stream, strings.TrimSpace(entry.Text))
	}
	// Output:
	// stdout one
	// stdout two
	// stdout three
}

// An engine that is started again goes on with the containers of the one before it.
func ExampleWithStateDir() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "state")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	hcs := hcstest.NewService(hcstest.WithProgram("server", nil))
	first, err := engine.New(engine.WithComputeService(hcs), engine.WithStateDir(dir))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := first.Run(ctx, "web1", webSpec("server"), engine.WithLabels(map[string]string{"app": "web"})); err != nil {
		log.Fatal(err)
	}
	first.Close(ctx) // or it dies

	second, err := engine.New(engine.WithComputeService(hcs), engine.WithStateDir(dir))
	if err != nil {
		log.Fatal(err)
	}
	defer second.Close(ctx)
	for _, c := range second.Containers() {
		fmt.Println(c.ID(), c.Labels(), c.Status().Phase)
		fmt.Println(c.Kill(ctx), c.Status().Phase, c.Remove(ctx))
	}
	// Output:
	// web1 map[app:web] running
	// <nil> exited <nil>
}

// Events are read at any pace, from any number on.
func ExampleEngine_Events() {
	ctx := context.Background()
	eng, err := engine.New(engine.WithComputeService(hcstest.NewService()))
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close(ctx)
	if _, err := eng.Run(ctx, "web1", webSpec("cmd", "/c", "exit 3"), engine.WithAutoRemove()); err != nil {
		log.Fatal(err)
	}
	for event := range eng.Events(ctx, 0) {
		fmt.Println(event.Type, event.ContainerID, event.ExitCode)
		if event.Type == engine.EventRemove {
			break
		}
	}
	// Output:
	// start web1 0
	// exit web1 3
	// remove web1 0
}
