// Command engine is the program of the README: a container of package engine from
// its creation to its exit.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func main() {
	ctx := context.Background()
	spec := libcontainerd.Spec{
		Process: libcontainerd.Process{Args: []string{"cmd", "/c", "echo hello from %COMPUTERNAME%& exit 3"}, Cwd: `C:\`},
		Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{LayerFolder: `C:\layers\scratch`, LayerPaths: []string{`C:\layers\nanoserver`}},
	}
	eng, err := engine.New(engine.WithComputeService(hcstest.NewService())) // without the option: the HCS of the host
	check(err)
	c, err := eng.Run(ctx, "web1", spec, engine.WithStdio(nil, os.Stdout, os.Stderr))
	check(err)
	exit, err := c.Wait(ctx)
	check(err)
	fmt.Println("exit code", exit.Code)
	check(eng.Close(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
