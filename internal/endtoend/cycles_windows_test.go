package endtoend

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"testing"
	"unsafe"

	"github.com/seed-609fd248/libcontainerd"
	"golang.org/x/sys/windows"
)

// footprint is what a process holds of its host.
type footprint struct {
	handles    int // less those of Go's threads
	goroutines int
	heap       uint64
}

func takeFootprint(t *testing.T) footprint {
	t.Helper()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return footprint{
		handles:    countHandles(t) - handlesOfThread*pprof.Lookup("threadcreate").Count(),
		goroutines: runtime.NumGoroutine(),
		heap:       memory.HeapAlloc,
	}
}

// handlesOfThread is what Go's runtime holds for each of its threads, of which it
// starts more when calls block, and ends none: the thread, two events, a timer.
const handlesOfThread = 4

// countHandles finds this process's handles among those of the whole system:
// Wine has no GetProcessHandleCount.
func countHandles(t *testing.T) int {
	t.Helper()
	type handle struct { // SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX
		object    uintptr
		process   uintptr
		value     uintptr
		access    uint32
		backtrace uint16
		kind      uint16
		flags     uint32
		reserved  uint32
	}
	buffer := make([]uintptr, 1<<20)
	size := uint32(len(buffer)) * uint32(unsafe.Sizeof(buffer[0]))
	if err := windows.NtQuerySystemInformation(windows.SystemExtendedHandleInformation, unsafe.Pointer(&buffer[0]), size, nil); err != nil {
		t.Fatal(err)
	}
	all := unsafe.Slice((*handle)(unsafe.Pointer(&buffer[2])), buffer[0]) // behind the number and a reserved field
	n := 0
	for _, h := range all {
		if h.process == uintptr(windows.GetCurrentProcessId()) {
			n++
		}
	}
	return n
}

// TestCycles runs lives of containers, each with an exec, one after the other:
// 20 of them, or LIBCONTAINERD_CYCLES. No event is lost and nothing grows.
func TestCycles(t *testing.T) {
	standIn(t)
	t.Setenv("VMCOMPUTE_LOG", "") // it would have to be read to the end
	cycles := 20
	if text := os.Getenv("LIBCONTAINERD_CYCLES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		cycles = n
	}
	e := newEngine(t)
	run := func(id string) {
		e.create(t, id, testSpec("cmd"))
		e.exec(t, id, "exec-"+id, "cmd", "/c", "exit 7")
		e.await(t, id, libcontainerd.StateExitProcess)
		if err := e.stdin(id).Close(); err != nil {
			t.Error(err)
		}
		e.await(t, id, libcontainerd.StateExit)
		if got, want := e.trace(id), "start-container, exit-process exec-"+id+" 7, exit init 0"; got != want {
			t.Fatalf("events %q, want %q", got, want)
		}
		e.forget(id, "exec-"+id)
	}
	for i := range 10 { // until everything that is made once has been made
		run(fmt.Sprint("warm", i))
	}
	before := takeFootprint(t)
	for i := range cycles {
		run(fmt.Sprint("cycle", i))
	}
	var after footprint
	eventually(t, "nothing has grown", func() bool {
		after = takeFootprint(t)
		return after.goroutines <= before.goroutines &&
			after.handles <= before.handles &&
			after.heap <= before.heap+2<<20
	})
	t.Logf("%d cycles: before %+v, after %+v", cycles, before, after)
}
