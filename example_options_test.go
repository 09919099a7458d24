package libcontainerd_test

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// twice restarts a container that failed, at most two times, and at once.
type twice struct{ restarts int }

func (t *twice) ShouldRestart(exitCode uint32) (bool, chan error, error) {
	if exitCode == 0 || t.restarts == 2 {
		return false, nil, nil
	}
	t.restarts++
	wait := make(chan error) // a policy with pauses closes it later
	close(wait)
	return true, wait, nil
}

// Cancel is called when the container is signalled while it waits for its restart.
func (t *twice) Cancel() error { return nil }

// A restart policy belongs to the engine; the client asks it after every exit.
func ExampleWithRestartManager() {
	events := make(teller, 10)
	client, err := libcontainerd.NewClient(events, libcontainerd.WithComputeService(hcstest.NewService()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	spec := webServer("cmd", "/c", "exit 3")
	if err := client.Create("web1", spec, libcontainerd.WithRestartManager(&twice{})); err != nil {
		fmt.Println(err)
		return
	}
	for range 6 {
		fmt.Println(<-events)
	}
	// Output:
	// web1: start-container
	// web1: restart 3
	// web1: start-container
	// web1: restart 3
	// web1: start-container
	// web1: exit 3
}

// Metrics and traces come from an observer, which gets every call into HCS once it is over.
func ExampleWithObserver() {
	calls := make(chan libcontainerd.Operation, 100)
	client, err := libcontainerd.NewClient(make(teller, 10),
		libcontainerd.WithComputeService(hcstest.NewService()),
		libcontainerd.WithObserver(func(call libcontainerd.Operation) { calls <- call }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	if err := client.Create("web1", webServer("cmd", "/c", "exit 3")); err != nil {
		fmt.Println(err)
		return
	}
	for range 4 {
		call := <-calls
		fmt.Println(call.Op, call.ContainerID, call.Err, call.Duration < time.Minute)
	}
	// Output:
	// create web1 <nil> true
	// start web1 <nil> true
	// exec web1 <nil> true
	// stdio web1 <nil> true
}

// A host that is short of memory for a moment is asked again, with a pause that doubles.
func ExampleWithRetryPolicy() {
	service := hcstest.NewService()
	service.Fail(hcstest.OpCreate, "web1", libcontainerd.CodeNoSystemResources)
	service.Fail(hcstest.OpCreate, "web1", libcontainerd.CodeNoSystemResources)
	client, err := libcontainerd.NewClient(make(teller, 10),
		libcontainerd.WithComputeService(service),
		libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{
			Attempts: 3,
			Delay:    10 * time.Millisecond,
			Growth:   2,
			Codes:    []libcontainerd.Code{libcontainerd.CodeNoSystemResources},
		}),
		libcontainerd.WithSlog(slog.New(slog.DiscardHandler)), // else each attempt that fails is a warning
		libcontainerd.WithObserver(func(call libcontainerd.Operation) {
			if call.Op == libcontainerd.OpCreate {
				fmt.Println("attempt", call.Attempt, "failed:", call.Err != nil)
			}
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	fmt.Println(client.Create("web1", webServer("cmd", "/c", "exit 3")))
	// Output:
	// attempt 1 failed: true
	// attempt 2 failed: true
	// attempt 3 failed: false
	// <nil>
}
