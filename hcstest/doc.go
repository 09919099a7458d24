// Package hcstest simulates the Host Compute Service of Windows in memory, so
// that clients and engines can be tested on any system, as net/http/httptest
// does for HTTP.
//
// New makes a Service, which is a libcontainerd.ComputeService:
//
//	svc := hcstest.New(t)
//	client, err := libcontainerd.NewClient(backend, libcontainerd.WithComputeService(svc))
//
// A Service checks documents as HCS does, keeps the state of compute systems
// and processes, and answers with the codes of Windows. Processes run Programs:
// Go functions registered with WithProgram, and a handful of default ones: cmd,
// ping, timeout, more, sort, find, findstr, hostname, whoami, powershell and
// ServiceMonitor. Any other program is answered as Windows answers: file not
// found. What cmd and the others cannot do here, such as if, for, set /a, files
// and regular expressions, ends with code 2 and "not simulated" on stderr.
//
// What goes wrong with a real service can be made to happen:
//
//   - a call fails: Fail, or Inject with Err
//   - a call hangs, or takes long: Hang, or Inject with Delay
//   - a call is carried out, but its answer is an error or late: Inject with Done
//   - a notification is lost, or late: Inject at OpWait or OpWaitProcess, with Hang,
//     or with Done and Delay
//   - a stop or a kill is accepted and does not come, or late: Inject at OpStop or
//     OpExit, with Hang or Delay
//   - a utility VM crashes: Crash
//   - a process ends: ExitProcess
//   - the HCS service goes away, and comes back: LoseService, RestoreService
//   - the engine dies: Client.Close, then a new Client that restores
//   - a program dies that uses the Service without a Client: Abandon
//   - a stopped system is left from a previous life: KeepStopped
//   - anything else: OnCall
//
// Calls tells what was called, in order. Heal ends all faults.
//
// When a test ends, whatever is left over fails it, and so does every violation
// of the rules that the interfaces set: a system started twice, a handle used
// after Close, closed twice, or closed while a call runs on it.
//
// A test that runs inside testing/synctest waits for no timeout: minutes pass in
// an instant, and synctest.Wait returns when client and Service have nothing left
// to do. Make the Service and the Client inside the bubble.
//
// NewLayers makes a LayerStore, which is the same for package layers: a host that
// mounts and imports layers.
//
// TestComputeService is a suite of the behaviours that the client relies on, for
// any ComputeService.
package hcstest
