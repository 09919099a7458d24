package libcontainerd

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzPathLikeWindows compares the path functions with path/filepath, which is
// that of Windows here. Its seeds run with every test.
func FuzzPathLikeWindows(f *testing.F) {
	for _, path := range []string{
		"", ".", "..", `\`, "/", `C:`, `C:\`, `c:/`, `C:x`, `C:\x\`, `C:\x\y`, `C:/x/y//`, `C:\x\..\y`, `C:..\x`,
		`\\host\share`, `\\host\share\`, `\\host\share\x`, `//host/share/x/y`, `\\host`, `\\`,
		`\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`, `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}\`,
		`\\.\pipe\name`, `\\?\C:\x`, `\??\C:\x`, `\\.\UNC\host\share\x`, `\\?\UNC\host\share`,
		`x`, `x\`, `x\y`, `x/y`, `.\x`, `x\.\y`, `x\..\..\y`, `a\..\c:`, `\a\..\..`, "ünï\\cödé",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for name, pair := range map[string][2]string{
			"base":  {winBase(path), filepath.Base(path)},
			"dir":   {winDir(path), filepath.Dir(path)},
			"clean": {winClean(path), filepath.Clean(path)},
			"join":  {winJoin(path, "UtilityVM"), filepath.Join(path, "UtilityVM")},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s of %q: %q, path/filepath has %q", name, path, pair[0], pair[1])
			}
		}
		if volume := filepath.VolumeName(path); !strings.EqualFold(winVolume(path), volume) {
			t.Errorf("volume of %q: %q, path/filepath has %q", path, winVolume(path), volume)
		}
		if winIsAbs(path) != filepath.IsAbs(path) {
			t.Errorf("%q is absolute: %v, path/filepath has %v", path, winIsAbs(path), filepath.IsAbs(path))
		}
	})
}
