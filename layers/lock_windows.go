package layers

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/windows"
)

// tryLock takes an exclusive lock on an open file, which lasts until the file is
// closed or the process ends. It returns false if somebody else has the lock.
//
// The locked byte lies far behind the content, because Windows does not let
// others read locked bytes.
func tryLock(f *os.File) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	at := windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

// pathKey returns a form of a path that is the same for equal folders.
func pathKey(path string) string { return strings.ToLower(path) }
