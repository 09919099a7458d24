package swarm_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/examples/swarm"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
)

func TestMain(m *testing.M) {
	if os.Getenv("SWARM_LOG") == "" {
		logrus.SetOutput(io.Discard)
	}
	goleak.VerifyTestMain(m, // the swarm's own engine leaves these
		goleak.IgnoreAnyFunction("github.com/moby/swarmkit/v2/manager/csi.(*Manager).run"),
		goleak.IgnoreAnyFunction("github.com/moby/swarmkit/v2/volumequeue.(*VolumeQueue).Wait"),
		goleak.IgnoreAnyFunction("github.com/moby/swarmkit/v2/agent.(*taskManager).run.func4"),
	)
}

// patience is how long a swarm may take for anything. It is only waited for in full
// when something is wrong.
const patience = 2 * time.Minute

// callTimeout is how long HCS may take to answer.
const callTimeout = 3 * time.Second

// machine is a simulated machine with a node on it.
type machine struct {
	name    string
	hcs     *hcstest.Service
	layers  *hcstest.LayerStore
	config  swarm.Config
	node    *swarm.Node
	die     context.CancelFunc
	control *grpc.ClientConn // of a manager
}

// fleet is the machines of a swarm.
type fleet struct {
	t        testing.TB
	dir      string
	pace     time.Duration // of looks at the swarm
	patience time.Duration // how long the swarm may take for anything
	managers []*machine
	workers  []*machine
}

// newFleet starts a swarm. At the end it is ended in good order, and then nothing may
// be left on any machine.
func newFleet(t testing.TB, managers, workers int) *fleet {
	dir, err := os.MkdirTemp("", "swarm") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &fleet{t: t, dir: dir, pace: 50 * time.Millisecond, patience: patience}
	for i := range managers {
		m := f.newMachine(fmt.Sprint("manager", i))
		m.config.Listen = "127.0.0.1:0"
		m.config.Control = filepath.Join(dir, m.name+".sock")
		m.config.Drained = true
		m.config.ElectionTick = 3
		if i > 0 {
			f.join(m, f.tokens().Manager)
		}
		f.managers = append(f.managers, m)
		f.start(m)
	}
	f.addWorkers(workers)
	return f
}

func (f *fleet) addWorkers(n int) {
	f.t.Helper()
	for range n {
		m := f.newMachine(fmt.Sprint("worker", len(f.workers)))
		f.join(m, f.tokens().Worker)
		f.workers = append(f.workers, m)
		f.start(m)
	}
}

// newHCS simulates HCS, with the programs of the tests.
func newHCS(t testing.TB) *hcstest.Service {
	return hcstest.New(t,
		hcstest.WithCallLimit(100), // the record would be most of the memory of a large swarm
		hcstest.WithProgram("app", nil),
		hcstest.WithProgram("fails", hcstest.Exit(3)),
		hcstest.WithProgram("crashes", hcstest.Exit(0xC000013A)),
		hcstest.WithProgram("speaks", func(p *hcstest.Process) uint32 {
			fmt.Fprint(p.Stdout, "one\r\ntwo\r\n")
			return 0
		}),
		hcstest.WithProgram("complains", func(p *hcstest.Process) uint32 {
			fmt.Fprint(p.Stdout, "one\r\n")
			fmt.Fprint(p.Stderr, "two\r\n")
			return 0
		}),
	)
}

func (f *fleet) newMachine(name string) *machine {
	f.t.Helper()
	m := &machine{
		name:   name,
		hcs:    newHCS(f.t),
		layers: hcstest.NewLayers(f.t),
	}
	dir := filepath.Join(f.dir, name)
	layer := filepath.Join(dir, "layer")
	if err := os.MkdirAll(layer, 0o700); err != nil {
		f.t.Fatal(err)
	}
	images := func(image string) (layers.Layers, error) {
		if strings.HasPrefix(image, "missing") {
			return nil, fmt.Errorf("image %q: %w", image, errdefs.ErrNotFound)
		}
		return layers.Layers{layer}, nil
	}
	m.config = swarm.Config{
		Host:     swarm.NewHost(m.hcs, m.layers, images, filepath.Join(dir, "scratches")),
		StateDir: dir,
		Hostname: name,
		Labels:   map[string]string{"machine": name},
		Engine: []engine.Option{engine.WithClientOptions(
			libcontainerd.WithCallTimeout(callTimeout),
			libcontainerd.WithShutdownTimeout(callTimeout),
			libcontainerd.WithTerminateTimeout(callTimeout),
		)},
	}
	f.t.Cleanup(func() { f.leave(m) })
	return m
}

func (f *fleet) join(m *machine, token string) {
	f.t.Helper()
	addr, err := f.managers[0].node.Addr()
	if err != nil {
		f.t.Fatal(err)
	}
	m.config.JoinAddr, m.config.JoinToken = addr, token
}

// start starts the node of a machine, for the first time or again.
func (f *fleet) start(m *machine) {
	f.t.Helper()
	ctx, die := context.WithCancel(context.Background())
	node, err := swarm.StartNode(ctx, m.config)
	if err != nil {
		die()
		f.t.Fatalf("%s: %v", m.name, err)
	}
	m.node, m.die = node, die
	select {
	case <-node.Ready():
	case <-node.Done():
		f.t.Fatalf("%s: %v", m.name, node.Err())
	case <-time.After(patience):
		f.t.Fatalf("%s is not ready", m.name)
	}
	m.config.JoinAddr, m.config.JoinToken = "", "" // the state knows
	if m.config.Control == "" {
		return
	}
	if m.config.Listen, err = node.Addr(); err != nil { // for when it comes back
		f.t.Fatalf("%s: %v", m.name, err)
	}
	if m.control, err = swarm.DialControl(m.config.Control); err != nil {
		f.t.Fatalf("%s: %v", m.name, err)
	}
}

// kill ends the node of a machine as if it had died.
func (f *fleet) kill(m *machine) {
	f.t.Helper()
	m.die()
	if err := m.node.Err(); err != nil {
		f.t.Errorf("%s died with: %v", m.name, err)
	}
	m.disconnect()
	m.node = nil
}

// leave ends the node of a machine in good order.
func (f *fleet) leave(m *machine) {
	if m.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.node.Close(ctx); err != nil {
		f.t.Errorf("%s: %v", m.name, err)
	}
	m.disconnect()
	m.node = nil
}

func (m *machine) disconnect() {
	if m.control != nil {
		_ = m.control.Close() // nothing is under way
		m.control = nil
	}
}

// eventually waits until done reports true.
func (f *fleet) eventually(what string, done func() (bool, string)) {
	f.t.Helper()
	start := time.Now()
	for deadline := start.Add(f.patience); ; time.Sleep(f.pace) {
		ok, why := done()
		if ok {
			f.t.Logf("%6.2f s: %s", time.Since(start).Seconds(), what)
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s: not after %v: %s", what, f.patience, why)
		}
	}
}

// ask has a manager answer that has a leader.
func ask[T any](f *fleet, call func(context.Context, api.ControlClient) (T, error)) T {
	f.t.Helper()
	var answer T
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		for _, m := range f.managers {
			if m.control == nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			answer, last = call(ctx, api.NewControlClient(m.control))
			cancel()
			if last == nil {
				return answer
			}
		}
	}
	f.t.Fatalf("no manager answers: %v", last)
	return answer
}

func (f *fleet) cluster() *api.Cluster {
	f.t.Helper()
	r := ask(f, func(ctx context.Context, c api.ControlClient) (*api.ListClustersResponse, error) {
		return c.ListClusters(ctx, &api.ListClustersRequest{})
	})
	return r.Clusters[0]
}

func (f *fleet) tokens() api.JoinTokens { return f.cluster().RootCA.JoinTokens }
