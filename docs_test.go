package libcontainerd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// guides are the texts that people read: those beside the code, and docs.
func guides(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(file)] = strings.ReplaceAll(string(text), "\r\n", "\n")
		}
	}
	return texts
}

var testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")

func TestGuidesNameTestsThatExist(t *testing.T) {
	known := testFunctions(t)
	for file, text := range guides(t) {
		for _, name := range testName.FindAllStringSubmatch(text, -1) {
			if !known[name[1]] {
				t.Errorf("%s names %s, which does not exist", file, name[1])
			}
		}
	}
}

// A departure from 2016 that nobody tests is a promise that nobody keeps.
func TestEveryDepartureFrom2016HasItsTest(t *testing.T) {
	const file = "docs/migrating-from-2016.md"
	_, departures, found := strings.Cut(guides(t)[file], "\n## Departures\n")
	departures, _, _ = strings.Cut(departures, "\n## ")
	rows := 0
	for line := range strings.Lines(departures) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what |") {
			continue
		}
		rows++
		if !testName.MatchString(line) {
			t.Errorf("%s: no test in: %s", file, line)
		}
	}
	if !found || rows == 0 {
		t.Errorf("%s: no departures found", file)
	}
}

var localLink = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)

func TestGuidesLinkToFilesThatExist(t *testing.T) {
	for file, text := range guides(t) {
		for _, link := range localLink.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// The README is also read in a terminal.
func TestReadmeHasNoLongLines(t *testing.T) {
	n := 0
	for line := range strings.Lines(guides(t)["README.md"]) {
		n++
		if length := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); length > 120 {
			t.Errorf("README.md:%d has %d characters", n, length)
		}
	}
}

// Go code in a guide is part of a program or a test, so that it compiles and runs. Its
// indentation may differ.
func TestGuidesShowCodeThatRuns(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"*_test.go", "hcstest/*_test.go", "examples/*/main.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.WriteString("\n" + withoutIndent(string(text)))
		}
	}
	for file, text := range guides(t) {
		for _, block := range regexp.MustCompile("(?s)```go(\n.*?)```").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(code.String(), withoutIndent(block[1])) {
				t.Errorf("%s: no program and no test has:%s", file, block[1])
			}
		}
	}
}

func withoutIndent(text string) string {
	return regexp.MustCompile(`(?m)^\t+|\r$`).ReplaceAllString(text, "")
}

// ARCHITECTURE.md has a room for every file, and names nothing that has gone.
func TestArchitectureGuideIsUpToDate(t *testing.T) {
	const file = "ARCHITECTURE.md"
	text := guides(t)[file]
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		if !strings.Contains(text, "`"+source+"`") && !strings.HasSuffix(source, "_windows.go") && source != "doc.go" {
			t.Errorf("%s has no room for %s", file, source)
		}
		names[source] = true
		code, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`[A-Za-z0-9_]+`).FindAllString(string(code), -1) {
			names[name] = true
		}
	}
	for _, quoted := range regexp.MustCompile("`([A-Za-z0-9_]+(?:\\.[A-Za-z0-9_]+)*)").FindAllStringSubmatch(text, -1) {
		if names[quoted[1]] {
			continue
		}
		for name := range strings.SplitSeq(quoted[1], ".") {
			if !names[name] {
				t.Errorf("%s names %s, but the package has no %s", file, quoted[1], name)
			}
		}
	}
}
