package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// recordSuffix is appended to the folder of a scratch. The record lies beside
// that folder, because Windows makes and removes the folder.
const recordSuffix = ".mount.json"

// record is the content of the record of a mount.
type record struct {
	Layers    Layers    `json:"layers"`
	Container string    `json:"container,omitempty"`
	Keep      bool      `json:"keep,omitempty"`
	HyperV    bool      `json:"hyperv,omitempty"`
	Since     time.Time `json:"since"`
}

// MountInfo describes a mount that is recorded.
type MountInfo struct {
	Scratch   string    // folder of the scratch
	Layers    Layers    // topmost first
	Container string    // id that WithContainer gave, or empty
	Keep      bool      // Unmount and Release leave the scratch
	HyperV    bool      // mounted with WithHyperV
	Since     time.Time // when it was mounted
	// InUse reports whether the process that mounted or opened it still has it.
	// The container may run in either case.
	InUse bool
}

// List returns the mounts whose scratches are directly in a folder, sorted by
// name. If the folder does not exist, there are none.
//
// A mount with InUse false is left over, unless its container still runs or it
// was made to last. Release undoes it, Open takes it over.
func List(folder string) ([]MountInfo, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var mounts []MountInfo
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), recordSuffix)
		if !ok || entry.IsDir() {
			continue
		}
		info, err := describe(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was unmounted meanwhile
		}
		if err != nil {
			return mounts, fmt.Errorf("list mounts: %w", err)
		}
		mounts = append(mounts, info)
	}
	return mounts, nil
}

func describe(scratch string) (MountInfo, error) {
	f, err := openSoon(scratch+recordSuffix, os.O_RDONLY)
	if err != nil {
		return MountInfo{}, err
	}
	defer f.Close()
	r, err := readRecord(f)
	if err != nil {
		return MountInfo{}, err
	}
	free, err := tryLock(f)
	if err != nil {
		return MountInfo{}, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return MountInfo{
		Scratch: scratch, Layers: r.Layers, Container: r.Container,
		Keep: r.Keep, HyperV: r.HyperV, Since: r.Since, InUse: !free,
	}, nil
}

// Open takes over a mount of a process that has ended, as an engine does when it
// restarts while its containers run. It fails with errdefs.ErrNotFound if the
// scratch is not recorded as mounted, and with errdefs.ErrFailedPrecondition if a
// process has it, another one or this one. Other errors come from Windows if the
// scratch is no longer mounted, as after a restart of the host: then call
// Release.
//
// WithDriver is the only option that has an effect.
func Open(scratch string, options ...MountOption) (*Mounted, error) {
	m, err := openMount(scratch, options)
	if err != nil {
		return nil, fmt.Errorf("open mount: %w", err)
	}
	m.stage = prepared
	if m.record.HyperV {
		m.stage = created
	}
	if err := m.find(context.Background()); err != nil {
		m.letGo()
		return nil, fmt.Errorf("open mount %s: %w", m.scratch, err)
	}
	return m.mounted(), nil
}

// Release undoes a mount that is left over, complete or not. It fails with
// errdefs.ErrNotFound if the scratch is not recorded as mounted, and with
// errdefs.ErrFailedPrecondition if a process has it, another one or this one. As
// for Unmount, the container must have ended.
//
// WithDriver is the only option that has an effect.
func Release(ctx context.Context, scratch string, options ...MountOption) error {
	m, err := openMount(scratch, options)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	done := make(chan error, 1)
	go func() {
		err := m.release(ctx)
		m.letGo()
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = answer(ctx, done)
	}
	if err != nil {
		return fmt.Errorf("release %s: %w", m.scratch, err)
	}
	return nil
}

// release unmounts a scratch whose stage is unknown. If it cannot be unprepared,
// it may never have been prepared. If its disk is no longer attached, it shows no
// layers.
func (m *mount) release(ctx context.Context) error {
	m.stage = created
	if m.record.HyperV {
		return m.down(ctx)
	}
	busy := func(err error) bool { return isBusy(err) && !isInactive(err) }
	unprepared := repeat(ctx, busy, func() error { return m.driver.Unprepare(m.scratch) })
	err := repeat(ctx, busy, func() error { return m.driver.Deactivate(m.scratch) })
	if err != nil && !isInactive(err) {
		return errors.Join(unprepared, err)
	}
	return m.down(ctx)
}

// openMount locks the record of a mount and reads it.
func openMount(scratch string, options []MountOption) (*mount, error) {
	m, err := newMount(scratch, options)
	if err != nil {
		return nil, err
	}
	path := m.scratch + recordSuffix
	m.file, err = openSoon(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not mounted, %s does not exist: %w", m.scratch, path, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if m.record, err = lockRecord(m.file); err != nil {
		m.letGo()
		return nil, err
	}
	return m, nil
}

func lockRecord(f *os.File) (record, error) {
	if err := lockSoon(f); err != nil {
		return record{}, err
	}
	return readRecord(f)
}

// claim makes an empty record for a scratch, and locks it.
func claim(scratch string) (*os.File, error) {
	path := scratch + recordSuffix
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is mounted already, or left over from a process that ended, "+
			"which Release undoes: there is %s: %w", scratch, path, errdefs.ErrAlreadyExists)
	}
	if err != nil {
		return nil, err
	}
	if err := lockSoon(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (r record) write(f *os.File) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return err
}

// readRecord reads a record. An incomplete record is not an error: its process
// ended before it made or mounted a scratch.
func readRecord(f *os.File) (record, error) {
	text, err := readSmall(f)
	if err != nil {
		return record{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	var r record
	if json.Unmarshal(text, &r) == nil {
		return r, nil
	}
	return record{Keep: true, HyperV: true}, nil
}

const (
	lockTries = 50
	lockPause = 10 * time.Millisecond
)

// lockSoon locks a record, unless it was removed meanwhile. It waits a little,
// because List locks records for a moment.
func lockSoon(f *os.File) error {
	for range lockTries {
		free, err := tryLock(f)
		if err != nil {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if free {
			return stillThere(f)
		}
		time.Sleep(lockPause)
	}
	return fmt.Errorf("%s: the process that mounted it, or opened it, still runs: %w", f.Name(), errdefs.ErrFailedPrecondition)
}

// stillThere returns an error if the record was removed by the process that had
// it locked.
func stillThere(f *os.File) error {
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Stat(f.Name()); err != nil || !os.SameFile(opened, named) {
		return fmt.Errorf("%s was removed meanwhile: %w", f.Name(), errdefs.ErrNotFound)
	}
	return nil
}

// removeRecord removes the record of a scratch.
func removeRecord(scratch string) error {
	err := insist(func() error { return os.Remove(scratch + recordSuffix) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// openSoon opens a file that another process may be replacing or removing.
func openSoon(path string, flag int) (*os.File, error) {
	var f *os.File
	err := insist(func() (err error) {
		f, err = os.OpenFile(path, flag, 0)
		return err
	})
	return f, err
}

// insist repeats an operation on a file that Windows refuses while others read,
// replace or remove the file.
func insist(f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || errors.Is(err, fs.ErrNotExist) || try == lockTries {
			return err
		}
		time.Sleep(lockPause)
	}
}
