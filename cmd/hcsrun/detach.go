package main

import (
	"errors"
	"io"
)

// The detach keys are ctrl-p ctrl-q, as docker has them.
const (
	ctrlP = 0x10
	ctrlQ = 0x11
)

// errDetached ends the input when the user has pressed the detach keys.
var errDetached = errors.New("detached")

// detachReader looks for the detach keys in what a user types. A ctrl-p waits for
// the next key.
type detachReader struct {
	io.Reader
	held bool // a ctrl-p waits
}

func (d *detachReader) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	n, err := d.Reader.Read(p[1:]) // room for a ctrl-p from before
	keys, passed := p[1:1+n], p[:0]
	for _, key := range keys {
		if d.held {
			d.held = false
			if key == ctrlQ {
				return len(passed), errDetached
			}
			passed = append(passed, ctrlP)
		}
		if key == ctrlP {
			d.held = true
			continue
		}
		passed = append(passed, key)
	}
	return len(passed), err
}
