package hcstest

import "strings"

// splitCommandLine splits a command line into arguments as CommandLineToArgvW
// does. In the first argument, a file name, quotes count but escapes do not. In
// the others, 2n backslashes before a quote stand for n backslashes, 2n+1 stand
// for n and a literal quote, and two quotes inside quotes stand for one.
func splitCommandLine(line string) []string {
	line = strings.TrimLeft(line, " \t")
	if line == "" {
		return nil
	}
	first, rest := cutProgram(line)
	args := []string{first}
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			return args
		}
		var arg string
		arg, rest = cutArgument(rest)
		args = append(args, arg)
	}
}

// cutProgram splits a command line after the name of the program.
func cutProgram(line string) (name, rest string) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		name, rest, _ = strings.Cut(quoted, `"`)
		return name, rest
	}
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], line[i:]
	}
	return line, ""
}

func cutArgument(line string) (arg, rest string) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(line); {
		slashes := len(line[i:]) - len(strings.TrimLeft(line[i:], `\`))
		i += slashes
		if i == len(line) || line[i] != '"' {
			b.WriteString(strings.Repeat(`\`, slashes))
			if i == len(line) {
				break
			}
			if !quoted && (line[i] == ' ' || line[i] == '\t') {
				return b.String(), line[i:]
			}
			b.WriteByte(line[i])
			i++
			continue
		}
		b.WriteString(strings.Repeat(`\`, slashes/2))
		i++
		switch {
		case slashes%2 == 1:
			b.WriteByte('"')
		case quoted && i < len(line) && line[i] == '"':
			b.WriteByte('"')
			i++
		default:
			quoted = !quoted
		}
	}
	return b.String(), ""
}

// imageName is the file name of a program as process lists show it.
func imageName(path string) string {
	if i := strings.LastIndexAny(path, `\/`); i >= 0 {
		path = path[i+1:]
	}
	if path != "" && !strings.Contains(path, ".") {
		path += ".exe"
	}
	return path
}

// imageKey is the key under which the Service has a program.
func imageKey(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".exe")
}
