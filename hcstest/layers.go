package hcstest

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/seed-609fd248/libcontainerd"
)

// The calls of a layers.Driver. Call.ID is the folder.
const (
	OpImport        Op = "Import"
	OpCreateScratch Op = "CreateScratch"
	OpExpandScratch Op = "ExpandScratch"
	OpActivate      Op = "Activate"
	OpPrepare       Op = "Prepare"
	OpMountPath     Op = "MountPath"
	OpUnprepare     Op = "Unprepare"
	OpDeactivate    Op = "Deactivate"
	OpDestroy       Op = "Destroy"
)

// LayerOperations returns every call of a layers.Driver that a LayerStore
// records.
func LayerOperations() []Op {
	return []Op{
		OpImport, OpCreateScratch, OpExpandScratch, OpActivate, OpPrepare,
		OpMountPath, OpUnprepare, OpDeactivate, OpDestroy,
	}
}

// LayerStore simulates what Windows does with layers, on any system. It implements
// layers.Driver:
//
//	store := hcstest.NewLayers(t)
//	mounted, err := layers.Mount(ctx, stack, scratch, layers.WithDriver(store))
//
// Folders are real: an imported layer has the files of its tar, and a scratch a
// sandbox.vhdx. A LayerStore only remembers that a scratch is mounted: its volume does
// not exist. Faults are made as with a Service. All methods may be called concurrently.
type LayerStore struct {
	version      string
	architecture string
	calls        *Service // only for its faults and its record of calls

	mu      sync.Mutex // guards following
	mounted map[string]*scratch
}

// scratch is an active scratch.
type scratch struct {
	parents []string // nil until it is prepared
}

// LayerOption changes a LayerStore from its default: a host of Windows Server 2022.
type LayerOption func(*LayerStore)

// WithWindowsVersion sets the version of Windows that the host has, as in
// "10.0.26100.1742".
func WithWindowsVersion(version string) LayerOption {
	return func(s *LayerStore) { s.version = version }
}

// WithArchitecture sets the architecture of the host, by its name in Go.
func WithArchitecture(name string) LayerOption {
	return func(s *LayerStore) { s.architecture = name }
}

// NewLayerStore makes a LayerStore for a program that is not a test; see Check. Tests
// use NewLayers.
func NewLayerStore(options ...LayerOption) *LayerStore {
	s := &LayerStore{
		version:      "10.0.20348.2340",
		architecture: "amd64",
		calls:        NewService(),
		mounted:      map[string]*scratch{},
	}
	for _, option := range options {
		option(s)
	}
	return s
}

// NewLayers makes a LayerStore for a test. The test fails if anything is still
// mounted when it ends. It also fails for every call that damages a real host: a
// scratch is activated twice, is prepared before it is active, or is destroyed
// while it is active; a layer is destroyed under a mounted scratch.
func NewLayers(tb TB, options ...LayerOption) *LayerStore {
	tb.Helper()
	s := NewLayerStore(options...)
	tb.Cleanup(func() {
		tb.Helper()
		s.Heal()
		if err := s.Check(); err != nil {
			tb.Errorf("hcstest: %v", err)
		}
	})
	return s
}

// Check returns, joined, every violation of the rules so far and every scratch
// that is mounted now. It returns nil if there are none.
func (s *LayerStore) Check() error {
	errs := s.calls.violations.list()
	for _, folder := range s.Mounted() {
		errs = append(errs, fmt.Errorf("left over: scratch %s is mounted", folder))
	}
	return errors.Join(errs...)
}

// Mounted lists the folders of the scratches that are active, sorted.
func (s *LayerStore) Mounted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.mounted))
}

// Restart simulates a restart of the host: nothing is mounted after it.
func (s *LayerStore) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.mounted)
}

// Inject makes calls meet a fault, as Service.Inject does; Rule.ID is a folder.
func (s *LayerStore) Inject(rule Rule) *Injection { return s.calls.Inject(rule) }

// Fail answers the next calls of op with errs, one each, as Service.Fail does.
func (s *LayerStore) Fail(op Op, folder string, errs ...error) { s.calls.Fail(op, folder, errs...) }

// Hang holds every call of op until the Injection is released.
func (s *LayerStore) Hang(op Op, folder string) *Injection { return s.calls.Hang(op, folder) }

// OnCall has react look at every call of op, as Service.OnCall does.
func (s *LayerStore) OnCall(op Op, react func(Call) *Fault) { s.calls.OnCall(op, react) }

// Heal removes all faults and lets every held call go on.
func (s *LayerStore) Heal() { s.calls.Heal() }

// Calls returns the calls so far, or only those of the given operations.
func (s *LayerStore) Calls(ops ...Op) []Call { return s.calls.Calls(ops...) }

// Host returns what the options say.
func (s *LayerStore) Host() (version, architecture string, err error) {
	return s.version, s.architecture, nil
}

// call meets the faults, and then calls do.
func (s *LayerStore) call(op Op, folder string, do func(Call) error) error {
	c := Call{Op: op, ID: folder}
	err := s.calls.local(c, func() error { return do(c) })
	// A folder is not a container.
	if e, ok := errors.AsType[*libcontainerd.Error](err); ok && e.ContainerID == folder {
		named := *e
		named.ContainerID, named.Op = "", layerWords[op]
		return &named
	}
	return err
}

// layerWords are the operations as libcontainerd.Error.Op has them on Windows.
var layerWords = map[Op]string{
	OpImport: "import layer", OpCreateScratch: "create scratch", OpExpandScratch: "expand scratch",
	OpActivate: "activate layer", OpPrepare: "prepare layer", OpMountPath: "layer mount path",
	OpUnprepare: "unprepare layer", OpDeactivate: "deactivate layer", OpDestroy: "destroy layer",
}

// Import writes the files of a tar.
func (s *LayerStore) Import(ctx context.Context, files io.Reader, folder string, parents []string) error {
	return s.call(OpImport, folder, func(c Call) error {
		if err := s.need(c, parents); err != nil {
			return err
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			return c.failure(libcontainerd.CodeObjectAlreadyExists, err.Error())
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			return err
		}
		defer root.Close()
		return writeLayer(ctx, root, tar.NewReader(files))
	})
}

func writeLayer(ctx context.Context, root *os.Root, files *tar.Reader) error {
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = writeEntry(root, header, files)
		}
		if err != nil {
			return err
		}
	}
}

// writeEntry writes a file; a link becomes a file with its target in it.
func writeEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := path.Clean(header.Name)
	if header.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if header.Typeflag != tar.TypeReg {
		content = strings.NewReader(header.Linkname)
	}
	f, err := root.Create(strings.ReplaceAll(name, ":", "_"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// CreateScratch makes the folder of a scratch.
func (s *LayerStore) CreateScratch(folder string, parents []string) error {
	return s.call(OpCreateScratch, folder, func(c Call) error {
		if err := s.need(c, parents); err != nil {
			return err
		}
		if len(parents) == 0 {
			return c.failure(libcontainerd.CodeInvalidParameter, "a scratch without layers")
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		text, err := json.Marshal(parents)
		if err != nil {
			return err
		}
		return os.WriteFile(disk(folder), text, 0o644)
	})
}

func disk(folder string) string { return filepath.Join(folder, "sandbox.vhdx") }

// need returns an error if a layer does not exist.
func (s *LayerStore) need(c Call, folders []string) error {
	for _, folder := range folders {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return c.failure(libcontainerd.CodePathNotFound, folder)
		}
	}
	return nil
}

// ExpandScratch changes nothing but the record of calls.
func (s *LayerStore) ExpandScratch(folder string, size uint64) error {
	return s.call(OpExpandScratch, folder, func(c Call) error {
		if size == 0 {
			return c.failure(libcontainerd.CodeInvalidParameter, "a size of 0")
		}
		return s.inactive(c)
	})
}

// inactive returns an error if a scratch is active or does not exist.
func (s *LayerStore) inactive(c Call) error {
	s.mu.Lock()
	_, active := s.mounted[c.ID]
	s.mu.Unlock()
	if active {
		return s.violation(c, libcontainerd.CodeSharingViolation, "the scratch is active")
	}
	if _, err := os.Stat(disk(c.ID)); err != nil {
		return c.failure(libcontainerd.CodeFileNotFound, err.Error())
	}
	return nil
}

func (s *LayerStore) violation(c Call, code libcontainerd.Code, why string) error {
	s.calls.violations.add(c, why)
	return c.failure(code, why)
}

// Activate attaches the disk of a scratch.
func (s *LayerStore) Activate(folder string) error {
	return s.call(OpActivate, folder, func(c Call) error {
		if err := s.inactive(c); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mounted[folder] = &scratch{}
		return nil
	})
}

// Prepare makes the layers appear in an active scratch.
func (s *LayerStore) Prepare(folder string, parents []string) error {
	return s.call(OpPrepare, folder, func(c Call) error {
		if err := s.need(c, parents); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		m := s.mounted[folder]
		if m == nil || m.parents != nil {
			return s.violation(c, libcontainerd.CodeNotReady, "the scratch is not active, or prepared already")
		}
		m.parents = append([]string{}, parents...)
		return nil
	})
}

// MountPath returns a volume that does not exist, always the same for a folder.
func (s *LayerStore) MountPath(folder string) (volume string, err error) {
	err = s.call(OpMountPath, folder, func(c Call) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if m := s.mounted[folder]; m == nil || m.parents == nil {
			return c.failure(libcontainerd.CodeNotReady, "the scratch is not prepared")
		}
		volume = `\\?\Volume{` + uuid5("hcstest volume "+folder) + `}\`
		return nil
	})
	return volume, err
}

// Unprepare undoes Prepare.
func (s *LayerStore) Unprepare(folder string) error {
	return s.call(OpUnprepare, folder, func(c Call) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		m := s.mounted[folder]
		if m == nil || m.parents == nil {
			return c.failure(libcontainerd.CodeNotReady, "the scratch is not prepared")
		}
		m.parents = nil
		return nil
	})
}

// Deactivate undoes Activate.
func (s *LayerStore) Deactivate(folder string) error {
	return s.call(OpDeactivate, folder, func(c Call) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		m := s.mounted[folder]
		if m == nil {
			return c.failure(libcontainerd.CodeNotReady, "the scratch is not active")
		}
		if m.parents != nil {
			s.calls.violations.add(c, "the scratch is prepared")
		}
		delete(s.mounted, folder)
		return nil
	})
}

// Destroy removes the folder of a layer or a scratch.
func (s *LayerStore) Destroy(folder string) error {
	return s.call(OpDestroy, folder, func(c Call) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.mounted[folder] != nil {
			return s.violation(c, libcontainerd.CodeSharingViolation, "the scratch is active")
		}
		for top, m := range s.mounted {
			if slices.Contains(m.parents, folder) {
				return s.violation(c, libcontainerd.CodeSharingViolation, "the layer is mounted by "+top)
			}
		}
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			return c.failure(libcontainerd.CodePathNotFound, folder)
		}
		if err := os.RemoveAll(folder); err != nil {
			return c.failure(libcontainerd.CodeSharingViolation, err.Error())
		}
		return nil
	})
}
