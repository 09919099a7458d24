package libcontainerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Reconcile is described at Client.
func (c *client) Reconcile(ctx context.Context, owner string) ([]ComputeSystemInfo, error) {
	if err := c.enter(OpReconcile, ""); err != nil {
		return nil, err
	}
	defer c.tasks.add(-1)
	if owner == "" && !c.ownerGiven {
		return nil, newError(OpReconcile, "", "", fmt.Errorf(
			"the owner %q is also that of Docker's engine, whose containers would be ended: set an owner with WithOwner, or name it: %w",
			c.owner, errdefs.ErrInvalidArgument))
	}
	systems, err := c.list(cmp.Or(owner, c.owner))
	if err != nil {
		return nil, err
	}
	type outcome struct {
		ComputeSystemInfo
		err error
	}
	outcomes := make(chan outcome, len(systems))
	for _, s := range systems {
		c.tasks.start(func() { outcomes <- outcome{s, c.endUnused(s.ID)} })
	}
	var ended []ComputeSystemInfo
	var failures []error
	for waiting := len(systems); waiting > 0; waiting-- {
		select {
		case o := <-outcomes:
			switch {
			case o.err == nil:
				ended = append(ended, o.ComputeSystemInfo)
			case !errors.Is(o.err, errInUse): // a container of this client
				failures = append(failures, o.err)
			}
		case <-ctx.Done():
			failures = append(failures, newError(OpReconcile, "", "", ctx.Err()))
			waiting = 1
		}
	}
	slices.SortFunc(ended, func(a, b ComputeSystemInfo) int { return strings.Compare(a.ID, b.ID) })
	return ended, join(failures...)
}
