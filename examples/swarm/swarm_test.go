package swarm_test

import (
	"testing"
	"time"

	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// TestSwarm is the life of a swarm, on real raft and TLS. Each part leaves the service
// as it found it.
func TestSwarm(t *testing.T) {
	f := newFleet(t, 3, 5)
	f.heartbeat(2 * time.Second)
	const replicas = 30
	service := f.create(newService("web", replicas, "app"))
	f.settled("30 replicas", service, replicas)

	parts := []struct {
		name string
		run  func(*testing.T, *fleet, string)
	}{
		{"replicas are everywhere", replicasAreEverywhere},
		{"a worker dies and comes back", workerDiesAndComesBack},
		{"the leader dies and comes back", leaderDiesAndComesBack},
		{"an update that fails is rolled back", failingUpdateIsRolledBack},
		{"a drained worker has no tasks", drainedWorkerHasNoTasks},
		{"faults of HCS on one machine do not stop the service", faultsDoNotStopTheService},
		{"scale", scale},
	}
	for _, part := range parts {
		ok := t.Run(part.name, func(t *testing.T) {
			outer := f.t
			f.t = t
			defer func() { f.t = outer }()
			part.run(t, f, service)
			f.settled("as before", service, replicas)
		})
		if !ok {
			break
		}
	}
	f.remove(service)
	f.eventually("nothing runs", func() (bool, string) { return len(f.systems()) == 0, "" })
}

func replicasAreEverywhere(t *testing.T, f *fleet, service string) {
	count := make(map[string]int)
	for _, name := range f.systems() {
		count[name]++
	}
	for _, w := range f.workers {
		if count[w.name] != 6 {
			t.Errorf("%s has %d of 30 replicas", w.name, count[w.name])
		}
	}
}

func workerDiesAndComesBack(t *testing.T, f *fleet, service string) {
	w := f.workers[0]
	f.kill(w)
	if left, _ := w.hcs.ComputeSystems(""); len(left) != 6 {
		t.Errorf("%d containers outlived the node", len(left))
	}
	f.settled("replicas of the dead worker run elsewhere", service, 30)
	f.start(w)
	f.settled("none runs twice", service, 30)
}

func leaderDiesAndComesBack(t *testing.T, f *fleet, service string) {
	leader := f.leader()
	f.kill(leader)
	f.scale(service, 33)
	f.settled("33 replicas under a new leader", service, 33)
	f.start(leader)
	f.scale(service, 30)
}

// leader returns the machine of the leader.
func (f *fleet) leader() *machine {
	for _, m := range f.managers {
		if n := f.nodes()[m.name]; n.ManagerStatus != nil && n.ManagerStatus.Leader {
			return m
		}
	}
	f.t.Fatal("there is no leader")
	return nil
}

func failingUpdateIsRolledBack(t *testing.T, f *fleet, service string) {
	tests := map[string]struct {
		// order is that of the update. After a start that failed, a manager that stops
		// the old task first may miss its end, and then waits for a minute.
		order   api.UpdateConfig_UpdateOrder
		breakIt func(*api.ContainerSpec)
	}{
		"there is no such image": {api.UpdateConfig_STOP_FIRST, func(c *api.ContainerSpec) { c.Image = "missing" }},
		"HCS cannot do it":       {api.UpdateConfig_STOP_FIRST, func(c *api.ContainerSpec) { c.ReadOnly = true }},
		"there is no such program": {api.UpdateConfig_START_FIRST, func(c *api.ContainerSpec) {
			c.Command = []string{"nonesuch"}
		}},
		"the program fails": {api.UpdateConfig_START_FIRST, func(c *api.ContainerSpec) {
			c.Command = []string{"fails"}
		}},
	}
	for name, test := range tests {
		f.update(service, func(s *api.ServiceSpec) {
			s.Update.Order, s.Rollback.Order = test.order, test.order
		})
		f.update(service, func(s *api.ServiceSpec) { test.breakIt(s.Task.GetContainer()) })
		f.eventually("rolled back: "+name, func() (bool, string) {
			s := f.service(service)
			c := s.Spec.Task.GetContainer()
			return s.UpdateStatus != nil && s.UpdateStatus.State == api.UpdateStatus_ROLLBACK_COMPLETED &&
				c.Image == "nanoserver" && c.Command[0] == "app" && !c.ReadOnly, s.UpdateStatus.String() + f.report(service)
		})
		f.settled("as before: "+name, service, 30)
	}
}

func drainedWorkerHasNoTasks(t *testing.T, f *fleet, service string) {
	w := f.workers[1]
	f.availability(w.name, api.NodeAvailabilityDrain)
	f.eventually("the worker has no containers", func() (bool, string) {
		left, err := w.hcs.ComputeSystems("")
		return err == nil && len(left) == 0, ""
	})
	f.settled("its tasks are elsewhere", service, 30)
	f.availability(w.name, api.NodeAvailabilityActive)
}

func faultsDoNotStopTheService(t *testing.T, f *fleet, service string) {
	fails, hangs := f.workers[2], f.workers[3]
	fails.hcs.Inject(hcstest.Rule{Op: hcstest.OpCreate, Fault: hcstest.Fault{Err: libcontainerd.CodeConnectFailed}})
	hang := hangs.hcs.Hang(hcstest.OpCreate, "")
	f.scale(service, 40)
	f.eventually("40 replicas in spite of faults", func() (bool, string) {
		return len(f.running(service)) == 40, f.report(service)
	})
	hang.Release()
	fails.hcs.Heal()
	f.settled("nothing is left of what hung", service, 40)
	f.scale(service, 30)
}

func scale(t *testing.T, f *fleet, service string) {
	f.scale(service, 300)
	f.settled("300 replicas", service, 300)
	f.scale(service, 0)
	f.settled("none", service, 0)
	f.eventually("no layers are mounted", func() (bool, string) {
		for _, w := range f.workers {
			if left := w.layers.Mounted(); len(left) > 0 {
				return false, w.name
			}
		}
		return true, ""
	})
	f.scale(service, 30)
}
