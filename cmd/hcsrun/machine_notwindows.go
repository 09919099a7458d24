//go:build !windows

package main

// examineMachine has nothing to see where there is no Windows.
func examineMachine() machine { return machine{} }
