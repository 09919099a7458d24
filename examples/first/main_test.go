package main

import (
	"bytes"
	"os"
	"testing"
)

// What a newcomer copies from the README is what is tested here.
func TestReadmeShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ = bytes.Cut(program, []byte("package main"))
	if !bytes.Contains(readme, append([]byte("```go\npackage main"), program...)) {
		t.Error("the README shows another program")
	}
}
