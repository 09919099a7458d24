//go:build !windows

package layers

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes an exclusive lock on an open file, which lasts until the file is
// closed or the process ends. It returns false if somebody else has the lock.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// pathKey returns a form of a path that is the same for equal folders.
func pathKey(path string) string { return path }
