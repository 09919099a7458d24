package libcontainerd

import (
	"strings"
	"testing"
)

func TestWindowsPaths(t *testing.T) {
	tests := []struct{ path, base, dir, join string }{ // join: with "x"
		{``, `.`, `.`, `x`},
		{`.`, `.`, `.`, `x`},
		{`a`, `a`, `.`, `a\x`},
		{`a\b`, `b`, `a`, `a\b\x`},
		{`a/b/`, `b`, `a\b`, `a\b\x`},
		{`\`, `\`, `\`, `\x`},
		{`\a`, `a`, `\`, `\a\x`},
		{`..\a\..\..\b`, `b`, `..\..`, `..\..\b\x`},
		{`\..\a`, `a`, `\`, `\a\x`},
		{`C:`, `\`, `C:.`, `C:x`},
		{`C:a`, `a`, `C:.`, `C:a\x`},
		{`C:\`, `\`, `C:\`, `C:\x`},
		{`C:/layers//1/`, `1`, `C:\layers\1`, `C:\layers\1\x`},
		{`C:\layers\1`, `1`, `C:\layers`, `C:\layers\1\x`},
		{`C:\layers\.\1\\`, `1`, `C:\layers\1`, `C:\layers\1\x`},
		{`\\host\share`, `\`, `\\host\share`, `\\host\share\x`},
		{`\\host\share\`, `\`, `\\host\share\`, `\\host\share\x`},
		{`//host/share/a`, `a`, `\\host\share\`, `\\host\share\a\x`},
		{`\\?\Volume{g}`, `\`, `\\?\Volume{g}`, `\\?\Volume{g}\x`},
		{`\\?\Volume{g}\`, `\`, `\\?\Volume{g}\`, `\\?\Volume{g}\x`},
		{`\\?\Volume{g}\a\b`, `b`, `\\?\Volume{g}\a`, `\\?\Volume{g}\a\b\x`},
		{`\\?\C:\a`, `a`, `\\?\C:\`, `\\?\C:\a\x`},
		{`\\.\UNC\host\share\a`, `a`, `\\.\UNC\host\share\`, `\\.\UNC\host\share\a\x`},
		{`\??\C:\a`, `a`, `\??\C:\`, `\??\C:\a\x`},
		{`a\..\C:\b`, `b`, `.\C:`, `.\C:\b\x`}, // no drive
	}
	for _, tt := range tests {
		if got := winBase(tt.path); got != tt.base {
			t.Errorf("base of %s: got %s, want %s", tt.path, got, tt.base)
		}
		if got := winDir(tt.path); got != tt.dir {
			t.Errorf("dir of %s: got %s, want %s", tt.path, got, tt.dir)
		}
		if got := winJoin(tt.path, "x"); got != tt.join {
			t.Errorf("x joined to %s: got %s, want %s", tt.path, got, tt.join)
		}
	}
}

func TestAbsoluteWindowsPaths(t *testing.T) {
	for path, want := range map[string]bool{
		``: false, `a`: false, `\a`: false, `C:`: false, `C:a`: false, `C:\`: true, `c:/a`: true,
		`\\host\share`: true, `\\?\Volume{g}`: true, `\\.\pipe\a`: true, `\??\C:`: false, `\??\C:\a`: true,
	} {
		if got := winIsAbs(path); got != want {
			t.Errorf("%s: got %t", path, got)
		}
	}
}

func FuzzWindowsPath(f *testing.F) {
	for _, path := range []string{``, `C:\a\..\b/`, `\\host\share\..`, `\\?\Volume{g}\a`, `a\..\c:\b`, `\a\..\??\c:\x`, `//./unc`, "C:\xff"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		base := winBase(path)
		if base == "" || strings.ContainsAny(base[1:], `\/`) {
			t.Errorf("base %q", base)
		}
		for _, clean := range []string{winClean(path), winDir(path), winJoin(path, "x")} {
			if clean == "" || strings.Contains(winVolume(clean), "/") {
				t.Errorf("%q", clean)
			}
		}
		// As on Windows, x may become the device of a bare \??, which is cleaned to x. then.
		if joined := winJoin(path, "x"); path != "" && winBase(joined) != "x" && !strings.HasSuffix(strings.TrimSuffix(joined, "."), "x") {
			t.Errorf("%q joined to x is %q", path, joined)
		}
		if volume := winVolume(path); volume != "" && (len(volume) == len(path) || strings.HasPrefix(volume, `\??`)) {
			return // a "." after a bare volume may become a part of its name
		}
		if once := winClean(path); winClean(once) != once {
			t.Errorf("cleaned twice %q differs from %q", winClean(once), once)
		}
	})
}
