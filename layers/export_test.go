package layers

import "runtime"

// HostHasDriver reports whether there is a driver without WithDriver.
const HostHasDriver = runtime.GOOS == "windows"

// Abandon leaves a mount as the end of its process does.
func Abandon(m *Mounted) { m.mount.file.Close() }
