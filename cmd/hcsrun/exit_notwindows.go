//go:build !windows

package main

// status is the exit code for os.Exit. Eight bits are all there is: cutting a
// larger code off could make a success of it.
func status(code uint32) int { return int(min(code, 255)) }
