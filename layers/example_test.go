package layers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// waiting is a backend that waits for one exit.
type waiting struct{ exit chan uint32 }

func (waiting) AttachStreams(_ string, pipes libcontainerd.IOPipe) error {
	pipes.Stdin.Close()
	go io.Copy(io.Discard, pipes.Stdout)
	go io.Copy(io.Discard, pipes.Stderr)
	return nil
}

func (w waiting) StateChanged(_ string, info libcontainerd.StateInfo) error {
	if info.State == libcontainerd.StateExit {
		w.exit <- info.ExitCode
	}
	return nil
}

// A container on an image that Docker has, here with a simulated host. On Windows
// neither WithDriver nor WithComputeService is needed.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "layers")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	image := filepath.Join(folder, "nanoserver") // docker image inspect prints it
	if err := os.Mkdir(image, 0o755); err != nil {
		fmt.Println(err)
		return
	}

	stack, err := layers.Docker(image)
	if err != nil {
		fmt.Println(err)
		return
	}
	mounted, err := layers.Mount(ctx, stack, filepath.Join(folder, "web1"),
		layers.WithContainer("web1"), layers.WithDriver(hcstest.NewLayerStore()))
	if err != nil {
		fmt.Println(err)
		return
	}
	code, err := run("web1", mounted)
	err = errors.Join(err, mounted.Unmount(ctx)) // web1 has ended, or was not created
	fmt.Println(code, err)
	// Output: 7 <nil>
}

// run runs a container and waits for its exit.
func run(id string, mounted *layers.Mounted) (uint32, error) {
	backend := waiting{exit: make(chan uint32, 1)}
	client, err := libcontainerd.NewClient(backend, libcontainerd.WithComputeService(hcstest.NewService()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	spec := libcontainerd.Spec{Process: libcontainerd.Process{Args: []string{"cmd", "/c", "exit 7"}, Cwd: `C:\`}}
	mounted.Apply(&spec)
	if err := client.Create(id, spec); err != nil {
		return 0, err
	}
	return <-backend.exit, nil
}

// An image from a file that "docker save" wrote.
func ExampleImport() {
	file, err := os.Open("nanoserver.tar.gz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	image, err := layers.Import(context.Background(), file, `C:\ProgramData\store`, layers.WithProgress(func(p layers.Progress) {
		fmt.Printf("layer %d of %d: %s, %d of %d bytes\n", p.Layer, p.Layers, p.Step, p.Bytes, p.Total)
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.Names, image.OSVersion, image.Layers)
}
