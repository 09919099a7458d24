package layers

import "runtime"

// HostHasDriver says that there is a driver without WithDriver.
const HostHasDriver = runtime.GOOS == "windows"

// Abandon does to a mount what the end of its process does.
func Abandon(m *Mounted) { m.mount.file.Close() }
