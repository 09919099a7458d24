package hcstest

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// runCmd does what cmd.exe does without a file system: the operators &, &&, ||
// and |, redirection to NUL and between streams, quotes and ^, %VARIABLES%, and
// the commands of builtin. Whatever else cmd has is refused as not simulated.
// Every other command is a program of the Service.
func runCmd(p *Process) uint32 {
	line, once, stay := cmdSwitches(p)
	sh := &shell{p: p}
	if once || stay {
		sh.run(line)
	}
	if !once {
		sh.interact(!stay)
	}
	if sh.level == notRecognized {
		return 1
	}
	return sh.level
}

// The limits of cmd: how long a line may become, and how deep commands may
// nest (the real limit is that of the stack).
const (
	maxLine  = 8191
	maxDepth = 32
)

// notRecognized is the ERRORLEVEL that cmd sets when it does not find a program.
const notRecognized = 9009

// shell is a running cmd.exe.
type shell struct {
	p      *Process
	level  uint32 // ERRORLEVEL
	failed bool   // whether the last command failed, for && and ||
	ended  bool   // exit was called
}

// cmdSwitches finds the command of a command line: after /C it is run once,
// after /K the shell stays.
func cmdSwitches(p *Process) (command string, once, stay bool) {
	_, rest := cutProgram(strings.TrimLeft(p.CommandLine, " \t"))
	strip := false
	for {
		rest = strings.TrimLeft(rest, " \t")
		if len(rest) < 2 || rest[0] != '/' {
			return "", false, false
		}
		letter := rest[1] | 0x20 // lower case
		switch letter {
		case 'c', 'r', 'k':
			return commandText(p, rest[2:], strip), letter != 'k', letter == 'k'
		case 's':
			strip = true
		}
		next := strings.IndexAny(rest[1:], " \t/")
		if next < 0 {
			return "", false, false
		}
		rest = rest[1+next:]
	}
}

// commandText removes the outer quotes of a command, by the rules that "cmd /?"
// gives. With /S it always does. Without /S it keeps them if there are exactly
// two quotes, around the name of a program that has blanks.
func commandText(p *Process, text string, strip bool) string {
	text = strings.TrimLeft(text, " \t")
	body, quoted := strings.CutPrefix(text, `"`)
	if !quoted {
		return text
	}
	last := strings.LastIndexByte(body, '"')
	if last < 0 {
		return body
	}
	if !strip && strings.Count(text, `"`) == 2 && !strings.ContainsAny(body, "&<>()@^|") &&
		strings.Contains(body[:last], " ") && p.knows(body[:last]) {
		return text
	}
	return body[:last] + body[last+1:]
}

func (p *Process) knows(path string) bool {
	_, ok := p.process.sys.svc.programs[imageKey(imageName(path))]
	return ok
}

// interact reads lines, shows each and runs it, as cmd does when its input is a
// pipe.
func (sh *shell) interact(banner bool) {
	p := sh.p
	input := bufio.NewReader(p.Stdin)
	p.Stdin = input
	if banner {
		printf(p.Stdout, "%s\n(c) Microsoft Corporation. All rights reserved.\n\n", sh.version())
	}
	lines := lineReader{r: input}
	for !sh.ended && !p.killed() {
		printf(p.Stdout, "%s>", sh.cwd())
		line, err := lines.next()
		if err != nil && line == "" {
			return
		}
		printf(p.Stdout, "%s\n", line)
		sh.run(line)
		if !sh.ended {
			printf(p.Stdout, "\n")
		}
	}
}

func (sh *shell) cwd() string {
	if sh.p.Cwd == "" {
		return `C:\`
	}
	return sh.p.Cwd
}

// lineReader reads lines that end with \n, with \r\n, or with \r, as a terminal
// sends them.
type lineReader struct {
	r       *bufio.Reader
	skipEnd bool // the last line ended with \r: a \n that follows belongs to it
}

func (l *lineReader) next() (string, error) {
	var line []byte
	for {
		b, err := l.r.ReadByte()
		if err != nil {
			return string(line), err
		}
		skip := l.skipEnd
		l.skipEnd = b == '\r'
		switch {
		case b == '\n' && skip:
		case b == '\n' || b == '\r':
			return string(line), nil
		default:
			line = append(line, b)
		}
	}
}

// run carries out one line.
func (sh *shell) run(line string) {
	line, ok := sh.expand(line)
	if !ok {
		return
	}
	if len(line) > maxLine {
		printf(sh.p.Stderr, "The input line is too long.\n")
		sh.fail(1)
		return
	}
	steps := parseLine(line)
	if what := unsimulatedBlock(steps); what != "" {
		sh.notSimulated(what)
		return
	}
	for i := 0; i < len(steps); {
		end := i + 1
		for end < len(steps) && steps[end].op == "|" {
			end++
		}
		pipeline := steps[i:end]
		i = end
		switch op := pipeline[0].op; {
		case op == "&&" && sh.failed, op == "||" && !sh.failed:
			continue
		}
		sh.pipeline(pipeline)
		if sh.ended || sh.p.killed() {
			return
		}
	}
}

// expand replaces %NAME% by its value; an unknown one stays, as on a command
// line. It reports false if it failed.
func (sh *shell) expand(line string) (expanded string, ok bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(line, "%")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		name, after, closed := strings.Cut(rest, "%")
		if value, known := sh.variable(name); closed && known {
			b.WriteString(value)
			line = after
			continue
		}
		if what := sh.unsimulatedVariable(name); closed && what != "" {
			sh.notSimulated(what)
			return "", false
		}
		b.WriteByte('%')
		line = rest
	}
}

func (sh *shell) variable(name string) (value string, ok bool) {
	upper := strings.ToUpper(name)
	if v, ok := sh.p.environment()[upper]; ok {
		return v.value, true
	}
	switch upper {
	case "CD":
		return sh.cwd(), true
	case "ERRORLEVEL":
		return fmt.Sprint(int32(sh.level)), true
	}
	return "", false
}

// step is one command of a line.
type step struct {
	op        string // the operator before it: "", "&", "&&", "||" or "|"
	text      string
	redirects []redirect
}

// redirect sends a stream elsewhere.
type redirect struct {
	from   byte   // '0', '1' or '2'
	target string // a file, or "&1", "&2"
}

// parseLine splits a line at its operators, takes out redirections, and removes
// ^ where it escapes.
func parseLine(line string) []step {
	var steps []step
	var text strings.Builder
	current := step{}
	finish := func(op string) {
		current.text = strings.TrimLeft(text.String(), " \t@")
		if strings.TrimSpace(current.text) != "" {
			steps = append(steps, current)
		}
		text.Reset()
		current = step{op: op}
	}
	quoted := false
	for i := 0; i < len(line); i++ {
		ch := line[i]
		switch {
		case ch == '"':
			quoted = !quoted
			text.WriteByte(ch)
		case quoted:
			text.WriteByte(ch)
		case ch == '^':
			i++
			if i < len(line) {
				text.WriteByte(line[i])
			}
		case ch == '&' || ch == '|':
			op := string(ch)
			if i+1 < len(line) && line[i+1] == ch {
				op += op
				i++
			}
			finish(op)
		case ch == '>' || ch == '<':
			r, length := parseRedirect(line[i:])
			written := text.String()
			if from, ok := streamNumber(written); ok {
				r.from = from
				text.Reset()
				text.WriteString(written[:len(written)-1])
			}
			current.redirects = append(current.redirects, r)
			i += length - 1
		default:
			text.WriteByte(ch)
		}
	}
	finish("")
	return steps
}

// parseRedirect reads a redirection and returns its length.
func parseRedirect(line string) (r redirect, length int) {
	r.from = '1'
	if line[0] == '<' {
		r.from = '0'
	}
	rest := line[1:]
	rest = strings.TrimPrefix(rest, ">")
	if strings.HasPrefix(rest, "&") && len(rest) > 1 {
		r.target = rest[:2]
		return r, len(line) - len(rest) + 2
	}
	rest = strings.TrimLeft(rest, " \t")
	end := strings.IndexAny(rest, " \t&|<>")
	if end < 0 {
		end = len(rest)
	}
	r.target = strings.Trim(rest[:end], `"`)
	return r, len(line) - len(rest) + end
}

// streamNumber reports whether the text before a redirection ends with the number
// of a stream.
func streamNumber(text string) (from byte, ok bool) {
	n := len(text)
	if n == 0 || text[n-1] < '0' || text[n-1] > '2' {
		return 0, false
	}
	return text[n-1], n == 1 || text[n-2] == ' ' || text[n-2] == '\t'
}

// pipeline runs commands at the same time. The output of each is the input of the
// next.
func (sh *shell) pipeline(steps []step) {
	if len(steps) == 1 {
		sh.step(steps[0])
		return
	}
	reader, writer := io.Pipe()
	left := &shell{p: sh.p.child(""), level: sh.level}
	left.p.Stdout = writer
	done := make(chan struct{})
	go func() {
		defer close(done)
		left.step(steps[0])
		_ = writer.Close()
	}()
	right := &shell{p: sh.p.child(""), level: sh.level}
	right.p.Stdin = reader
	right.pipeline(steps[1:])
	_ = reader.Close()
	<-done
	sh.level, sh.failed = right.level, right.failed
}

// child is a new process. It begins with the same streams.
func (p *Process) child(commandLine string) *Process {
	child := *p
	child.depth++
	child.env = maps.Clone(p.environment())
	child.CommandLine = commandLine
	child.Args = splitCommandLine(commandLine)
	return &child
}

// step runs one command.
func (sh *shell) step(s step) {
	saved := *sh.p
	defer func() { sh.p.Stdin, sh.p.Stdout, sh.p.Stderr = saved.Stdin, saved.Stdout, saved.Stderr }()
	for _, r := range s.redirects {
		if !sh.redirect(r) {
			sh.p.Stderr = saved.Stderr
			sh.notSimulated("redirection to a file")
			return
		}
	}
	sh.failed = false
	name, rest := commandName(s.text)
	if !sh.builtin(name, rest) {
		sh.program(s.text)
	}
}

// redirect reports whether it succeeded: NUL is the only file.
func (sh *shell) redirect(r redirect) bool {
	p := sh.p
	var output io.Writer
	switch {
	case strings.EqualFold(r.target, "nul"):
		output = io.Discard
	case r.target == "&1":
		output = p.Stdout
	case r.target == "&2":
		output = p.Stderr
	default:
		return false
	}
	switch r.from {
	case '0':
		p.Stdin = strings.NewReader("")
	case '1':
		p.Stdout = output
	case '2':
		p.Stderr = output
	}
	return true
}

// commandName splits a command after the name of a built-in command. The
// character that ends the name stays with the rest.
func commandName(text string) (name, rest string) {
	if i := strings.IndexAny(text, " \t./,;:=+([\\\""); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// program runs a program of the Service.
func (sh *shell) program(text string) {
	child := sh.p.child(text)
	if len(child.Args) == 0 || sh.tooDeep() {
		return
	}
	name := child.Args[0]
	program := sh.p.process.sys.svc.programs[imageKey(imageName(name))]
	if program == nil {
		printf(sh.p.Stderr, "'%s' is not recognized as an internal or external command,\noperable program or batch file.\n", name)
		sh.fail(notRecognized)
		return
	}
	sh.level = program(child)
	sh.failed = sh.level != 0
}

func (sh *shell) fail(level uint32) { sh.level, sh.failed = level, true }

// builtin carries out a built-in command of cmd, if name is one. rest is the text
// after the name.
func (sh *shell) builtin(name, rest string) bool {
	name = strings.ToLower(name)
	switch name {
	case "call":
		sh.call(rest)
	case "cd", "chdir":
		sh.cd(rest)
	case "echo":
		sh.echo(rest)
	case "exit":
		sh.exit(rest)
	case "set":
		sh.set(rest)
	case "ver":
		printf(sh.p.Stdout, "\n%s\n", sh.version())
	case "rem", "title":
	default:
		if !slices.Contains(cmdCommands, name) {
			return false
		}
		sh.notSimulated(name)
	}
	return true
}

// call expands the variables of its line a second time, then runs it.
func (sh *shell) call(line string) {
	if sh.tooDeep() {
		return
	}
	sh.p.depth++
	sh.run(line)
	sh.p.depth--
}

func (sh *shell) tooDeep() bool {
	if sh.p.depth < maxDepth {
		return false
	}
	printf(sh.p.Stderr, "hcstest: commands nest too deep\n")
	sh.fail(1)
	return true
}

func (sh *shell) version() string {
	return fmt.Sprintf("Microsoft Windows [Version 10.0.%d]", sh.p.process.sys.svc.host.Build)
}

func (sh *shell) echo(rest string) {
	switch strings.ToLower(strings.TrimSpace(rest)) {
	case "":
		printf(sh.p.Stdout, "ECHO is on.\n")
	case "on", "off":
	default:
		if rest[0] != '"' {
			rest = rest[1:] // the separator: "echo.", "echo text"
		}
		printf(sh.p.Stdout, "%s\n", rest)
	}
}

func (sh *shell) exit(rest string) {
	for field := range strings.FieldsSeq(rest) {
		if code, ok := exitNumber(field); ok {
			sh.level = code
		}
	}
	sh.ended = true
}

func (sh *shell) cd(rest string) {
	dir := strings.Trim(strings.TrimSpace(rest), `"`)
	if len(dir) >= 2 && strings.EqualFold(dir[:2], "/d") {
		dir = strings.TrimSpace(dir[2:])
	}
	switch {
	case dir == "":
		printf(sh.p.Stdout, "%s\n", sh.cwd())
	case isAbsolute(dir):
		sh.p.Cwd = dir
	default:
		sh.p.Cwd = strings.TrimRight(sh.cwd(), `\`) + `\` + dir
	}
}

// set shows variables, or changes one.
func (sh *shell) set(rest string) {
	rest = strings.TrimLeft(rest, " \t")
	if what := unsimulatedSet(rest); what != "" {
		sh.notSimulated(what)
		return
	}
	if body, ok := strings.CutPrefix(rest, `"`); ok {
		rest, _, _ = strings.Cut(body, `"`)
	}
	env := sh.p.environment()
	name, value, assigns := strings.Cut(rest, "=")
	switch {
	case assigns && value == "":
		delete(env, strings.ToUpper(name))
	case assigns:
		env.set(name, value)
	default:
		sh.show(strings.ToUpper(strings.TrimSpace(name)))
	}
}

func (sh *shell) show(prefix string) {
	matching := slices.DeleteFunc(sh.p.Environ(), func(entry string) bool {
		return !strings.HasPrefix(strings.ToUpper(entry), prefix)
	})
	if len(matching) == 0 {
		printf(sh.p.Stderr, "Environment variable %s not defined\n", prefix)
		sh.fail(1)
		return
	}
	for _, entry := range matching {
		printf(sh.p.Stdout, "%s\n", entry)
	}
}
