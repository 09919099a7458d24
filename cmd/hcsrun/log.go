package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
)

// notice tells the user something, on one line of standard error.
func (a *app) notice(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	fmt.Fprintln(a.stderr, "hcsrun: "+strings.ReplaceAll(text, "\n", "; "))
}

// logger is for what the library has to say: with debug every step, without it
// only what the user should know.
func (a *app) logger(debug bool) *logrus.Entry {
	log := logrus.New()
	log.SetOutput(a.stderr)
	log.SetFormatter(lineFormatter{})
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
