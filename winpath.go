package libcontainerd

import "strings"

// The functions of this file treat paths as path/filepath does on Windows, on
// every OS: an engine's specs are translated, and tested, on others too.

func isWinSeparator(c byte) bool { return c == '\\' || c == '/' }

// winBase returns the last element of path, without trailing separators and
// without the volume; `\` if nothing else is left, "." if path is empty.
func winBase(path string) string {
	if path == "" {
		return "."
	}
	path = trimWinSeparators(path)
	path = path[winVolumeLen(path):]
	path = path[lastWinSeparator(path)+1:]
	if path == "" {
		return `\`
	}
	return path
}

// winDir returns the folder that path lies in, cleaned.
func winDir(path string) string {
	volume := winVolume(path)
	rest := path[len(volume):]
	dir := winClean(rest[:lastWinSeparator(rest)+1])
	if dir == "." && len(volume) > len("C:") {
		return volume // a share or device, which is a folder by itself
	}
	return volume + dir
}

// winJoin returns the path of name, one plain element, in the folder dir.
func winJoin(dir, name string) string {
	switch {
	case dir == "":
		return winClean(name)
	case dir[len(dir)-1] == ':', isWinSeparator(dir[len(dir)-1]):
		return winClean(dir + name) // `C:` + `x` stays relative to the drive's current folder
	}
	return winClean(dir + `\` + name)
}

// winIsAbs reports whether path starts at the root of a volume.
func winIsAbs(path string) bool {
	volume := winVolume(path)
	if volume == "" {
		return false
	}
	rest := path[len(volume):]
	return strings.HasPrefix(volume, `\\`) || rest != "" && isWinSeparator(rest[0])
}

func trimWinSeparators(path string) string {
	end := len(path)
	for end > 0 && isWinSeparator(path[end-1]) {
		end--
	}
	return path[:end]
}

func lastWinSeparator(path string) int {
	i := len(path) - 1
	for i >= 0 && !isWinSeparator(path[i]) {
		i--
	}
	return i
}

// winClean returns the shortest path equal to path, by its text alone, with
// `\` for every separator. What had no volume has none afterwards: a "." stands
// before a first element that would otherwise read as one (`a\..\c:`).
func winClean(path string) string {
	volume := winVolume(path)
	rest := path[len(volume):]
	switch {
	case rest == "" && strings.HasPrefix(volume, `\\`):
		return volume // a share
	case rest == "":
		return path + "."
	}
	root := ""
	if isWinSeparator(rest[0]) {
		root = `\`
	}
	clean := root + strings.Join(cleanElements(rest, root != ""), `\`)
	if clean == "" {
		clean = "."
	}
	if volume == "" && winVolumeLen(clean) > 0 {
		return root + `.\` + clean[len(root):]
	}
	return volume + clean
}

// cleanElements splits path, which has no volume, and resolves its "." and "..".
func cleanElements(path string, rooted bool) []string {
	elements := make([]string, 0, 8)
	for element := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '\\' || r == '/' }) {
		last := len(elements) - 1
		switch {
		case element == ".":
		case element != "..":
			elements = append(elements, element)
		case last >= 0 && elements[last] != "..":
			elements = elements[:last]
		case !rooted:
			elements = append(elements, element)
		}
	}
	return elements
}

func fromSlash(path string) string { return strings.ReplaceAll(path, "/", `\`) }

// winVolume returns what path begins with, of: a drive (C:), a share
// (\\host\share), a device (\\.\x, \\?\x, \??\x), a share by way of the device
// name space (\\.\UNC\host\share). Its separators are all `\`.
func winVolume(path string) string {
	return fromSlash(path[:winVolumeLen(path)])
}

func winVolumeLen(path string) int {
	switch {
	case len(path) >= 2 && path[1] == ':':
		return len("C:")
	case path == "" || !isWinSeparator(path[0]):
		return 0
	case hasPathPrefix(path, `\\.\UNC`):
		return separatorIndex(path, len(`\\.\UNC\`), 2)
	case hasPathPrefix(path, `\\.`), hasPathPrefix(path, `\\?`), hasPathPrefix(path, `\??`):
		return separatorIndex(path, len(`\\.\`), 1)
	case len(path) >= 2 && isWinSeparator(path[1]):
		return separatorIndex(path, len(`\\`), 2)
	}
	return 0
}

// hasPathPrefix reports whether path begins with the elements of prefix,
// regardless of case and of the kind of separators.
func hasPathPrefix(path, prefix string) bool {
	if len(path) < len(prefix) || !strings.EqualFold(fromSlash(path[:len(prefix)]), prefix) {
		return false
	}
	return len(path) == len(prefix) || isWinSeparator(path[len(prefix)])
}

// separatorIndex returns the index of the n-th separator at or after from, the
// length of path if it has fewer.
func separatorIndex(path string, from, n int) int {
	for i := from; i < len(path); i++ {
		if isWinSeparator(path[i]) {
			n--
			if n == 0 {
				return i
			}
		}
	}
	return len(path)
}

// What follows are the paths that mean something to HCS: volumes, layers, pipes.

const volumePrefix = `\\?\Volume{`

// isVolumePath reports whether path is \\?\Volume{…}. Windows judges what the
// braces hold.
func isVolumePath(path string) bool {
	return len(path) > len(volumePrefix) && hasVolumePrefix(path) && path[len(path)-1] == '}'
}

// volumePath returns path, if it is a volume, without the backslash at its end,
// which HCS does not accept.
func volumePath(path string) string {
	if !hasVolumePrefix(path) {
		return path
	}
	return strings.TrimRight(path, `\`)
}

func hasVolumePrefix(path string) bool {
	return len(path) >= len(volumePrefix) && strings.EqualFold(path[:len(volumePrefix)], volumePrefix)
}

// layerName returns the last element of a layer's path, "" if it has none.
func layerName(path string) string {
	switch name := winBase(path); name {
	case ".", `\`:
		return ""
	default:
		return name
	}
}

const pipePrefix = `\\.\pipe\`

// pipeName returns NAME of a path \\.\pipe\NAME.
func pipeName(path string) (name string, ok bool) {
	if len(path) <= len(pipePrefix) || !strings.EqualFold(fromSlash(path[:len(pipePrefix)]), pipePrefix) {
		return "", false
	}
	return path[len(pipePrefix):], true
}

// pipePath returns the path of a pipe with the backslashes that HCS expects:
// path may begin with //./pipe/. A slash in the pipe's name is part of the name.
func pipePath(path string) string {
	return fromSlash(path[:len(pipePrefix)]) + path[len(pipePrefix):]
}

const guidLen = len("00000000-0000-0000-0000-000000000000")

// isGUID reports whether s is a GUID, without braces.
func isGUID(s string) bool {
	if len(s) != guidLen {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)):
			return false
		}
	}
	return true
}
