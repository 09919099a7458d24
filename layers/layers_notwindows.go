//go:build !windows

package layers

import (
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
)

func hostDriver() (Driver, error) {
	return nil, fmt.Errorf("layers of Windows: %w on %s: WithDriver can give another driver", errdefs.ErrNotImplemented, runtime.GOOS)
}
