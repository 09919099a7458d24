package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDetachKeys(t *testing.T) {
	for typed, want := range map[string]struct {
		passed   string
		detached bool
	}{
		"dir\r":              {"dir\r", false},
		"a\x10\x11b":         {"a", true},
		"a\x10b\x11":         {"a\x10b\x11", false},
		"\x10\x10\x11":       {"\x10", true},
		"\x11\x10":           {"\x11", false}, // it waits for the next key
		"\x10\x10\x10x\x11":  {"\x10\x10\x10x\x11", false},
		"\x10x\x10y\x10\x11": {"\x10x\x10y", true},
	} {
		for name, reader := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "a key at a time": iotest.OneByteReader,
		} {
			var passed strings.Builder
			_, err := io.Copy(&passed, &detachReader{Reader: reader(strings.NewReader(typed))})
			if passed.String() != want.passed || errors.Is(err, errDetached) != want.detached {
				t.Errorf("%q %s: %q, %v", typed, name, passed.String(), err)
			}
		}
	}
}

func FuzzDetachKeys(f *testing.F) {
	f.Add("dir\r\x10\x11rest")
	f.Add("\x10\x10\x10\x11")
	f.Fuzz(func(t *testing.T, typed string) {
		// What is passed on is what was typed before the keys; a ctrl-p at the end
		// waits for the next key.
		want, _, detached := strings.Cut(typed, "\x10\x11")
		if !detached {
			want = strings.TrimSuffix(want, "\x10")
		}
		for _, reader := range []io.Reader{strings.NewReader(typed), iotest.OneByteReader(strings.NewReader(typed))} {
			var passed strings.Builder
			_, err := io.Copy(&passed, &detachReader{Reader: reader})
			if passed.String() != want || errors.Is(err, errDetached) != detached {
				t.Errorf("%q: passed %q, want %q: %v", typed, passed.String(), want, err)
			}
		}
	})
}
