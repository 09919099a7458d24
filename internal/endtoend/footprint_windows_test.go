package endtoend

import (
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// footprint is what a process holds.
type footprint struct {
	handles    int // without those of threads
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

// handle is SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX.
type handle struct {
	object    uintptr
	process   uintptr
	value     windows.Handle
	access    uint32
	backtrace uint16
	kind      uint16
	flags     uint32
	reserved  uint32
}

// countHandles counts the handles of this process, except the kinds that Go's
// runtime makes for each of its threads at any time: the thread, events, a timer.
func countHandles(t *testing.T) int {
	t.Helper()
	samples := sampleOfThread(t)
	all := listHandles(t)
	threads := make(map[uint16]bool)
	for _, h := range all {
		if slices.Contains(samples, h.value) {
			threads[h.kind] = true
		}
	}
	for _, sample := range samples {
		if err := windows.CloseHandle(sample); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, h := range all {
		if !threads[h.kind] {
			n++
		}
	}
	return n
}

// sampleOfThread opens a handle of each kind that a thread has.
func sampleOfThread(t *testing.T) []windows.Handle {
	t.Helper()
	event, err := windows.CreateEvent(nil, 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	timer, _, err := windows.NewLazySystemDLL("kernel32.dll").NewProc("CreateWaitableTimerW").Call(0, 0, 0)
	if timer == 0 {
		t.Fatal(err)
	}
	var thread windows.Handle
	self := windows.CurrentProcess()
	if err := windows.DuplicateHandle(self, windows.CurrentThread(), self, &thread, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		t.Fatal(err)
	}
	return []windows.Handle{event, windows.Handle(timer), thread}
}

// listHandles finds the handles of this process among those of the whole system,
// because Wine does not have GetProcessHandleCount.
func listHandles(t *testing.T) []handle {
	t.Helper()
	buffer := make([]uintptr, 1<<18)
	size := uint32(len(buffer)) * uint32(unsafe.Sizeof(buffer[0]))
	if err := windows.NtQuerySystemInformation(windows.SystemExtendedHandleInformation, unsafe.Pointer(&buffer[0]), size, nil); err != nil {
		t.Fatal(err)
	}
	all := unsafe.Slice((*handle)(unsafe.Pointer(&buffer[2])), buffer[0]) // behind the number and a reserved field
	return slices.DeleteFunc(slices.Clone(all), func(h handle) bool {
		return h.process != uintptr(windows.GetCurrentProcessId())
	})
}
