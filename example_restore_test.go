package libcontainerd_test

import (
	"context"
	"fmt"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// teller is a Backend that hands on every state change, and reads no output.
type teller chan string

func (teller) AttachStreams(string, libcontainerd.IOPipe) error { return nil }

func (t teller) StateChanged(id string, state libcontainerd.StateInfo) error {
	line := id + ": " + state.State
	switch state.State {
	case libcontainerd.StateExit, libcontainerd.StateRestart:
		line += fmt.Sprint(" ", state.ExitCode)
	}
	t <- line
	return nil
}

// leave runs the containers of an engine that ends and leaves them behind. It returns the
// pids of their init processes. Close plays the death of the engine: the containers run on.
func leave(service *hcstest.Service, ids ...string) (pids map[string]uint32, err error) {
	client, err := libcontainerd.NewClient(make(teller, 10), libcontainerd.WithComputeService(service), libcontainerd.WithOwner("ci"))
	if err != nil {
		return nil, err
	}
	pids = make(map[string]uint32)
	for _, id := range ids {
		if err := client.Create(id, webServer("ServiceMonitor", "w3svc")); err != nil {
			return nil, err
		}
		list, err := client.GetPidsForContainer(id)
		if err != nil {
			return nil, err
		}
		pids[id] = uint32(list[0])
	}
	return pids, client.Close()
}

// By default Restore ends a container that an engine before this one left, so that nothing
// runs that nobody watches. The engine gets the exit before Restore returns.
func ExampleClient_Restore() {
	service := hcstest.NewService()
	if _, err := leave(service, "web1"); err != nil {
		fmt.Println(err)
		return
	}
	events := make(teller, 10)
	client, err := libcontainerd.NewClient(events, libcontainerd.WithComputeService(service), libcontainerd.WithOwner("ci"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	for _, id := range []string{"web1", "gone"} { // HCS does not know the second one
		if err := client.Restore(id); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(<-events)
	}
	fmt.Println("that is the code of Restore:", libcontainerd.RestoreExitCode)
	// Output:
	// web1: exit 2147483648
	// gone: exit 2147483648
	// that is the code of Restore: 2147483648
}

// With WithReattach a container that still runs is taken up again. The engine has kept its
// spec and the pid that StateStart told.
func ExampleWithReattach() {
	service := hcstest.NewService()
	pids, err := leave(service, "web1")
	if err != nil {
		fmt.Println(err)
		return
	}
	events := make(teller, 10)
	client, err := libcontainerd.NewClient(events, libcontainerd.WithComputeService(service), libcontainerd.WithOwner("ci"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	spec := webServer("ServiceMonitor", "w3svc")
	if err := client.Restore("web1", libcontainerd.WithReattach(spec, pids["web1"])); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-events)
	fmt.Println(client.State("web1"))

	if err := client.Signal("web1", libcontainerd.SignalKill); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-events)
	// Output:
	// web1: restore
	// running <nil>
	// web1: exit 1067
}

// Reconcile ends what no container of this client is. An engine calls it after it has
// restored what it knows.
func ExampleClient_Reconcile() {
	service := hcstest.NewService()
	pids, err := leave(service, "known", "forgotten")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := libcontainerd.NewClient(make(teller, 10), libcontainerd.WithComputeService(service), libcontainerd.WithOwner("ci"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	spec := webServer("ServiceMonitor", "w3svc")
	if err := client.Restore("known", libcontainerd.WithReattach(spec, pids["known"])); err != nil {
		fmt.Println(err)
		return
	}
	ended, err := client.Reconcile(context.Background(), "ci")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, system := range ended {
		fmt.Println("ended:", system.ID)
	}
	fmt.Println(client.State("known"))
	fmt.Println(client.Signal("known", libcontainerd.SignalKill))
	// Output:
	// ended: forgotten
	// running <nil>
	// <nil>
}
