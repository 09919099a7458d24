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
// found.
//
// Inject, Fail, Hang and OnCall make calls fail, hang, or come late; Crash,
// ExitProcess, LoseService and Abandon do what happens to real services. Calls
// tells what was called.
//
// When a test ends, whatever is left over fails it, and so does every violation
// of the rules that the interfaces set: a system started twice, a handle used
// after Close, closed twice, or closed while a call runs on it.
//
// TestComputeService is a suite of the behaviours that the client relies on, for
// any ComputeService.
package hcstest
