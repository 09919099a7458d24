package endtoend

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
)

// TestCycles runs lives of containers, each with an exec, one after the other:
// LIBCONTAINERD_CYCLES of them, or 20 on the stand-in and 100 on a real host. No
// event is lost and nothing grows.
func TestCycles(t *testing.T) {
	h := anyHCS(t)
	t.Setenv("VMCOMPUTE_LOG", "") // a long log would slow the test
	cycles, warmUps := 20, 10
	if h.isReal() {
		cycles, warmUps = 100, 3
	}
	if text := os.Getenv("LIBCONTAINERD_CYCLES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		cycles = n
	}
	e := newEngine(t)
	run := func(id string) {
		spec, unmount := h.mount(t, id, "cmd")
		defer unmount()
		e.create(t, id, spec)
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
	for i := range warmUps { // make everything that is made only once
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
