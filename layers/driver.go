package layers

import (
	"context"
	"io"
)

// Driver does what Windows does with layers. Each layer is known by the absolute
// path of its folder. Parents are the read-only layers below it, topmost first.
//
// The methods may be called concurrently, for different folders. Errors carry a
// libcontainerd.Code, which errors.Is finds. A call may be slow: when their
// context ends, Mount and Unmount stop waiting for it, and undo its effect when
// it returns.
type Driver interface {
	// Host returns the version of Windows, as in "10.0.20348.2340", and the
	// architecture by its name in Go, as in "amd64".
	Host() (version, architecture string, err error)
	// Import writes the layer whose files tar holds, uncompressed and in the form
	// that OCI defines for Windows. The folder does not exist yet. If Import
	// fails, it may leave a part of the layer, which Destroy removes.
	Import(ctx context.Context, tar io.Reader, folder string, parents []string) error

	// CreateScratch makes the folder with an empty scratch in it: sandbox.vhdx.
	CreateScratch(folder string, parents []string) error
	// ExpandScratch makes the volume of a scratch that is not active larger; size
	// is in bytes.
	ExpandScratch(folder string, size uint64) error
	// Activate attaches the disk of a scratch.
	Activate(folder string) error
	// Prepare makes the layers appear on the volume of an active scratch.
	Prepare(folder string, parents []string) error
	// MountPath returns the volume of a scratch that is prepared.
	MountPath(folder string) (string, error)
	// Unprepare undoes Prepare.
	Unprepare(folder string) error
	// Deactivate undoes Activate.
	Deactivate(folder string) error
	// Destroy removes the folder of a layer or a scratch that is not active.
	Destroy(folder string) error
}

// ImportOption changes what Import and Remove do.
type ImportOption interface{ applyToImport(*importer) error }

// MountOption changes what Mount, Open and Release do.
type MountOption interface{ applyToMount(*mount) error }

// DriverOption is an option of every function that has options.
type DriverOption struct{ driver Driver }

// WithDriver replaces the host's own driver, which exists on Windows only.
func WithDriver(driver Driver) DriverOption { return DriverOption{driver} }

func (o DriverOption) applyToImport(i *importer) error {
	i.driver = o.driver
	return o.check()
}

func (o DriverOption) applyToMount(m *mount) error {
	m.driver = o.driver
	return o.check()
}

func (o DriverOption) check() error {
	if o.driver == nil {
		return invalid("driver: is nil")
	}
	return nil
}

type mountOption func(*mount) error

func (o mountOption) applyToMount(m *mount) error { return o(m) }

// WithContainer records the id of the container for which the mount is made. List
// reports it.
func WithContainer(id string) MountOption {
	return mountOption(func(m *mount) error {
		m.record.Container = id
		return nil
	})
}

// WithScratchSize makes the volume of a scratch that Mount creates larger than
// the 20 GB that it has otherwise. The size is in bytes.
func WithScratchSize(bytes uint64) MountOption {
	return mountOption(func(m *mount) error {
		const smallest = 20 << 30
		if bytes < smallest {
			return invalid("scratch size %d: want %d bytes (20 GiB) or more, a scratch cannot shrink", bytes, uint64(smallest))
		}
		m.size = bytes
		return nil
	})
}

// WithKeptScratch keeps the scratch, with what the container wrote, after
// Unmount. A scratch that was there before Mount is kept anyway.
func WithKeptScratch() MountOption {
	return mountOption(func(m *mount) error {
		m.record.Keep = true
		return nil
	})
}

// WithHyperV makes the scratch and mounts nothing on the host, as
// libcontainerd.IsolationHyperV needs it.
func WithHyperV() MountOption {
	return mountOption(func(m *mount) error {
		m.record.HyperV = true
		return nil
	})
}

// withDefault returns the driver of the host if none is given.
func withDefault(driver Driver) (Driver, error) {
	if driver != nil {
		return driver, nil
	}
	return hostDriver()
}

// Layers are the folders of an image's layers, topmost first, as
// libcontainerd.Spec wants them in Windows.LayerPaths.
type Layers []string
