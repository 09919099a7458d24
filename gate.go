package libcontainerd

import (
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// gate is the one way to the Backend. Once Close has begun it is shut: no callback
// begins, and the error is errClosed.
//
// A goroutine does not count as a task while it makes a callback: the callback may
// call Close.
type gate struct {
	backend Backend
	tasks   *tasks
	shut    atomic.Bool  // by Close
	inside  atomic.Int64 // callbacks that have passed, or are about to
}

// enter lets a callback begin, and sets begun, if it is not nil, as the last thing
// before the call. It reports false if the gate is shut; else leave follows.
func (g *gate) enter(begun *atomic.Bool) bool {
	g.inside.Add(1)
	g.tasks.add(-1)
	if g.shut.Load() {
		g.leave()
		return false
	}
	if begun != nil {
		begun.Store(true)
	}
	return true
}

func (g *gate) leave() {
	g.tasks.add(1)
	g.inside.Add(-1)
}

// stateChanged calls Backend.StateChanged.
func (g *gate) stateChanged(begun *atomic.Bool, containerID string, info StateInfo) error {
	if !g.enter(begun) {
		return errClosed
	}
	defer g.leave()
	return g.backend.StateChanged(containerID, info)
}

// attach calls Backend.AttachStreams.
func (g *gate) attach(begun *atomic.Bool, name string, pipe IOPipe) error {
	if !g.enter(begun) {
		return errClosed
	}
	defer g.leave()
	return g.backend.AttachStreams(name, pipe)
}

// attachProcess calls ProcessBackend.AttachProcessStreams, if the Backend has it.
func (g *gate) attachProcess(containerID, name string, pid uint32, pipe IOPipe) error {
	backend, ok := g.backend.(ProcessBackend)
	if !ok {
		return g.attach(nil, name, pipe)
	}
	if !g.enter(nil) {
		return errClosed
	}
	defer g.leave()
	return backend.AttachProcessStreams(containerID, name, pid, pipe)
}

// systemEnded calls EndBackend.ComputeSystemEnded, if the Backend has it.
func (g *gate) systemEnded(containerID string) {
	backend, ok := g.backend.(EndBackend)
	if !ok || !g.enter(nil) {
		return
	}
	defer g.leave()
	backend.ComputeSystemEnded(containerID)
}

// letBegin keeps what comes after from overtaking a callback, which has begun; ended
// reports whether it has ended. Its goroutine may have lost the processor right before
// the first instruction of the Backend. Usually its end comes within microseconds; if it
// takes longer it has begun for sure, and may be waiting for this very call.
func letBegin(ended func() bool) {
	const (
		most  = 100 * time.Millisecond
		pause = 100 * time.Microsecond
	)
	for range 100 {
		if ended() {
			return
		}
		runtime.Gosched()
	}
	for waited := time.Duration(0); !ended() && waited < most; waited += pause {
		time.Sleep(pause)
	}
}

// letOtherBegin is letBegin for one callback that another one must not overtake. Inside
// a callback nobody waits: it may be that one.
func letOtherBegin(ended *atomic.Bool) {
	if !ended.Load() && !insideCallback() {
		letBegin(ended.Load)
	}
}

// letAllBegin keeps Close from returning before each callback that has passed the gate
// begins.
func letAllBegin(g *gate) {
	if g.inside.Load() == 0 {
		return
	}
	own := int64(0)
	if insideCallback() {
		own = 1
	}
	letBegin(func() bool { return g.inside.Load() <= own })
}

// insideCallback reports whether the calling goroutine is inside a callback.
func insideCallback() bool {
	var callers [128]uintptr
	n := runtime.Callers(2, callers[:])
	frames := runtime.CallersFrames(callers[:n])
	for more := n > 0; more; {
		var frame runtime.Frame
		if frame, more = frames.Next(); strings.HasPrefix(frame.Function, gateMethods) {
			return true
		}
	}
	return n == len(callers) // too deep to know
}

// gateMethods is how the names of the methods of gate begin in a stack.
var gateMethods = reflect.TypeFor[gate]().PkgPath() + ".(*gate)."
