// What hcsrun asks of HNS, for ground.go.

package main

import (
	"fmt"

	"github.com/Microsoft/hcsshim/hcn"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/windows"
)

func hostNetworks() networks { return hns{} }

// hns is the network service of this host. Its API needs Windows Server 2019 or
// later.
type hns struct{}

func (h hns) Connect(network, endpoint string) (string, error) {
	n, err := hcn.GetNetworkByName(network)
	if hcn.IsNotFoundError(err) {
		return "", fmt.Errorf("network %q: %w: Get-HnsNetwork lists those of the host", network, errdefs.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("network %q: %w", network, err)
	}
	if err := h.Disconnect(endpoint); err != nil {
		return "", err
	}
	e, err := n.CreateEndpoint(&hcn.HostComputeEndpoint{Name: endpoint, SchemaVersion: hcn.V2SchemaVersion()})
	if err != nil {
		return "", fmt.Errorf("endpoint on network %q: %w", network, err)
	}
	return e.Id, nil
}

func (hns) Disconnect(endpoint string) error {
	e, err := hcn.GetEndpointByName(endpoint)
	if hcn.IsNotFoundError(err) || isTooOld(err) {
		return nil
	}
	if err == nil {
		err = e.Delete()
	}
	if err != nil {
		return fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	return nil
}

func (hns) Endpoints(namespace string) ([]string, error) {
	ids, err := hcn.GetNamespaceEndpointIds(namespace)
	if isTooOld(err) {
		return nil, fmt.Errorf("network namespace %q: this Windows has none: %w", namespace, errdefs.ErrNotImplemented)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace %q: %w", namespace, err)
	}
	return ids, nil
}

// isTooOld reports whether a call failed because the host does not have its API.
// Then nothing that was made by it can exist.
func isTooOld(err error) bool {
	return hcn.CheckErrorWithCode(err, hcn.ErrorCode(windows.ERROR_MOD_NOT_FOUND)) ||
		hcn.CheckErrorWithCode(err, hcn.ErrorCode(windows.ERROR_PROC_NOT_FOUND))
}
