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
	shut    atomic.Bool // by Close
}

// enter lets a callback begin, and sets begun, if it is not nil, as the last thing
// before the call. It reports false if the gate is shut; else leave follows.
func (g *gate) enter(begun *atomic.Bool) bool {
	g.tasks.add(-1)
	if g.shut.Load() {
		g.tasks.add(1)
		return false
	}
	if begun != nil {
		begun.Store(true)
	}
	return true
}

func (g *gate) leave() { g.tasks.add(1) }

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

// letBegin keeps a callback from overtaking another one, which has begun and sets ended
// at its end. The goroutine of that one may have lost its processor right before the first
// instruction of the Backend. Usually its end comes within microseconds; if it takes longer
// it has begun for sure, and may be waiting for this very call.
func letBegin(ended *atomic.Bool) {
	const (
		most  = 100 * time.Millisecond
		pause = 100 * time.Microsecond
	)
	if ended.Load() || insideCallback() {
		return
	}
	for range 100 {
		runtime.Gosched()
	}
	for waited := time.Duration(0); !ended.Load() && waited < most; waited += pause {
		time.Sleep(pause)
	}
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
