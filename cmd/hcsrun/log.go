package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/sirupsen/logrus"
)

// notice tells the user something, on one line of standard error.
func (a *app) notice(format string, args ...any) { a.tell("notice", bold, format, args...) }

// warn tells the user what may surprise later.
func (a *app) warn(format string, args ...any) { a.tell("warning", yellow, format, args...) }

func (a *app) tell(level string, c colour, format string, args ...any) {
	text := oneLine(fmt.Sprintf(format, args...))
	switch {
	case a.json:
		a.tellJSON(map[string]any{level: text})
	case level == "warning":
		fmt.Fprintf(a.stderr, "%s %s: %s\n", a.stderr.paint(c, "hcsrun:"), level, text)
	default:
		fmt.Fprintf(a.stderr, "%s %s\n", a.stderr.paint(c, "hcsrun:"), text)
	}
}

// fail prints the problems, each on a line.
func (a *app) fail(err error) {
	for _, problem := range problems(err) {
		if a.json {
			a.tellJSON(map[string]any{"error": errorFields(problem)})
			continue
		}
		fmt.Fprintf(a.stderr, "%s %s\n", a.stderr.paint(red, "hcsrun:"), oneLine(problem.Error()))
	}
}

// tellJSON prints one line on standard error.
func (a *app) tellJSON(v any) { _ = json.NewEncoder(a.stderr).Encode(v) }

func oneLine(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
}

// problems splits an error that joins several.
func problems(err error) []error {
	if e, ok := err.(*libcontainerd.Error); ok { //nolint:errorlint // it is taken apart, not looked for
		var list []error
		for _, cause := range problems(e.Err) {
			part := *e
			part.Err = cause
			list = append(list, &part)
		}
		if len(list) > 1 {
			return list
		}
		return []error{err}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || oneLine(err.Error()) != oneLine(errors.Join(joined.Unwrap()...).Error()) {
		return []error{err}
	}
	var list []error
	for _, part := range joined.Unwrap() {
		list = append(list, problems(part)...)
	}
	return list
}

// errorFields returns the fields of an error for --json.
func errorFields(err error) any {
	fields := map[string]any{}
	if e, ok := errors.AsType[*libcontainerd.Error](err); ok {
		if text, err := json.Marshal(e); err == nil {
			_ = json.Unmarshal(text, &fields)
		}
	}
	fields["message"] = oneLine(err.Error()) // the whole text, not only that of the *Error
	return fields
}

// logger gets the log of the library: with debug every step, without it only what
// the user should know.
func (a *app) logger(debug bool) *logrus.Entry {
	log := logrus.New()
	log.SetOutput(a.stderr)
	log.SetFormatter(lineFormatter{})
	if a.json {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	log.SetLevel(logrus.WarnLevel)
	if debug {
		log.SetLevel(logrus.DebugLevel)
	}
	return logrus.NewEntry(log)
}

// lineFormatter makes entries of a log look like the notices of hcsrun.
type lineFormatter struct{}

func (lineFormatter) Format(entry *logrus.Entry) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "hcsrun: %s: %s", entry.Level, entry.Message)
	for _, name := range slices.Sorted(maps.Keys(entry.Data)) {
		fmt.Fprintf(&b, " %s=%q", name, fmt.Sprint(entry.Data[name]))
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
