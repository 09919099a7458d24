package endtoend

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
)

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
