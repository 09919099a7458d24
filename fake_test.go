package libcontainerd

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// fakeHost is as much of a ComputeService as a translation asks for.
type fakeHost struct {
	ComputeService // nil: nothing else is called
	host           Host
	noUtilityVM    bool
}

// server2022 is a host that every feature works on.
var server2022 = fakeHost{host: Host{Build: 20348, Processors: 8}}

func (f fakeHost) Host() Host { return f.host }

func (f fakeHost) LayerID(name string) (string, error) {
	if name == "unknown" {
		return "", CodeAccessDenied
	}
	return "id-of-" + name, nil
}

func (f fakeHost) UtilityVM(layerPaths []string) (string, error) {
	if f.noUtilityVM {
		return "", fmt.Errorf("utility VM: %w", errdefs.ErrNotFound)
	}
	return winJoin(layerPaths[0], "UtilityVM"), nil
}
