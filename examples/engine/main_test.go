package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What a newcomer copies from the README is what runs here, and prints what it says.
func TestReadmeShowsThisProgram(t *testing.T) {
	readme, program := readText(t, "../../README.md"), readText(t, "main.go")
	lines := strings.ReplaceAll("\n"+program, "\n\t", "\n") // without the indent of main
	blocks := regexp.MustCompile("(?s)```go(\n.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) != 1 || !strings.Contains(lines, blocks[0][1]) {
		t.Error("the README shows another program")
	}
	if output := outputOfMain(t); !strings.Contains(readme, "It prints\n\n```\n"+output+"```\n") {
		t.Errorf("the README does not show the output:\n%s", output)
	}
}

func outputOfMain(t *testing.T) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout = file
	main()
	return strings.ReplaceAll(readText(t, file.Name()), "\r\n", "\n") // cmd ends its lines so
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
