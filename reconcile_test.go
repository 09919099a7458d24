package libcontainerd_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A restart of the engine does not leave a system that nobody knows. See
// lessons_test.go: P9, F47.
func TestReconcileEndsWhatNobodyClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "zombie1", spec(untilStopped...))
		orphan(t, hcs, "zombie2", hyperv(untilStopped...))
		other := newEngine(t, hcs, libcontainerd.WithOwner("somebody else"))
		must(t, other.Create("theirs", spec(untilStopped...)))
		e := newEngine(t, hcs)
		must(t, e.Create("ours", spec(untilStopped...)))

		ended, err := e.Reconcile(t.Context(), libcontainerd.DefaultOwner)
		must(t, err)
		var ids []string
		for _, s := range ended {
			ids = append(ids, s.ID)
		}
		if diff := cmp.Diff([]string{"zombie1", "zombie2"}, ids); diff != "" {
			t.Errorf("ended (-want +got):\n%s", diff)
		}
		must(t, e.Signal("ours", 0))
		must(t, other.Signal("theirs", 0))

		hung := hcs.Hang(hcstest.OpTerminate, "")
		orphan(t, hcs, "zombie3", spec(untilStopped...))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Reconcile(ctx, "docker"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		hung.Release()
		synctest.Wait()
		must(t, e.Signal("ours", 9))
		must(t, other.Signal("theirs", 9))
		e.awaitExit("ours")
		other.awaitExit("theirs")
	})
}

// Containers of a client that is closed run on.
func TestReconcileEndsNoContainerOfAClientThatIsClosed(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpList, hcstest.OpOpen} {
		synctest.Test(t, func(t *testing.T) {
			hcs := hcstest.New(t)
			orphan(t, hcs, "zombie", spec(untilStopped...))
			e := newEngine(t, hcs)
			must(t, e.Create("ours", spec(untilStopped...)))
			hung := hcs.Hang(op, "")
			reconciled := make(chan error)
			go func() {
				_, err := e.Reconcile(t.Context(), libcontainerd.DefaultOwner)
				reconciled <- err
			}()
			<-hung.Met()
			go e.Close()
			synctest.Wait()
			hung.Release()
			if err := <-reconciled; !errdefs.IsFailedPrecondition(err) {
				t.Errorf("got %v", err)
			}
			for _, id := range []string{"ours", "zombie"} {
				terminate(t, hcs, id)
			}
		})
	}
}

// The owner whose systems a client ends must have been named.
func TestReconcileWantsAnOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		orphan(t, hcs, "theirs", spec(untilStopped...))
		e := newEngine(t, hcs)
		ended, err := e.Reconcile(t.Context(), "")
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "WithOwner") || len(ended) > 0 {
			t.Errorf("without an owner: %v, %v", ended, err)
		}
		if systems := list(t, hcs); len(systems) != 1 || systems[0].State != "Running" {
			t.Errorf("systems %v", systems)
		}
		named := newEngine(t, hcs, libcontainerd.WithOwner(libcontainerd.DefaultOwner))
		if _, err := named.Reconcile(t.Context(), ""); err != nil {
			t.Errorf("with WithOwner: %v", err)
		}
		synctest.Wait() // pipes are closed in the background
		if systems := list(t, hcs); len(systems) > 0 {
			t.Errorf("left: %v", systems)
		}
		endAll(t, hcs)
	})
}
