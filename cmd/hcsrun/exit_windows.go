package main

// status is the exit code for os.Exit; Windows has room for all of it.
func status(code uint32) int { return int(code) }
