package main

import (
	"fmt"
	"sync"

	"github.com/containerd/errdefs"
)

// networks is the network service of the host (HNS).
type networks interface {
	// Connect makes an endpoint on a network and returns its id. It replaces an
	// endpoint of that name that is left over.
	Connect(network, endpoint string) (id string, err error)
	// Disconnect removes an endpoint by its name; nil if there is none.
	Disconnect(endpoint string) error
	// Endpoints returns the ids of the endpoints in a namespace.
	Endpoints(namespace string) ([]string, error)
}

// endpointName is the name of a container's endpoint, by which any hcsrun finds it.
func endpointName(containerID string) string { return "hcsrun-" + containerID }

// simulatedNetworks is the network service of a simulated HCS. It has the
// networks nat and Default Switch, and one endpoint in each namespace.
type simulatedNetworks struct {
	mu        sync.Mutex // guards following
	endpoints map[string]bool
}

func (s *simulatedNetworks) Connect(network, endpoint string) (string, error) {
	if network != "nat" && network != "Default Switch" {
		return "", fmt.Errorf("network %q: %w: the simulated host has nat and Default Switch", network, errdefs.ErrNotFound)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints == nil {
		s.endpoints = map[string]bool{}
	}
	s.endpoints[endpoint] = true
	return "0a6ec2f6-3d3c-4c4f-9a0e-5d6f0e0c0001", nil
}

func (s *simulatedNetworks) Disconnect(endpoint string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.endpoints, endpoint)
	return nil
}

func (s *simulatedNetworks) Endpoints(string) ([]string, error) {
	return []string{"0a6ec2f6-3d3c-4c4f-9a0e-5d6f0e0c0002"}, nil
}
