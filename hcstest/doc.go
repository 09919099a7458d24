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
// Go functions registered with WithProgram, and a few default ones: cmd,
// ping, timeout, more, sort, find, findstr, hostname, whoami, powershell and
// ServiceMonitor. For any other program the answer is that of Windows: file not
// found. If a command needs what is not simulated (if, for, set /a, files, regular
// expressions), it ends with code 2 and writes "not simulated" to stderr.
//
// A test can make happen what goes wrong with a real service:
//
//   - a call fails: Fail, or Inject with Err
//   - a call hangs, or takes long: Hang, or Inject with Delay
//   - a call is carried out, but its answer is an error or late: Inject with Done
//   - a notification is lost, or late: Inject at OpWait or OpWaitProcess, with Hang,
//     or with Done and Delay
//   - a stop or a kill is accepted, but happens late or never: Inject at OpStop or
//     OpExit, with Delay or Hang
//   - a utility VM crashes: Crash
//   - a process ends: ExitProcess
//   - the HCS service goes away, and comes back: LoseService, RestoreService
//   - the engine dies: Client.Close, then a new Client that restores
//   - a program that uses the Service without a Client dies: Abandon
//   - a stopped system is left from a previous life: KeepStopped
//   - anything else: OnCall
//
// Calls returns the calls so far, the oldest first. Heal ends all faults.
//
// When a test ends, it fails if anything is left over, and for every violation of
// the rules of the interfaces: a system is started twice; a handle is used after
// Close, is closed twice, or is closed while a call runs on it.
//
// A test that runs inside testing/synctest spends no time on timeouts: minutes
// pass in an instant, and synctest.Wait returns when client and Service have
// nothing left to do. Make the Service and the Client inside the bubble.
//
// NewLayers makes a LayerStore, which simulates for package layers a host that
// mounts and imports layers.
//
// TestComputeService is a suite of the behaviours that the client relies on, for
// any ComputeService.
package hcstest
