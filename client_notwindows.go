//go:build !windows

package libcontainerd

import (
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
)

// hostService fails, since HCS exists on Windows only; see
// client_windows.go for the twin that has.
func hostService() (ComputeService, error) {
	return nil, fmt.Errorf("the Host Compute Service exists on Windows only, this is %s: "+
		"give another service with WithComputeService, the simulator of package hcstest for one: %w",
		runtime.GOOS, errdefs.ErrNotImplemented)
}
