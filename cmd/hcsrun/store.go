package main

import (
	"os"
	"path/filepath"

	"github.com/seed-609fd248/libcontainerd/layers"
)

// defaultStore is the folder of images and scratches unless --store names
// another.
func defaultStore() string {
	if dir := os.Getenv("ProgramData"); dir != "" {
		return filepath.Join(dir, "hcsrun")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "hcsrun")
}

// findScratch finds a scratch by its folder, or by the id of the container for
// which it was mounted.
func (a *app) findScratch(nameOrFolder string) (string, error) {
	mounts, err := a.mounts()
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if m.Container == nameOrFolder {
			return m.Scratch, nil
		}
	}
	return nameOrFolder, nil
}

// mounts lists the mounts of the scratches in the store.
func (a *app) mounts() ([]layers.MountInfo, error) {
	// The folder does not depend on the container.
	scratch, err := layers.Scratch(a.store, "any")
	if err != nil {
		return nil, err
	}
	return layers.List(filepath.Dir(scratch))
}

// mountOptions are the options for each call of package layers.
func (a *app) mountOptions(more ...layers.MountOption) []layers.MountOption {
	if a.driver != nil {
		more = append(more, layers.WithDriver(a.driver))
	}
	return more
}

// isFile and isFolder report whether a path leads to a file or a folder.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
