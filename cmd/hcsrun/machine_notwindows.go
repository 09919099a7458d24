//go:build !windows

package main

// examineMachine finds nothing: this is not Windows.
func examineMachine() machine { return machine{} }
