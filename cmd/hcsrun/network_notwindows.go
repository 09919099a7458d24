//go:build !windows

package main

// hostNetworks is for the HCS of this host, and there is none.
func hostNetworks() networks { return &simulatedNetworks{} }
