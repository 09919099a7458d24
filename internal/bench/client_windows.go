package main

import (
	"sync"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/sirupsen/logrus"
)

// client is the plainest engine on a Client.
type client struct {
	libcontainerd.Client
	known libcontainerd.ComputeService // the host's HCS, with remembered layer ids

	mu         sync.Mutex // guards following
	containers map[string]*clientContainer
}

type clientContainer struct {
	spec   libcontainerd.Spec
	exits  chan error      // of the container, and of an exec'd process
	output *sync.WaitGroup // until it has been read
}

func newClient() (*client, error) {
	service, err := libcontainerd.HostService()
	if err != nil {
		return nil, err
	}
	c := &client{known: knownLayers{service}, containers: make(map[string]*clientContainer)}
	c.Client, err = libcontainerd.NewClient(c, libcontainerd.WithLogger(logrus.NewEntry(logrus.StandardLogger())))
	return c, err
}

func (c *client) close() error { return c.Close() }

func (*client) name() string { return "client" }

func (c *client) AttachStreams(id string, pipe libcontainerd.IOPipe) error {
	return c.attach(id, pipe)
}

func (c *client) AttachProcessStreams(id, _ string, _ uint32, pipe libcontainerd.IOPipe) error {
	return c.attach(id, pipe)
}

func (c *client) attach(id string, pipe libcontainerd.IOPipe) error {
	c.find(id).output.Go(func() { _ = read(pipe.Stdout) })
	return nil
}

func (c *client) StateChanged(id string, info libcontainerd.StateInfo) error {
	switch info.State {
	case libcontainerd.StateExit, libcontainerd.StateExitProcess:
		c.find(id).exits <- info.Err
	}
	return nil
}

func (c *client) find(id string) *clientContainer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.containers[id]
}

func (c *client) life(id string, exec bool) error {
	commandLine := endsAtOnce
	if exec {
		commandLine = untilStopped // an exec needs a container that runs
	}
	ctr, err := c.run(id, commandLine)
	if err != nil {
		return err
	}
	if exec {
		if err := c.AddProcess(id, "exec", *clientProcess(endsAtOnce)); err != nil {
			return err
		}
		if err := <-ctr.exits; err != nil {
			return err
		}
		return c.stop(id)
	}
	return c.finish(id, ctr)
}

func (c *client) start(id string) error {
	_, err := c.run(id, untilStopped)
	return err
}

func (c *client) stop(id string) error {
	if err := c.Signal(id, libcontainerd.SignalKill); err != nil {
		return err
	}
	return c.finish(id, c.find(id))
}

func (c *client) run(id, commandLine string) (*clientContainer, error) {
	ctr := &clientContainer{spec: clientSpec(commandLine), exits: make(chan error, 1), output: new(sync.WaitGroup)}
	c.mu.Lock()
	c.containers[id] = ctr
	c.mu.Unlock()
	return ctr, c.Create(id, ctr.spec)
}

func (c *client) finish(id string, ctr *clientContainer) error {
	err := <-ctr.exits
	ctr.output.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.containers, id)
	return err
}

func clientProcess(commandLine string) *libcontainerd.Process {
	return &libcontainerd.Process{
		Terminal:           true,
		InitialConsoleSize: [2]int{25, 80},
		Args:               []string{commandLine},
		Cwd:                `C:\`,
		Env:                []string{"GREETING=hello"},
	}
}

// clientSpec describes the same container as bareConfig.
func clientSpec(commandLine string) libcontainerd.Spec {
	return libcontainerd.Spec{
		Version:  libcontainerd.Version,
		Process:  *clientProcess(commandLine),
		Root:     libcontainerd.Root{Path: volume},
		Hostname: "web",
		Mounts:   []libcontainerd.Mount{{Source: `D:\data`, Destination: `C:\data`}},
		Windows: libcontainerd.Windows{
			LayerFolder: scratch,
			LayerPaths:  []string{`C:\layers\app`, `C:\layers\base`},
			FirstStart:  true,
			Networking:  &libcontainerd.Networking{EndpointList: []string{endpoint}},
			Resources: &libcontainerd.Resources{
				CPU:    &libcontainerd.CPU{Shares: new(uint64(512))},
				Memory: &libcontainerd.Memory{Limit: new(int64(1 << 30))},
			},
		},
	}
}

func (c *client) document() (string, error) {
	return libcontainerd.Configuration("web", clientSpec(untilStopped), c.known)
}

// knownLayers is a service that remembers the ids of layers.
type knownLayers struct{ libcontainerd.ComputeService }

func (knownLayers) LayerID(name string) (string, error) { return knownIDs[name], nil }

var knownIDs = map[string]string{
	"app":  "f742124c-1ea8-49c4-9a56-23b9de216ca1",
	"base": "0f1d5a3b-3f0a-4bd4-9d7e-0c6a4b1f2e11",
}
