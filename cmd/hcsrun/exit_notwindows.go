//go:build !windows

package main

// status is the exit code for os.Exit. It has eight bits only; if a larger code
// were cut off, it could become 0.
func status(code uint32) int { return int(min(code, 255)) }
