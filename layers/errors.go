package layers

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// invalid is an error about what the caller gave.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errdefs.ErrInvalidArgument)
}

// joined makes one error, with one line of text, of several.
func joined(errs []error) error {
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
}
