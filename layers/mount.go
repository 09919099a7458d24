package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

const (
	// tries and pause are for failures of Windows under load: the disk of a
	// scratch may appear a moment late, and a file that was just closed may still
	// be locked.
	tries = 5
	pause = 100 * time.Millisecond
	// patience is how long Mount and Unmount wait for a call of the driver after
	// their context has ended.
	patience = 30 * time.Second
)

// Mounted is a scratch that is mounted on layers. Its methods may be called
// concurrently; its fields must not be changed, except Keep before Unmount.
type Mounted struct {
	// Root is the volume, \\?\Volume{GUID} without a trailing backslash, for
	// Spec.Root.Path. It is empty for WithHyperV.
	Root string
	// Scratch is the folder of the scratch, for Spec.Windows.LayerFolder.
	Scratch string
	// Layers are the layers below, for Spec.Windows.LayerPaths.
	Layers Layers
	// Container is the id that WithContainer gave.
	Container string
	// Keep leaves the scratch when Unmount has been called. It is true if the
	// scratch was there before Mount, and after WithKeptScratch.
	Keep bool

	turn  chan struct{} // has one element while nobody uses mount
	mount *mount
}

// Mount creates the scratch if there is none, mounts the layers and the scratch,
// and returns what a Spec needs. Scratch is the folder of the scratch. Its base
// name must be unique among the scratches of the host, because Windows makes the
// identity of the scratch from it. If the folder exists, it must be empty or hold
// a scratch.
//
// If a step fails because the disk is not ready yet, Mount tries it five times,
// 100 ms apart. If Mount fails, it undoes what it has done. If that fails too,
// the error says so, and List shows what is left. When ctx ends, Mount undoes
// what it has done. If Windows does not answer for 30 seconds, Mount returns, and
// undoes it later.
//
// The error is errdefs.ErrInvalidArgument for bad input, errdefs.ErrNotFound if a
// layer does not exist, and errdefs.ErrAlreadyExists if the scratch is mounted
// already or left over from a process that ended. Other errors come from Windows,
// with a libcontainerd.Code. Mount may be called concurrently.
func Mount(ctx context.Context, layers Layers, scratch string, options ...MountOption) (*Mounted, error) {
	m, err := newMount(scratch, options)
	if err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	if m.record.Layers, err = layers.checked(); err != nil {
		return nil, fmt.Errorf("mount %s: %w", scratch, err)
	}
	mounted := make(chan *Mounted)
	failed := make(chan error, 1)
	go func() {
		err := m.up(ctx)
		if err == nil {
			select {
			case mounted <- m.mounted():
				return
			case <-ctx.Done():
				err = m.undo(ctx, ctx.Err())
			}
		}
		failed <- err
	}()
	select {
	case m := <-mounted:
		return m, nil
	case err = <-failed:
	case <-ctx.Done():
		err = answer(ctx, failed)
	}
	return nil, fmt.Errorf("mount %s: %w", scratch, err)
}

// answer waits for the answer of a call whose context has ended, at most for
// patience.
func answer(ctx context.Context, done <-chan error) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%w, and Windows has not answered for %v since", ctx.Err(), patience)
	}
}

// Unmount undoes Mount: it unprepares and deactivates the scratch, and destroys it
// unless Keep is true. Before that, the client must have reported
// libcontainerd.StateExit for the container, or have failed to create it. If the error
// that it gave is libcontainerd.ErrMayStillRun, the container may still run: Windows
// then refuses, or the container breaks.
//
// After an error Unmount can be called again, and goes on where it stopped. It
// returns nil when everything is undone already. When ctx ends, Unmount stops at
// the next step. If Windows does not answer for 30 seconds, Unmount returns.
func (m *Mounted) Unmount(ctx context.Context) error {
	if err := m.unmount(ctx); err != nil {
		return fmt.Errorf("unmount %s: %w", m.Scratch, err)
	}
	return nil
}

func (m *Mounted) unmount(ctx context.Context) error {
	select {
	case <-m.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mount.record.Keep = m.Keep
	done := make(chan error, 1)
	go func() {
		err := m.mount.down(ctx)
		m.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return answer(ctx, done)
	}
}

// Apply writes a mount into a spec: the root volume, the folder of the scratch
// and the folders of the layers.
func (m *Mounted) Apply(spec *libcontainerd.Spec) {
	spec.Root.Path = m.Root
	spec.Windows.LayerFolder = m.Scratch
	spec.Windows.LayerPaths = slices.Clone(m.Layers)
}

// mount is one scratch that is being mounted or unmounted. One goroutine uses it
// at a time.
type mount struct {
	driver  Driver
	scratch string
	record  record
	size    uint64 // 0: the default of Windows

	stage stage
	made  bool     // the scratch was not there before
	file  *os.File // the record, locked; nil without one
	root  string
}

// stage is how far a mount has come.
type stage int

const (
	gone     stage = iota // this mount has left nothing
	recorded              // the record is written
	created               // the scratch is there, or a part of it
	active                // its disk is attached
	prepared              // the layers appear on its volume
)

func newMount(scratch string, options []MountOption) (*mount, error) {
	if scratch == "" {
		return nil, invalid("scratch: is empty")
	}
	scratch, err := filepath.Abs(scratch)
	if err != nil {
		return nil, invalid("scratch: %w", err)
	}
	if filepath.Dir(scratch) == scratch {
		return nil, invalid("scratch: %s is a whole disk", scratch)
	}
	m := &mount{scratch: scratch, record: record{Since: time.Now().UTC()}}
	for _, option := range options {
		if err := option.applyToMount(m); err != nil {
			return nil, err
		}
	}
	m.driver, err = withDefault(m.driver)
	return m, err
}

func (m *mount) mounted() *Mounted {
	mounted := &Mounted{
		Root:      m.root,
		Scratch:   m.scratch,
		Layers:    m.record.Layers,
		Container: m.record.Container,
		Keep:      m.record.Keep,
		turn:      make(chan struct{}, 1),
		mount:     m,
	}
	mounted.turn <- struct{}{}
	return mounted
}

// up mounts the scratch, or undoes what it has done.
func (m *mount) up(ctx context.Context) error {
	for _, step := range []func(context.Context) error{m.begin, m.create, m.attach, m.find} {
		err := ctx.Err()
		if err == nil {
			err = step(ctx)
		}
		if err != nil {
			return m.undo(ctx, err)
		}
	}
	return nil
}

// undo unmounts because of err. It removes a scratch that was made, even if it
// was to be kept. If something is left, so is the record, for Release.
func (m *mount) undo(ctx context.Context, err error) error {
	m.record.Keep = !m.made
	left := m.down(context.WithoutCancel(ctx))
	if left != nil {
		m.letGo()
		return fmt.Errorf("%w; and it could not be undone: %w", err, left)
	}
	return err
}

// begin locks the scratch, looks at it, and writes the record. Until then another
// process may be about to unmount it.
func (m *mount) begin(context.Context) error {
	var err error
	if m.file, err = claim(m.scratch); err != nil {
		return err
	}
	m.stage = recorded
	there, err := isScratch(m.scratch)
	if err != nil {
		return err
	}
	m.record.Keep = m.record.Keep || there
	if err := m.record.write(m.file); err != nil {
		return err
	}
	if there {
		m.stage = created
	}
	return nil
}

// isScratch reports whether a folder holds a scratch. It returns an error if the
// folder has other content, because that would be destroyed together with the
// scratch.
func isScratch(folder string) (bool, error) {
	there, err := exists(folder)
	if err != nil || !there {
		return false, err
	}
	if err := isFolder(folder); err != nil {
		return false, fmt.Errorf("scratch: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false, err
	}
	there = slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.EqualFold(e.Name(), scratchDisk) })
	if !there && len(entries) > 0 {
		return false, invalid("scratch: %s is neither empty nor a scratch, it has %s and no %s", folder, entries[0].Name(), scratchDisk)
	}
	return there, nil
}

// create makes the scratch if it does not exist.
func (m *mount) create(ctx context.Context) error {
	if m.stage >= created {
		return nil
	}
	m.stage, m.made = created, true
	if err := m.driver.CreateScratch(m.scratch, m.record.Layers); err != nil {
		return err
	}
	if m.size == 0 {
		return nil
	}
	return repeat(ctx, isNotReady, func() error { return m.driver.ExpandScratch(m.scratch, m.size) })
}

// attach activates and prepares the scratch. If its disk was attached but did not
// become ready, attach detaches it before the next try.
func (m *mount) attach(ctx context.Context) error {
	if m.record.HyperV {
		return nil
	}
	return repeat(ctx, isNotReady, func() error {
		if err := m.driver.Activate(m.scratch); err != nil {
			return err
		}
		m.stage = active
		err := m.driver.Prepare(m.scratch, m.record.Layers)
		if err == nil {
			m.stage = prepared
			return nil
		}
		if left := m.driver.Deactivate(m.scratch); left != nil {
			// The stage stays active, so that down tries again.
			return &finalError{err}
		}
		m.stage = created
		return err
	})
}

// find sets the volume.
func (m *mount) find(ctx context.Context) error {
	if m.record.HyperV {
		return nil
	}
	return repeat(ctx, isNotReady, func() error {
		root, err := m.driver.MountPath(m.scratch)
		if err != nil {
			return err
		}
		m.root = strings.TrimRight(root, `\/`)
		if m.root == "" {
			return fmt.Errorf("Windows gives no volume for the scratch: %w", errdefs.ErrInternal) //nolint:staticcheck // Windows is a name
		}
		return nil
	})
}

// down unmounts the scratch. It does not repeat steps that succeeded.
func (m *mount) down(ctx context.Context) error {
	for m.stage > gone {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		switch m.stage {
		case prepared:
			err = repeat(ctx, isBusy, func() error { return m.driver.Unprepare(m.scratch) })
		case active:
			err = repeat(ctx, isBusy, func() error { return m.driver.Deactivate(m.scratch) })
		case created:
			err = m.destroy(ctx)
		default:
			err = m.forget()
		}
		if err != nil {
			return err
		}
		m.stage--
	}
	return nil
}

func (m *mount) destroy(ctx context.Context) error {
	if m.record.Keep {
		return nil
	}
	there, err := exists(m.scratch)
	if err != nil || !there {
		return err
	}
	return repeat(ctx, isBusy, func() error { return m.driver.Destroy(m.scratch) })
}

// forget removes the record.
func (m *mount) forget() error {
	m.letGo()
	return removeRecord(m.scratch)
}

// letGo unlocks the record.
func (m *mount) letGo() {
	if m.file != nil {
		m.file.Close()
		m.file = nil
	}
}

// repeat calls f until it succeeds, fails with an error for which is returns
// false, or has used up its tries.
func repeat(ctx context.Context, is func(error) bool, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == tries || !is(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// finalError is an error after which f is not called again, whatever its code.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

const codeDeviceNotConnected libcontainerd.Code = 1167

// isNotReady reports whether a disk may still appear.
func isNotReady(err error) bool {
	if _, final := errors.AsType[*finalError](err); final {
		return false
	}
	return errors.Is(err, libcontainerd.CodeNotReady) || errors.Is(err, codeDeviceNotConnected)
}

// isBusy reports whether a file or a disk is in use, perhaps only for a moment.
func isBusy(err error) bool {
	return isNotReady(err) || errors.Is(err, libcontainerd.CodeSharingViolation) ||
		errors.Is(err, libcontainerd.CodeBusy) || errors.Is(err, libcontainerd.CodeAccessDenied)
}

// isInactive reports whether a scratch cannot be deactivated because it is not
// active, or not there. Which of these codes Windows gives depends on its build.
func isInactive(err error) bool {
	const deviceNotExist libcontainerd.Code = 55
	for _, code := range []libcontainerd.Code{
		libcontainerd.CodeFileNotFound, libcontainerd.CodePathNotFound, libcontainerd.CodeNotReady,
		libcontainerd.CodeNotFound, codeDeviceNotConnected, deviceNotExist,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
