//go:build !windows

package main

// hostNetworks returns simulated networks, because this host has no HNS.
func hostNetworks() networks { return &simulatedNetworks{} }
