package hcstest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Code in the guide is taken from a test, so that it compiles and runs.
func TestGuideShowsCodeThatRuns(t *testing.T) {
	guide, err := os.ReadFile("../docs/testing-your-engine.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob("example*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range tests {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) == 0 {
		t.Fatal("the guide has no code")
	}
	for _, block := range blocks {
		if !strings.Contains(code.String(), block[1]) {
			t.Errorf("no example*_test.go has:\n%s", block[1])
		}
	}
}
