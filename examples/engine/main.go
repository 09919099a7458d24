// Command engine is the first program of package engine: a container from its
// creation to its exit.
package main

import (
	"context"
	"log"
	"os"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func main() {
	ctx := context.Background()
	// On Windows, without WithComputeService: the HCS of the host.
	eng, err := engine.New(engine.WithComputeService(hcstest.NewService()))
	check(err)
	c, err := eng.Run(ctx, "web1", libcontainerd.Spec{
		Process: libcontainerd.Process{Args: []string{"cmd", "/c", "echo hello from %COMPUTERNAME%& exit 3"}, Cwd: `C:\`},
		Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{LayerFolder: `C:\layers\scratch`, LayerPaths: []string{`C:\layers\nanoserver`}},
	}, engine.WithStdio(os.Stdin, os.Stdout, os.Stderr))
	check(err)
	exit, err := c.Wait(ctx)
	check(err)
	check(eng.Close(ctx))
	os.Exit(int(exit.Code))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
