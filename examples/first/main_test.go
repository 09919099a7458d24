package main

import (
	"bytes"
	"os"
	"testing"
)

// What a newcomer copies from the guide is what is tested here.
func TestGuideShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../docs/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ = bytes.Cut(program, []byte("package main"))
	if !bytes.Contains(guide, append([]byte("```go\npackage main"), program...)) {
		t.Error("docs/engines.md shows another program")
	}
}
