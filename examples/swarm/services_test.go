package swarm_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	gogotypes "github.com/gogo/protobuf/types"
	"github.com/moby/swarmkit/v2/api"
)

// heartbeat sets how often nodes report; after three misses a node is dead.
func (f *fleet) heartbeat(period time.Duration) {
	f.t.Helper()
	ask(f, func(ctx context.Context, c api.ControlClient) (*api.UpdateClusterResponse, error) {
		cluster := f.cluster()
		cluster.Spec.Dispatcher.HeartbeatPeriod = gogotypes.DurationProto(period)
		cluster.Spec.Orchestration.TaskHistoryRetentionLimit = 1
		return c.UpdateCluster(ctx, &api.UpdateClusterRequest{
			ClusterID: cluster.ID, ClusterVersion: &cluster.Meta.Version, Spec: &cluster.Spec,
		})
	})
}

// newService is a service that runs for ever.
func newService(name string, replicas uint64, command ...string) api.ServiceSpec {
	update := &api.UpdateConfig{
		Parallelism:   5,
		FailureAction: api.UpdateConfig_ROLLBACK,
		Monitor:       gogotypes.DurationProto(time.Second),
	}
	return api.ServiceSpec{
		Annotations: api.Annotations{Name: name},
		Task: api.TaskSpec{
			Runtime: &api.TaskSpec_Container{Container: &api.ContainerSpec{
				Image: "nanoserver", Command: command,
				StopGracePeriod: gogotypes.DurationProto(time.Second),
			}},
			Restart: &api.RestartPolicy{Condition: api.RestartOnAny, Delay: gogotypes.DurationProto(100 * time.Millisecond)},
		},
		Mode:     &api.ServiceSpec_Replicated{Replicated: &api.ReplicatedService{Replicas: replicas}},
		Update:   update,
		Rollback: update,
	}
}

func (f *fleet) create(spec api.ServiceSpec) string {
	f.t.Helper()
	r := ask(f, func(ctx context.Context, c api.ControlClient) (*api.CreateServiceResponse, error) {
		return c.CreateService(ctx, &api.CreateServiceRequest{Spec: &spec})
	})
	return r.Service.ID
}

func (f *fleet) service(id string) *api.Service {
	f.t.Helper()
	return ask(f, func(ctx context.Context, c api.ControlClient) (*api.GetServiceResponse, error) {
		return c.GetService(ctx, &api.GetServiceRequest{ServiceID: id})
	}).Service
}

// update changes the spec of a service.
func (f *fleet) update(id string, change func(*api.ServiceSpec)) {
	f.t.Helper()
	ask(f, func(ctx context.Context, c api.ControlClient) (*api.UpdateServiceResponse, error) {
		s := f.service(id)
		change(&s.Spec)
		return c.UpdateService(ctx, &api.UpdateServiceRequest{ServiceID: id, ServiceVersion: &s.Meta.Version, Spec: &s.Spec})
	})
}

func (f *fleet) scale(id string, replicas uint64) {
	f.t.Helper()
	f.update(id, func(s *api.ServiceSpec) { s.GetReplicated().Replicas = replicas })
}

func (f *fleet) remove(id string) {
	f.t.Helper()
	ask(f, func(ctx context.Context, c api.ControlClient) (*api.RemoveServiceResponse, error) {
		return c.RemoveService(ctx, &api.RemoveServiceRequest{ServiceID: id})
	})
}

func (f *fleet) tasks(service string) []*api.Task {
	f.t.Helper()
	return ask(f, func(ctx context.Context, c api.ControlClient) (*api.ListTasksResponse, error) {
		return c.ListTasks(ctx, &api.ListTasksRequest{Filters: &api.ListTasksRequest_Filters{ServiceIDs: []string{service}}})
	}).Tasks
}

func (f *fleet) nodes() map[string]*api.Node {
	f.t.Helper()
	nodes := make(map[string]*api.Node)
	for _, n := range ask(f, func(ctx context.Context, c api.ControlClient) (*api.ListNodesResponse, error) {
		return c.ListNodes(ctx, &api.ListNodesRequest{})
	}).Nodes {
		nodes[n.Description.Hostname] = n
	}
	return nodes
}

func (f *fleet) availability(name string, a api.NodeSpec_Availability) {
	f.t.Helper()
	ask(f, func(ctx context.Context, c api.ControlClient) (*api.UpdateNodeResponse, error) {
		n := f.nodes()[name]
		n.Spec.Availability = a
		return c.UpdateNode(ctx, &api.UpdateNodeRequest{NodeID: n.ID, NodeVersion: &n.Meta.Version, Spec: &n.Spec})
	})
}

// running returns the ids of the tasks that run, as the swarm has it, with the names
// of their machines.
func (f *fleet) running(service string) map[string]string {
	f.t.Helper()
	names := make(map[string]string)
	for _, m := range slices.Concat(f.managers, f.workers) {
		if m.node != nil {
			names[m.node.ID()] = m.name
		}
	}
	running := make(map[string]string)
	for _, t := range f.tasks(service) {
		if t.DesiredState == api.TaskStateRunning && t.Status.State == api.TaskStateRunning {
			running[t.ID] = names[t.NodeID]
		}
	}
	return running
}

// systems returns the ids of the compute systems of all machines that are up, with
// the names of those.
func (f *fleet) systems() map[string]string {
	f.t.Helper()
	systems := make(map[string]string)
	for _, m := range f.workers {
		if m.node == nil {
			continue
		}
		all, err := m.hcs.ComputeSystems("")
		if err != nil {
			f.t.Fatal(err)
		}
		for _, s := range all {
			if other, ok := systems[s.ID]; ok {
				f.t.Errorf("container %s runs on %s and on %s", s.ID, other, m.name)
			}
			systems[s.ID] = m.name
		}
	}
	return systems
}

// settled waits until so many replicas of a service run, which is the only one, and
// until these and nothing else is on the machines.
func (f *fleet) settled(what, service string, replicas int) {
	f.t.Helper()
	f.eventually(what, func() (bool, string) {
		running, systems := f.running(service), f.systems()
		return len(running) == replicas && maps.Equal(running, systems),
			fmt.Sprintf("%d tasks run, %d compute systems%s", len(running), len(systems), f.report(service))
	})
}

// report lists the tasks that are not as they should be.
func (f *fleet) report(service string) string {
	f.t.Helper()
	var text strings.Builder
	for _, t := range f.tasks(service) {
		if t.DesiredState != t.Status.State && t.Status.State <= api.TaskStateRunning {
			fmt.Fprintf(&text, "\n%s on %q is %v, and should be %v: %s %s", t.ID, t.NodeID, t.Status.State, t.DesiredState, t.Status.Message, t.Status.Err)
		}
	}
	return text.String()
}
