package main

import (
	"errors"
	"io"
)

// The detach keys are ctrl-p ctrl-q, as with docker.
const (
	ctrlP = 0x10
	ctrlQ = 0x11
)

// errDetached ends the input when the user has pressed the detach keys.
var errDetached = errors.New("detached")

// detachReader looks for the detach keys in what a user types. It holds a ctrl-p
// back until the next key.
type detachReader struct {
	io.Reader
	held bool // a ctrl-p is held back
}

func (d *detachReader) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	n, err := d.Reader.Read(p[1:]) // leave room for the ctrl-p that was held back
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
