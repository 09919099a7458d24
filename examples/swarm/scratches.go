package swarm

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// scratches mounts the layers of containers. Each scratch has the id of its
// container as its name.
type scratches struct {
	dir    string
	driver layers.Driver

	mu      sync.Mutex // guards following
	mounted map[string]*layers.Mounted
}

func newScratches(dir string, driver layers.Driver) *scratches {
	return &scratches{dir: dir, driver: driver, mounted: make(map[string]*layers.Mounted)}
}

func (s *scratches) folder(id string) string { return filepath.Join(s.dir, id) }

func (s *scratches) options() []layers.MountOption {
	if s.driver == nil {
		return nil
	}
	return []layers.MountOption{layers.WithDriver(s.driver)}
}

func (s *scratches) get(id string) *layers.Mounted {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mounted[id]
}

func (s *scratches) set(id string, m *layers.Mounted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m == nil {
		delete(s.mounted, id)
	} else {
		s.mounted[id] = m
	}
}

// mount mounts the layers of a container that does not exist. What is mounted
// already is returned. What a process has left that died is released first.
func (s *scratches) mount(ctx context.Context, id string, stack layers.Layers, hyperV bool) (*layers.Mounted, error) {
	if m := s.get(id); m != nil {
		return m, nil
	}
	options := append(s.options(), layers.WithContainer(id))
	if hyperV {
		options = append(options, layers.WithHyperV())
	}
	m, err := layers.Mount(ctx, stack, s.folder(id), options...)
	if errdefs.IsAlreadyExists(err) {
		if err := layers.Release(ctx, s.folder(id), s.options()...); err != nil {
			return nil, err
		}
		m, err = layers.Mount(ctx, stack, s.folder(id), options...)
	}
	if err != nil {
		return nil, err
	}
	s.set(id, m)
	return m, nil
}

// unmount undoes mount, in this process or in one that died. The container must have
// ended. It may be called again, and if there is nothing to undo.
func (s *scratches) unmount(ctx context.Context, id string) error {
	if m := s.get(id); m != nil {
		if err := m.Unmount(ctx); err != nil {
			return err
		}
		s.set(id, nil)
		return nil
	}
	err := layers.Release(ctx, s.folder(id), s.options()...)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// ids returns the containers whose layers are mounted.
func (s *scratches) ids() ([]string, error) {
	mounts, err := layers.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("mounts that are left: %w", err)
	}
	ids := make([]string, 0, len(mounts))
	for _, m := range mounts {
		ids = append(ids, m.Container)
	}
	return ids, nil
}
