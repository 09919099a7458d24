package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	dockerclient "github.com/moby/moby/client"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
	"go.uber.org/goleak"
)

// asDaemon has the test binary be the daemon: its value is the arguments.
const asDaemon = "DOCKERD_TEST_ARGUMENTS"

func TestMain(m *testing.M) {
	if args := os.Getenv(asDaemon); args != "" {
		if err := serve(context.Background(), strings.Split(args, "\n"), os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Microsoft/go-winio.ioCompletionProcessor")) // one for the process
}

// host is a simulated computer, on which daemons come and go.
type host struct {
	t       *testing.T
	dir     string
	service *hcstest.Service
	layers  *hcstest.LayerStore
	mounted map[string]*layers.Mounted // what a daemon that has ended had mounted, by scratch
}

func newHost(t *testing.T, options ...hcstest.Option) *host {
	t.Helper()
	return &host{t: t, dir: t.TempDir(), service: hcstest.New(t, options...), layers: hcstest.NewLayers(t)}
}

// playing is a daemon that serves, and a client for it.
type playing struct {
	*dockerclient.Client
	host   *host
	daemon *daemon
	server *httptest.Server
}

// start starts a daemon on the host.
func (h *host) start() *playing {
	h.t.Helper()
	d, err := newDaemon(settings{
		dir: h.dir, service: h.service, layers: []layers.MountOption{layers.WithDriver(h.layers)},
		images: catalog{
			images: map[string]image{"servercore:2022": {
				name: "servercore:2022", Layers: layers.Layers{h.t.TempDir()},
				Config: layers.Config{Entrypoint: []string{"cmd", "/c"}, Cmd: []string{"echo core"}, Env: []string{"A=image", "B=image"}},
			}},
			simulated: filepath.Join(h.dir, "simulated"),
		},
		logger: slog.New(slog.NewTextHandler(h.t.Output(), nil)),
		openMount: func(scratch string, options ...layers.MountOption) (*layers.Mounted, error) {
			if m := h.mounted[scratch]; m != nil {
				return m, nil
			}
			return layers.Open(scratch, options...)
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	server := httptest.NewServer(d.handler())
	client, err := dockerclient.New(dockerclient.WithHost("tcp://" + server.Listener.Addr().String()))
	if err != nil {
		h.t.Fatal(err)
	}
	return &playing{client, h, d, server}
}

// end ends the daemon. The containers run on.
func (p *playing) end() {
	p.host.t.Helper()
	p.Close()
	p.server.CloseClientConnections()
	mounted := map[string]*layers.Mounted{}
	for _, c := range p.daemon.all() {
		c.mu.Lock()
		if c.mounted != nil {
			mounted[c.mounted.Scratch] = c.mounted
		}
		c.mu.Unlock()
	}
	p.host.mounted = mounted
	if err := p.daemon.close(context.Background()); err != nil {
		p.host.t.Error(err)
	}
	p.server.Close()
}

// play starts a daemon that ends with the test, and its containers before.
func play(t *testing.T, options ...hcstest.Option) *playing {
	t.Helper()
	p := newHost(t, options...).start()
	t.Cleanup(p.clear)
	return p
}

// clear removes all containers, and ends the daemon: the simulated host then finds
// what is left over.
func (p *playing) clear() {
	p.host.service.Heal()
	for _, c := range p.daemon.all() {
		for {
			err := p.daemon.remove(c, true)
			if err == nil || isClosed(c.gone) {
				break
			}
			if !errdefs.IsConflict(err) { // else somebody else removes it
				p.host.t.Error(err)
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	p.end()
}

// create creates a container that runs a command line.
func (p *playing) create(name string, change func(*dockerclient.ContainerCreateOptions), args ...string) string {
	p.host.t.Helper()
	options := dockerclient.ContainerCreateOptions{
		Name: name, Config: &container.Config{Image: "nanoserver", Cmd: args}, HostConfig: &container.HostConfig{},
	}
	if change != nil {
		change(&options)
	}
	created, err := p.ContainerCreate(p.host.t.Context(), options)
	if err != nil {
		p.host.t.Fatal(err)
	}
	return created.ID
}

// run creates a container and starts it.
func (p *playing) run(name string, change func(*dockerclient.ContainerCreateOptions), args ...string) string {
	p.host.t.Helper()
	id := p.create(name, change, args...)
	p.begin(id)
	return id
}

func (p *playing) begin(id string) {
	p.host.t.Helper()
	if _, err := p.ContainerStart(p.host.t.Context(), id, dockerclient.ContainerStartOptions{}); err != nil {
		p.host.t.Fatal(err)
	}
}

// wait waits for the exit code of a container.
func (p *playing) wait(id string, condition container.WaitCondition) int64 {
	p.host.t.Helper()
	waiting := p.ContainerWait(p.host.t.Context(), id, dockerclient.ContainerWaitOptions{Condition: condition})
	return exitCode(p.host.t, waiting)
}

func exitCode(t *testing.T, waiting dockerclient.ContainerWaitResult) int64 {
	t.Helper()
	select {
	case result := <-waiting.Result:
		return result.StatusCode
	case err := <-waiting.Error:
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("the exit was not told")
	}
	return 0
}

// inspect returns what is known of a container.
func (p *playing) inspect(id string) container.InspectResponse {
	p.host.t.Helper()
	result, err := p.ContainerInspect(p.host.t.Context(), id, dockerclient.ContainerInspectOptions{})
	if err != nil {
		p.host.t.Fatal(err)
	}
	return result.Container
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// serveOn serves the daemon on a further address until the test ends.
func (p *playing) serveOn(address string) {
	p.host.t.Helper()
	listener, err := listen(address, tlsFiles{})
	if err != nil {
		p.host.t.Fatal(err)
	}
	server := &http.Server{Handler: p.daemon.handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	p.host.t.Cleanup(func() { server.Close() })
}
