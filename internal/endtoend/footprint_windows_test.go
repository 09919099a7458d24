package endtoend

import (
	"runtime"
	"runtime/pprof"
	"testing"
	"unsafe"

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
		handles:    countHandles(t),
		goroutines: runtime.NumGoroutine(),
		heap:       memory.HeapAlloc,
	}
}

// handlesOfThread is what Go's runtime holds for each of its threads, of which it
// starts more when calls block, and ends none: the thread, two events, a timer.
const handlesOfThread = 4

// countHandles finds this process's handles, but those of Go's threads, among the
// handles of the whole system: Wine has no GetProcessHandleCount.
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
	buffer := make([]uintptr, 1<<18)
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
	return n - handlesOfThread*pprof.Lookup("threadcreate").Count()
}
