package swarm

import (
	"github.com/moby/swarmkit/v2/api"
	"github.com/moby/swarmkit/v2/manager/allocator/networkallocator"
)

// noNetworks allocates nothing. Every swarm begins with an ingress network: unlike
// the Inert of swarmkit, noNetworks lets nodes attach to it, to nothing, so that a
// manager does not complain for each task.
type noNetworks struct{ networkallocator.Inert }

func (noNetworks) AllocateAttachment(*api.Node, *api.NetworkAttachment) error { return nil }

func (noNetworks) IsAttachmentAllocated(*api.Node, *api.NetworkAttachment) bool { return true }

type noNetworksProvider struct{ networkallocator.InertProvider }

func (noNetworksProvider) NewAllocator(*networkallocator.Config) (networkallocator.NetworkAllocator, error) {
	return noNetworks{}, nil
}
