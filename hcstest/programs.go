package hcstest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaultPrograms are the programs that every Service has. As far as streams and
// exit code show it, they do what the real ones do. There is no file system. An
// option that they do not have is refused as not simulated.
func defaultPrograms() map[string]Program {
	return map[string]Program{
		"cmd":            runCmd,
		"find":           runFind,
		"findstr":        runFindstr,
		"hostname":       runHostname,
		"more":           runMore,
		"ping":           runPing,
		"powershell":     runPowershell,
		"pwsh":           runPowershell,
		"servicemonitor": runServiceMonitor,
		"sort":           runSort,
		"timeout":        runTimeout,
		"whoami":         runWhoami,
	}
}

// printf writes text with the line ends of Windows. It ignores a broken pipe:
// then nobody reads.
func printf(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\r\n"))
}

// pause waits for a time, forever if it is negative. It reports false if the
// process was ended in the meantime.
func (p *Process) pause(d time.Duration) bool {
	var over <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-p.Killed():
		return false
	}
}

// options returns the arguments that begin with / or -, in lower case and without
// that character, and then the other arguments.
func (p *Process) options() (options, operands []string) {
	if len(p.Args) == 0 {
		return nil, nil
	}
	for _, arg := range p.Args[1:] {
		if len(arg) > 1 && (arg[0] == '/' || arg[0] == '-') {
			options = append(options, strings.ToLower(arg[1:]))
		} else {
			operands = append(operands, arg)
		}
	}
	return options, operands
}

func runHostname(p *Process) uint32 {
	printf(p.Stdout, "%s\n", p.Hostname())
	return 0
}

func runWhoami(p *Process) uint32 {
	if len(p.Args) > 1 {
		return p.notSimulated("whoami " + p.Args[1])
	}
	printf(p.Stdout, "user manager\\%s\n", strings.ToLower(p.Getenv("USERNAME")))
	return 0
}

func runMore(p *Process) uint32 {
	if len(p.Args) > 1 {
		return p.notSimulated("more " + p.Args[1])
	}
	_, _ = io.Copy(p.Stdout, p.Stdin)
	return 0
}

func runSort(p *Process) uint32 {
	if len(p.Args) > 1 {
		return p.notSimulated("sort " + p.Args[1])
	}
	text, _ := io.ReadAll(p.Stdin)
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	slices.SortStableFunc(lines, func(a, b string) int {
		return strings.Compare(strings.ToLower(a), strings.ToLower(b))
	})
	printf(p.Stdout, "%s\n", strings.Join(lines, "\n"))
	return 0
}

// runFind prints the lines that contain a string. /v prints the other lines, /i
// ignores case, /c prints the number of lines.
func runFind(p *Process) uint32 {
	options, operands := p.options()
	if len(operands) == 0 {
		printf(p.Stderr, "FIND: Parameter format not correct\n")
		return 2
	}
	if what := unsimulatedOption(options, "c", "i", "v"); what != "" {
		return p.notSimulated("find " + what)
	}
	if len(operands) > 1 {
		return p.notSimulated("find in a file")
	}
	return filter(p, search{
		patterns: operands,
		fold:     slices.Contains(options, "i"),
		invert:   slices.Contains(options, "v"),
		count:    slices.Contains(options, "c"),
	})
}

// runFindstr prints the lines that contain one of several strings, which are
// separated by blanks and may be anchored by ^ and $. /v prints the other lines,
// /i ignores case, /l takes anchors for text, and /c:STRING takes one string with
// blanks. No other regular expression is simulated.
func runFindstr(p *Process) uint32 {
	options, operands := p.options()
	literal, hasLiteral := literalOption(p.Args, "c:")
	options = slices.DeleteFunc(options, func(option string) bool { return strings.HasPrefix(option, "c:") })
	if !hasLiteral && len(operands) == 0 {
		printf(p.Stderr, "FINDSTR: Bad command line\n")
		return 2
	}
	if what := unsimulatedOption(options, "i", "l", "r", "v"); what != "" {
		return p.notSimulated("findstr " + what)
	}
	patterns := []string{literal}
	if !hasLiteral {
		patterns, operands = strings.Fields(operands[0]), operands[1:]
	}
	if len(operands) > 0 {
		return p.notSimulated("findstr in a file")
	}
	// Without /R, the string of /C: is text. Without /L, every other string is a
	// regular expression.
	anchors := !slices.Contains(options, "l") && (!hasLiteral || slices.Contains(options, "r"))
	if anchors && slices.ContainsFunc(patterns, isRegularExpression) {
		return p.notSimulated("findstr " + strings.Join(patterns, " "))
	}
	return filter(p, search{
		patterns: patterns,
		anchors:  anchors,
		fold:     slices.Contains(options, "i"),
		invert:   slices.Contains(options, "v"),
	})
}

// literalOption finds the value of an option as it was written.
func literalOption(args []string, name string) (value string, ok bool) {
	for _, arg := range args {
		if len(arg) > len(name) && (arg[0] == '/' || arg[0] == '-') && strings.EqualFold(arg[1:1+len(name)], name) {
			return arg[1+len(name):], true
		}
	}
	return "", false
}

// search is the search of find and findstr.
type search struct {
	patterns []string
	anchors  bool // ^ and $ match the ends of a line
	fold     bool // ignore case
	invert   bool // print the lines that do not match
	count    bool // print the number of lines only
}

func filter(p *Process, s search) (exitCode uint32) {
	found := 0
	lines := bufio.NewScanner(p.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if s.matches(line) == s.invert {
			continue
		}
		found++
		if !s.count {
			printf(p.Stdout, "%s\n", line)
		}
	}
	if s.count {
		printf(p.Stdout, "%d\n", found)
	}
	if found == 0 {
		return 1
	}
	return 0
}

func (s search) matches(line string) bool {
	if s.fold {
		line = strings.ToLower(line)
	}
	return slices.ContainsFunc(s.patterns, func(pattern string) bool {
		if s.fold {
			pattern = strings.ToLower(pattern)
		}
		if !s.anchors {
			return strings.Contains(line, pattern)
		}
		body, atStart := strings.CutPrefix(pattern, "^")
		body, atEnd := strings.CutSuffix(body, "$")
		switch {
		case atStart && atEnd:
			return line == body
		case atStart:
			return strings.HasPrefix(line, body)
		case atEnd:
			return strings.HasSuffix(line, body)
		}
		return strings.Contains(line, body)
	})
}

// runPing prints an answer every second: -n times, by default 4, or, with -t,
// until it is ended.
func runPing(p *Process) uint32 {
	count, host := 4, ""
	for i := 1; i < len(p.Args); i++ {
		switch arg := p.Args[i]; strings.ToLower(arg) {
		case "-t", "/t":
			count = -1
		case "-n", "/n":
			i++
			if i == len(p.Args) {
				break
			}
			n, err := strconv.Atoi(p.Args[i])
			if err != nil || n < 1 {
				printf(p.Stdout, "Bad value for option %s.\n", arg)
				return 1
			}
			count = n
		case "-4", "-6":
		default:
			host = arg
		}
	}
	address, ok := resolve(host)
	if !ok {
		printf(p.Stdout, "Ping request could not find host %s. Please check the name and try again.\n", host)
		return 1
	}
	printf(p.Stdout, "\nPinging %s [%s] with 32 bytes of data:\n", host, address)
	for sent := 1; ; sent++ {
		printf(p.Stdout, "Reply from %s: time<1ms\n", address)
		if sent == count {
			printf(p.Stdout, "\nPing statistics for %s:\n    Packets: Sent = %d, Received = %[2]d, Lost = 0 (0%% loss),\n", address, count)
			return 0
		}
		if !p.pause(time.Second) {
			return killedExit
		}
	}
}

// resolve returns the address of a name that needs no network.
func resolve(host string) (address string, ok bool) {
	if strings.EqualFold(host, "localhost") {
		return "::1", true
	}
	ip, err := netip.ParseAddr(host)
	return ip.String(), err == nil
}

// runTimeout waits for /t SECONDS; -1 waits until it is ended. Unlike the real
// one it accepts a redirected input.
func runTimeout(p *Process) uint32 {
	for _, arg := range p.Args {
		seconds, err := strconv.Atoi(arg)
		if err != nil {
			continue
		}
		printf(p.Stdout, "\nWaiting for %d seconds, press a key to continue ...\n", seconds)
		if !p.pause(time.Duration(seconds) * time.Second) {
			return killedExit
		}
		return 0
	}
	printf(p.Stderr, "ERROR: Invalid syntax. Timeout value is required.\n")
	return 1
}

// runServiceMonitor pretends to start a service, and waits until it is ended.
func runServiceMonitor(p *Process) uint32 {
	if len(p.Args) < 2 {
		printf(p.Stderr, "USAGE: ServiceMonitor.exe [service name]\n")
		return 1
	}
	printf(p.Stdout, "\nService '%s' started\n", p.Args[1])
	p.pause(-1)
	return killedExit
}

// runPowershell does not run anything. It prints what it would run: a command, a
// script, or, without either, its input. "exit N" ends it with N.
func runPowershell(p *Process) uint32 {
	var rest []string
	for i := 1; i < len(p.Args) && rest == nil; i++ {
		switch arg := strings.ToLower(p.Args[i]); {
		case arg == "-command" || arg == "-c" || arg == "-file" || arg == "-f":
			rest = append([]string{}, p.Args[i+1:]...)
		case arg == "-executionpolicy" || arg == "-ep" || arg == "-version":
			i++
		case !strings.HasPrefix(arg, "-"):
			rest = p.Args[i:]
		}
	}
	command := strings.Join(rest, " ")
	if command == "" {
		text, _ := io.ReadAll(p.Stdin)
		command = string(bytes.TrimSpace(text))
	}
	if n, ok := strings.CutPrefix(strings.TrimSpace(command), "exit "); ok {
		if code, ok := exitNumber(n); ok {
			return code
		}
	}
	printf(p.Stdout, "hcstest: PowerShell is simulated and would run: %s\n", command)
	return 0
}

// exitNumber reads an exit code, which may be negative, or hexadecimal.
func exitNumber(text string) (code uint32, ok bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 0, 64)
	return uint32(n), err == nil
}
