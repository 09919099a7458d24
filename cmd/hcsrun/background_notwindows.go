//go:build !windows

package main

import "syscall"

// ownProcessGroup lets a process outlive the terminal of its parent.
func ownProcessGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
