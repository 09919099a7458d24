package hcstest

import (
	"slices"
	"strings"
)

// The simulated programs refuse what they cannot do. If a program went on with a
// wrong answer, a test could pass here and fail on Windows.

// notSimulated says on stderr that the program cannot do what it was asked, and
// returns the exit code of that failure.
func (p *Process) notSimulated(what string) (exitCode uint32) {
	printf(p.Stderr, "hcstest: %s: not simulated\n", what)
	return notSimulatedExit
}

// notSimulatedExit is above 1, because 1 has a meaning for several programs.
const notSimulatedExit = 2

// notSimulated makes the running command fail.
func (sh *shell) notSimulated(what string) { sh.fail(sh.p.notSimulated("cmd: " + what)) }

// The commands that cmd knows by itself and that are not simulated. Those of
// cmdBlocks include the rest of their line, operators too.
var (
	cmdBlocks   = []string{"(", "for", "if"}
	cmdCommands = []string{
		"assoc", "break", "cls", "color", "copy", "date", "del", "dir", "endlocal", "erase", "ftype", "goto",
		"md", "mkdir", "mklink", "move", "path", "pause", "popd", "prompt", "pushd", "rd", "ren", "rename",
		"rmdir", "setlocal", "shift", "start", "time", "type", "verify", "vol",
	}
	cmdVariables = []string{"CMDCMDLINE", "CMDEXTVERSION", "DATE", "HIGHESTNUMANODENUMBER", "RANDOM", "TIME"}
)

// unsimulatedBlock returns the word that makes a whole line impossible to run, ""
// if there is none.
func unsimulatedBlock(steps []step) string {
	for _, s := range steps {
		if strings.HasPrefix(s.text, "(") {
			return "("
		}
		name, _ := commandName(s.text)
		if name = strings.ToLower(name); slices.Contains(cmdBlocks, name) {
			return name
		}
	}
	return ""
}

// unsimulatedVariable returns the unsimulated use of a name between percent
// signs, "" for a plain name: a part of a value, a value with replacements, or a
// value that cmd computes.
func (sh *shell) unsimulatedVariable(name string) string {
	base, _, modified := strings.Cut(name, ":")
	if _, known := sh.variable(base); modified && known {
		return "%" + name + "%"
	}
	if slices.Contains(cmdVariables, strings.ToUpper(base)) {
		return "%" + name + "%"
	}
	return ""
}

// unsimulatedSet returns the option of set that is not simulated, "" if there is
// none.
func unsimulatedSet(rest string) string {
	if len(rest) < 2 || rest[0] != '/' {
		return ""
	}
	return "set " + strings.ToLower(rest[:2])
}

// unsimulatedOption returns the first option that is not simulated, "" if all
// are.
func unsimulatedOption(options []string, simulated ...string) string {
	for _, option := range options {
		if !slices.Contains(simulated, option) {
			return "/" + option
		}
	}
	return ""
}

// isRegularExpression reports whether findstr would read a pattern as more than
// text between the anchors ^ and $.
func isRegularExpression(pattern string) bool {
	body := strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$")
	return strings.ContainsAny(body, `.*[]\^$`)
}
