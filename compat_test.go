package libcontainerd_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/docker/go-connections/nat"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// daemon uses nothing that libcontainerd did not have in spring 2016, in the way
// engines used it then: a lock per container that is held while the client is
// called and taken in the callbacks of exits, which wait for the streams.
type daemon struct {
	containerd libcontainerd.Client
	containers map[string]*daemonContainer
}

type daemonContainer struct {
	sync.Mutex
	running    bool
	restarting bool
	exitCode   uint32
	streams    sync.WaitGroup
	lines      chan string
	stopped    chan bool
	execs      map[string]chan uint32
}

func (d *daemon) StateChanged(id string, e libcontainerd.StateInfo) error {
	c := d.containers[id]
	switch e.State {
	case libcontainerd.StateStart, libcontainerd.StateRestore:
		c.running, c.restarting = true, false // the lock is held already
	case libcontainerd.StateRestart:
		c.Lock()
		defer c.Unlock()
		c.streams.Wait()
		c.restarting = true
	case libcontainerd.StateExit:
		c.Lock()
		defer c.Unlock()
		c.streams.Wait()
		c.running, c.exitCode = false, e.ExitCode
		c.stopped <- true
	case libcontainerd.StateExitProcess:
		c.Lock()
		defer c.Unlock()
		c.execs[e.ProcessID] <- e.ExitCode
	case libcontainerd.StatePause, libcontainerd.StateResume, libcontainerd.StateOOM, libcontainerd.StateStartProcess:
		return errors.New("unexpected state " + e.State)
	}
	return nil
}

func (d *daemon) AttachStreams(id string, iop libcontainerd.IOPipe) error {
	c := d.containers[id]
	if c == nil {
		c = d.containers["web"] // the id is that of an exec
	}
	streams := []io.Reader{iop.Stdout}
	if !iop.Terminal {
		streams = append(streams, iop.Stderr)
	}
	for _, r := range streams {
		c.streams.Go(func() {
			for s := bufio.NewScanner(r); s.Scan(); {
				c.lines <- s.Text()
			}
		})
	}
	return iop.Stdin.Close()
}

// onceMore is a restart manager that restarts once.
type onceMore struct{ restarts int }

func (m *onceMore) ShouldRestart(exitCode uint32) (bool, chan error, error) {
	m.restarts++
	wait := make(chan error)
	go close(wait)
	return m.restarts == 1, wait, nil
}

func (m *onceMore) Cancel() error { return nil }

func TestEngineOf2016(t *testing.T) {
	d := &daemon{containers: map[string]*daemonContainer{"web": {
		lines: make(chan string, 100), stopped: make(chan bool, 1), execs: map[string]chan uint32{"e1": make(chan uint32, 1)},
	}}}
	remote, err := libcontainerd.New("", libcontainerd.WithComputeService(hcstest.New(t)))
	must(t, err)
	defer remote.Cleanup()
	d.containerd, err = remote.Client(d)
	must(t, err)

	spec := libcontainerd.Spec{
		Version:  libcontainerd.Version,
		Platform: libcontainerd.Platform{OS: "windows", Arch: "amd64"},
		Windows:  libcontainerd.Windows{Resources: &libcontainerd.Resources{}, Networking: &libcontainerd.Networking{}},
	}
	var shares, count, iops, bps, bandwidth uint64 // an engine that sets no limits
	var limit, percent int64
	spec.Hostname = "web"
	spec.Root = libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`, Readonly: false}
	spec.Mounts = append(spec.Mounts, libcontainerd.Mount{Source: `d:\data`, Destination: `c:\data`, Readonly: true})
	spec.Process = libcontainerd.Process{
		Args: []string{"cmd", "/c", "echo up& ping -t localhost"}, Cwd: `C:\`, Env: []string{"A=b"},
		User: libcontainerd.User{}, Terminal: true, InitialConsoleSize: [2]int{25, 80},
	}
	spec.Windows.FirstStart = true
	spec.Windows.LayerFolder = `C:\layers\rw`
	spec.Windows.LayerPaths = []string{`C:\layers\base`}
	spec.Windows.Networking = &libcontainerd.Networking{
		MacAddress: "", Bridge: "", PortBindings: nat.PortMap{}, EndpointList: []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"},
	}
	spec.Windows.Resources = &libcontainerd.Resources{
		CPU:     &libcontainerd.CPU{Count: &count, Shares: &shares, Percent: &percent},
		Memory:  &libcontainerd.Memory{Limit: &limit},
		Storage: &libcontainerd.Storage{Iops: &iops, Bps: &bps},
		Network: &libcontainerd.Network{Bandwidth: &bandwidth},
	}

	c := d.containers["web"]
	c.Lock()
	must(t, d.containerd.Create("web", spec, libcontainerd.WithRestartManager(&onceMore{})))
	await := func(want string) {
		t.Helper()
		for line := range c.lines {
			if line == want {
				return
			}
		}
	}
	await("up")
	must(t, d.containerd.AddProcess("web", "e1", libcontainerd.Process{Args: []string{"cmd", "/c", "echo exec& exit 3"}, Terminal: false}))
	await("exec")
	must(t, d.containerd.Resize("web", libcontainerd.InitFriendlyName, 120, 40))
	if pids, err := d.containerd.GetPidsForContainer("web"); err != nil || len(pids) == 0 {
		t.Errorf("pids %v, %v", pids, err)
	}
	if list, err := d.containerd.Summary("web"); err != nil || len(list) == 0 || list[0].Command != "cmd" {
		t.Errorf("summary %v, %v", list, err)
	}
	must(t, d.containerd.UpdateResources("web", libcontainerd.Resources{}))
	c.Unlock()
	if code := <-c.execs["e1"]; code != 3 {
		t.Errorf("exit code of the exec: %d", code)
	}

	must(t, d.containerd.Signal("web", 9)) // the restart manager starts it again
	await("up")
	c.Lock()
	must(t, d.containerd.Signal("web", int(15)))
	c.Unlock()
	<-c.stopped
	if c.running || c.exitCode != 0xc000013a {
		t.Errorf("running %v, exit code %s", c.running, fmt.Sprintf("%#x", c.exitCode))
	}
	must(t, d.containerd.Restore("web"))
	<-c.stopped
	if c.exitCode != 1<<31 {
		t.Errorf("restored with exit code %#x", c.exitCode)
	}
}
