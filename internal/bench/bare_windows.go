package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/Microsoft/hcsshim"
)

// bare is the plainest engine on hcsshim. Its only state is a table of
// containers. It has no limits of time, and does not handle failures.
type bare struct {
	mu         sync.Mutex // guards following
	containers map[string]*bareContainer
}

type bareContainer struct {
	config    *hcsshim.ContainerConfig
	container hcsshim.Container
	init      bareProcess
}

type bareProcess struct {
	process hcsshim.Process
	stdin   io.Closer
	output  *sync.WaitGroup // until it has been read
}

func newBare() *bare { return &bare{containers: make(map[string]*bareContainer)} }

func (*bare) name() string { return "hcsshim" }

func (b *bare) life(id string, exec bool) error {
	if exec {
		return b.lifeWithExec(id)
	}
	c, err := b.run(id, endsAtOnce)
	if err != nil {
		return err
	}
	if err := c.init.finish(); err != nil {
		return err
	}
	return b.end(id, c, c.container.Shutdown)
}

func (b *bare) lifeWithExec(id string) error {
	c, err := b.run(id, untilStopped)
	if err != nil {
		return err
	}
	p, err := startProcess(c.container, endsAtOnce)
	if err != nil {
		return err
	}
	if err := p.finish(); err != nil {
		return err
	}
	return b.stop(id)
}

func (b *bare) start(id string) error {
	_, err := b.run(id, untilStopped)
	return err
}

func (b *bare) stop(id string) error {
	b.mu.Lock()
	c := b.containers[id]
	b.mu.Unlock()
	if err := b.end(id, c, c.container.Terminate); err != nil {
		return err
	}
	return c.init.finish()
}

// run creates and starts a container, and its init process.
func (b *bare) run(id, commandLine string) (*bareContainer, error) {
	config, err := bareConfig(id, layerID)
	if err != nil {
		return nil, err
	}
	c := &bareContainer{config: config}
	if c.container, err = hcsshim.CreateContainer(id, config); err != nil {
		return nil, err
	}
	if err := c.container.Start(); err != nil {
		return nil, err
	}
	if c.init, err = startProcess(c.container, commandLine); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.containers[id] = c
	return c, nil
}

// end asks for the end of the container, and waits for it.
func (b *bare) end(id string, c *bareContainer, ask func() error) error {
	if err := ask(); err != nil && !hcsshim.IsPending(err) {
		return err
	}
	if err := errors.Join(c.container.Wait(), c.container.Close()); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.containers, id)
	return nil
}

func startProcess(container hcsshim.Container, commandLine string) (bareProcess, error) {
	process, err := container.CreateProcess(&hcsshim.ProcessConfig{
		CommandLine:      commandLine,
		WorkingDirectory: `C:\`,
		Environment:      map[string]string{"GREETING": "hello"},
		EmulateConsole:   true,
		ConsoleSize:      [2]uint{25, 80},
		CreateStdInPipe:  true,
		CreateStdOutPipe: true,
	})
	if err != nil {
		return bareProcess{}, err
	}
	stdin, stdout, _, err := process.Stdio()
	if err != nil {
		return bareProcess{}, err
	}
	p := bareProcess{process, stdin, new(sync.WaitGroup)}
	p.output.Go(func() {
		_ = read(stdout)
		stdout.Close()
	})
	return p, nil
}

// finish waits until the process has ended and its output has been read.
func (p bareProcess) finish() error {
	if err := p.process.Wait(); err != nil {
		return err
	}
	if _, err := p.process.ExitCode(); err != nil {
		return err
	}
	p.output.Wait()
	return errors.Join(p.stdin.Close(), p.process.Close())
}

// bareConfig fills hcsshim's struct for the container that clientSpec describes.
func bareConfig(id string, layerID func(name string) (string, error)) (*hcsshim.ContainerConfig, error) {
	config := &hcsshim.ContainerConfig{
		SystemType:              "Container",
		Name:                    id,
		Owner:                   "docker",
		VolumePath:              volume,
		IgnoreFlushesDuringBoot: true,
		LayerFolderPath:         scratch,
		HostName:                "web",
		ProcessorWeight:         512,
		MemoryMaximumInMB:       1024,
		MappedDirectories:       []hcsshim.MappedDir{{HostPath: `D:\data`, ContainerPath: `C:\data`}},
		EndpointList:            []string{endpoint},
	}
	for _, path := range []string{`C:\layers\app`, `C:\layers\base`} {
		id, err := layerID(filepath.Base(path))
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", path, err)
		}
		config.Layers = append(config.Layers, hcsshim.Layer{ID: id, Path: path})
	}
	return config, nil
}

func layerID(name string) (string, error) {
	id, err := hcsshim.NameToGuid(name)
	return id.ToString(), err
}

func (*bare) document() (string, error) {
	config, err := bareConfig("web", knownLayerID)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(config)
	return string(text), err
}

// knownLayerID returns a layer id that the engine has remembered from hcsshim.
func knownLayerID(name string) (string, error) {
	id, ok := known[name]
	if !ok {
		return "", errors.New("unknown")
	}
	return id.ToString(), nil
}

var known = map[string]hcsshim.GUID{"app": {1, 2, 3}, "base": {4, 5, 6}}

const (
	volume   = `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`
	scratch  = `C:\layers\scratch`
	endpoint = "f742124c-1ea8-49c4-9a56-23b9de216ca1"
)
