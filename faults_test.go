package libcontainerd_test

import (
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// The language of faults: each function here returns one that makes a simulated HCS
// misbehave, so that a table of tests can name what goes wrong.

// inject meets every call of op with f.
func inject(op hcstest.Op, f hcstest.Fault) func(*hcstest.Service) {
	return func(h *hcstest.Service) { h.Inject(hcstest.Rule{Op: op, Fault: f}) }
}

// once meets the next call of op with f.
func once(op hcstest.Op, f hcstest.Fault) func(*hcstest.Service) {
	return func(h *hcstest.Service) { h.Inject(hcstest.Rule{Op: op, Times: 1, Fault: f}) }
}

// hang answers no call of op until the fault is healed.
func hang(op hcstest.Op) func(*hcstest.Service) { return inject(op, hcstest.Fault{Hang: true}) }

// slow answers every call of op after d.
func slow(op hcstest.Op, d time.Duration) func(*hcstest.Service) {
	return inject(op, hcstest.Fault{Delay: d})
}

// refusedTwice refuses the next two calls of op, as when the service is gone.
func refusedTwice(op hcstest.Op) func(*hcstest.Service) {
	return func(h *hcstest.Service) {
		h.Inject(hcstest.Rule{Op: op, Times: 2, Fault: hcstest.Fault{Err: libcontainerd.CodeServiceDisconnect}})
	}
}

// gaveUp does what the next call of op asks for, but answers with hcsshim's timeout.
func gaveUp(op hcstest.Op) func(*hcstest.Service) {
	return once(op, hcstest.Fault{Err: libcontainerd.CodeOperationTimeout, Done: true})
}

// untold keeps the end of every system and process from the client.
var untold = both(hang(hcstest.OpWait), hang(hcstest.OpWaitProcess))

// both puts several faults together.
func both(prepare ...func(*hcstest.Service)) func(*hcstest.Service) {
	return func(h *hcstest.Service) {
		for _, p := range prepare {
			p(h)
		}
	}
}

// failing refuses the next call of op in an engine's HCS.
func failing(op hcstest.Op, code libcontainerd.Code) func(*engine) {
	return func(e *engine) { e.hcs.Fail(op, "", code) }
}

// failingDone does what the next call of op asks for, but answers with code.
func failingDone(op hcstest.Op, code libcontainerd.Code) func(*engine) {
	return func(e *engine) { once(op, hcstest.Fault{Err: code, Done: true})(e.hcs) }
}
