package libcontainerd

import (
	"errors"
	"fmt"
	"testing"
)

// An id is computed once, a failure is tried again, and the memory is bounded.
func TestLayerIDsAreRemembered(t *testing.T) {
	computed := 0
	failure := errors.New("not now")
	fails := true
	compute := func(name string) (string, error) {
		computed++
		if fails {
			return "", failure
		}
		return "id of " + name, nil
	}
	var ids layerIDs
	if _, err := ids.get("base", compute); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	fails = false
	for range 3 {
		if id, err := ids.get("base", compute); id != "id of base" || err != nil {
			t.Errorf("got %q, %v", id, err)
		}
	}
	if computed != 2 {
		t.Errorf("computed %d times, want 2", computed)
	}
	for n := range 2 * mostLayerIDs {
		ids.get(fmt.Sprint(n), compute)
		if len(ids.ids) > mostLayerIDs {
			t.Fatalf("%d ids are remembered", len(ids.ids))
		}
	}
}
