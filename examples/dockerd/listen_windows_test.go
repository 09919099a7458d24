package main

import (
	"io"
	"testing"

	"github.com/Microsoft/go-winio"
	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestNamedPipeCarriesStreams(t *testing.T) {
	const address = "npipe:////./pipe/libcontainerd-dockerd-test"
	p := play(t, hcstest.WithProgram("echo", echo))
	p.serveOn(address)
	// Wine lets the first client connect to the handle that reserves the name, which
	// nobody reads.
	first, err := winio.DialPipe(`\\.\pipe\libcontainerd-dockerd-test`, nil)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	client, err := dockerclient.New(dockerclient.WithHost(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Ping(t.Context(), dockerclient.PingOptions{}); err != nil {
		t.Fatal(err)
	}
	id := p.create("in", func(o *dockerclient.ContainerCreateOptions) {
		o.Config.OpenStdin, o.Config.StdinOnce = true, true
	}, "echo")
	attached, err := client.ContainerAttach(t.Context(), id, dockerclient.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	waiting := client.ContainerWait(t.Context(), id, dockerclient.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	p.begin(id)
	if _, err := io.WriteString(attached.Conn, "text"); err != nil {
		t.Fatal(err)
	}
	if err := attached.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if out, _ := demux(t, attached.Reader); out != "got text" {
		t.Errorf("output %q", out)
	}
	if code := exitCode(t, waiting); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
