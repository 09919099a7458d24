// What doctor asks Windows. doctor.go judges the answers.

package main

import (
	"errors"

	"golang.org/x/sys/windows"
)

func examineMachine() machine {
	m := machine{
		services: map[string]string{},
		admin:    isMember(windows.WinBuiltinAdministratorsSid) || isMember(windows.WinBuiltinHyperVAdminsSid),
	}
	for _, name := range []string{serviceHCS, serviceHNS} {
		m.services[name] = serviceState(name)
	}
	return m
}

// serviceState asks with the least rights, so that doctor also helps a user who
// has too few.
func serviceState(name string) string {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return "unknown: " + err.Error()
	}
	defer windows.CloseServiceHandle(manager)
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return "unknown: " + err.Error()
	}
	service, err := windows.OpenService(manager, text, windows.SERVICE_QUERY_STATUS)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return missing
	}
	if err != nil {
		return "unknown: " + err.Error()
	}
	defer windows.CloseServiceHandle(service)
	var status windows.SERVICE_STATUS
	switch err := windows.QueryServiceStatus(service, &status); {
	case err != nil:
		return "unknown: " + err.Error()
	case status.CurrentState == windows.SERVICE_RUNNING:
		return running
	}
	return "stopped"
}

// isMember reports whether the caller's token has a group enabled. It has not, if
// an administrator has not elevated.
func isMember(kind windows.WELL_KNOWN_SID_TYPE) bool {
	sid, err := windows.CreateWellKnownSid(kind)
	if err != nil {
		return false
	}
	member, err := windows.Token(0).IsMember(sid)
	return err == nil && member
}
