package libcontainerd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A code is read as people write it, and explained.
func ExampleParseCode() {
	for _, text := range []string{"IMAGE_MISMATCH", "c0370106", "3221225786"} {
		code, err := libcontainerd.ParseCode(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(code)
	}
	// Output:
	// HCS 0xC0370101 IMAGE_MISMATCH: container OS does not match host
	// HCS 0xC0370106 UNEXPECTED_EXIT: container died while starting or running
	// NTSTATUS 0xC000013A
}

// What usually leads to the exit code of a program that Windows ended.
func ExampleExitHint() {
	const code = 3221225781
	fmt.Println(libcontainerd.ExitName(code))
	fmt.Println(libcontainerd.ExitHint(code))
	// Output:
	// STATUS_DLL_NOT_FOUND
	// the image lacks a DLL that the program needs: Nano Server lacks many, Server Core has more; the Visual C++ runtime has to be installed
}

// The JSON of an error is for programs; it has neither document nor secrets.
func ExampleError_MarshalJSON() {
	text, err := json.MarshalIndent(&libcontainerd.Error{
		Op:          libcontainerd.OpKill,
		ContainerID: "web1",
		Process:     "shell",
		Code:        libcontainerd.CodeProcessStopped,
	}, "", "  ")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(text))
	// Output:
	// {
	//   "message": "kill process \"shell\" in container \"web1\": HCS 0x8037011F PROCESS_ALREADY_STOPPED: process has ended already",
	//   "op": "kill",
	//   "container": "web1",
	//   "process": "shell",
	//   "code": 2151088415,
	//   "name": "PROCESS_ALREADY_STOPPED",
	//   "kinds": [
	//     "not found"
	//   ],
	//   "retry": "harmless, done already"
	// }
}

// verdict is what an engine does about a failure.
func verdict(err error) string {
	switch {
	case err == nil:
		return "done"
	case errdefs.IsInvalidArgument(err):
		return "the caller's mistake"
	case errdefs.IsAlreadyExists(err), errdefs.IsNotFound(err) && !errors.Is(err, libcontainerd.CodeFileNotFound):
		return "a wrong name"
	case errors.Is(err, libcontainerd.CodeFileNotFound):
		return "no such program: exit code 127"
	case errdefs.IsDeadlineExceeded(err):
		return "HCS does not answer"
	}
	if e, ok := errors.AsType[*libcontainerd.Error](err); ok {
		return e.Retry().String()
	}
	return "a failure"
}

// Most failures are told apart by their kind, a few by their code.
func Example_errorHandling() {
	service := hcstest.NewService()
	client, err := libcontainerd.NewClient(make(teller, 10), libcontainerd.WithComputeService(service))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	server := webServer("ServiceMonitor", "w3svc")
	if err := client.Create("web1", server); err != nil {
		fmt.Println(err)
		return
	}
	service.Fail(hcstest.OpCreate, "web2", libcontainerd.CodeRPCUnavailable)
	for _, err := range []error{
		client.Create("web1", server),
		client.Create("web2", libcontainerd.Spec{}),
		client.Create("web2", server),
		client.Pause("nobody"),
		client.AddProcess("web1", "p1", libcontainerd.Process{Args: []string{"notepad"}}),
		client.Signal("web1", libcontainerd.SignalKill),
	} {
		fmt.Println(verdict(err))
	}
	// Output:
	// a wrong name
	// the caller's mistake
	// caller decides
	// a wrong name
	// no such program: exit code 127
	// done
}

// keeper is a Backend that is also told when the compute system of an exit has ended after
// all.
type keeper struct {
	teller
	exits chan libcontainerd.StateInfo
}

func (k keeper) StateChanged(_ string, state libcontainerd.StateInfo) error {
	if state.State == libcontainerd.StateExit {
		k.exits <- state
	}
	return nil
}

func (k keeper) ComputeSystemEnded(id string) { k.teller <- id + " has ended: unmount its scratch" }

// An exit whose compute system HCS refuses to end says so. The scratch stays mounted until
// the client has ended the system in the background.
func Example_errMayStillRun() {
	service := hcstest.NewService()
	backend := keeper{make(teller, 10), make(chan libcontainerd.StateInfo, 1)}
	client, err := libcontainerd.NewClient(backend,
		libcontainerd.WithComputeService(service), libcontainerd.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	for _, op := range []hcstest.Op{hcstest.OpShutdown, hcstest.OpTerminate} {
		inject(op, hcstest.Fault{Err: libcontainerd.CodeFail})(service)
	}
	if err := client.Create("web1", webServer("cmd", "/c", "exit 3")); err != nil {
		fmt.Println(err)
		return
	}
	exit := <-backend.exits
	fmt.Println("exit code", exit.ExitCode, "and may still run:", errors.Is(exit.Err, libcontainerd.ErrMayStillRun))
	service.Heal()
	fmt.Println(<-backend.teller)
	// Output:
	// exit code 3 and may still run: true
	// web1 has ended: unmount its scratch
}
