// The Driver on hcsshim. mount.go and import.go call it.

package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/Microsoft/go-winio"
	"github.com/Microsoft/hcsshim"
	"github.com/Microsoft/hcsshim/osversion"
	"github.com/Microsoft/hcsshim/pkg/ociwclayer"
	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"golang.org/x/sys/windows"
)

func hostDriver() (Driver, error) {
	dll := windows.NewLazySystemDLL("vmcompute.dll")
	if err := dll.Load(); err != nil {
		return nil, fmt.Errorf("the Containers feature of Windows is not installed: %w: %w", errdefs.ErrUnavailable, err)
	}
	return wclayers{}, nil
}

// wclayers is the Driver of the host. It has no state.
type wclayers struct{}

func (wclayers) Host() (version, architecture string, err error) {
	host := osversion.Get()
	version = host.String()
	// Wine does not have a revision.
	if revision, err := osversion.BuildRevision(); err == nil {
		version = fmt.Sprintf("%s.%d", version, revision)
	}
	return version, runtime.GOARCH, nil
}

// Import writes the layer with BackupWrite. The process needs two privileges of
// an administrator for that.
func (wclayers) Import(ctx context.Context, tar io.Reader, folder string, parents []string) error {
	err := winio.EnableProcessPrivileges([]string{winio.SeBackupPrivilege, winio.SeRestorePrivilege})
	if err != nil {
		return fmt.Errorf("importing layers needs an administrator: %w: %w", errdefs.ErrPermissionDenied, err)
	}
	_, err = ociwclayer.ImportLayerFromTar(ctx, tar, folder, parents)
	return layerError("import layer", err)
}

func (wclayers) CreateScratch(folder string, parents []string) error {
	home, id := split(folder)
	return layerError("create scratch", hcsshim.CreateScratchLayer(home, id, "", parents))
}

func (wclayers) ExpandScratch(folder string, size uint64) error {
	home, id := split(folder)
	return layerError("expand scratch", hcsshim.ExpandScratchSize(home, id, size))
}

func (wclayers) Activate(folder string) error {
	home, id := split(folder)
	return layerError("activate layer", hcsshim.ActivateLayer(home, id))
}

func (wclayers) Prepare(folder string, parents []string) error {
	home, id := split(folder)
	return layerError("prepare layer", hcsshim.PrepareLayer(home, id, parents))
}

func (wclayers) MountPath(folder string) (string, error) {
	home, id := split(folder)
	path, err := hcsshim.GetLayerMountPath(home, id)
	return path, layerError("layer mount path", err)
}

func (wclayers) Unprepare(folder string) error {
	home, id := split(folder)
	return layerError("unprepare layer", hcsshim.UnprepareLayer(home, id))
}

func (wclayers) Deactivate(folder string) error {
	home, id := split(folder)
	return layerError("deactivate layer", hcsshim.DeactivateLayer(home, id))
}

func (wclayers) Destroy(folder string) error {
	home, id := split(folder)
	return layerError("destroy layer", hcsshim.DestroyLayer(home, id))
}

// split turns a folder into the arguments of hcsshim: where layers are, and which
// layer.
func split(folder string) (hcsshim.DriverInfo, string) {
	return hcsshim.DriverInfo{HomeDir: filepath.Dir(folder)}, filepath.Base(folder)
}

// layerError gives a failure of hcsshim the form of all errors of this module. It
// returns an error that does not come from Windows unchanged.
func layerError(op string, err error) error {
	if err == nil {
		return nil
	}
	if wrapped, ok := errors.AsType[*hcsshim.HcsError](err); ok {
		err = wrapped.Err
	}
	code, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &libcontainerd.Error{Op: op, Code: libcontainerd.Code(code), Err: err}
}
