package libcontainerd_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// Each call into HCS is observed, with container, process and attempt.
func TestObserverSeesEveryCall(t *testing.T) {
	seen := make(chan libcontainerd.Operation, 100)
	hcs := hcstest.New(t, hcstest.WithTP4())
	e := newEngine(t, hcs, libcontainerd.WithObserver(func(o libcontainerd.Operation) { seen <- o }))
	hcs.Fail(hcstest.OpCreate, "c1", libcontainerd.CodeNotFound)
	must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
	e.awaitExit("c1")
	must(t, e.Close())
	close(seen)
	var got []string
	for o := range seen {
		if o.ContainerID != "c1" && o.Op != "list" || o.Start.IsZero() || o.Duration < 0 {
			t.Errorf("operation %+v", o)
		}
		line := o.Op
		if o.Process != "" {
			line += " " + o.Process
		}
		if o.Attempt != 1 {
			line += " again"
		}
		if o.Err != nil {
			line += " failed"
		}
		got = append(got, line)
	}
	want := []string{"create failed", "list", "create again", "start", "exec init", "stdio init", "shutdown"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}
