package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// ownProcessGroup lets a process outlive the console of its parent.
func ownProcessGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
}
