package libcontainerd

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
)

// RetryPolicy says when the creation of a compute system that failed is tried
// again. The zero value tries once.
type RetryPolicy struct {
	Attempts int           // calls in all; 0 and 1 both mean one
	Delay    time.Duration // before the second call
	Growth   float64       // factor by which each delay exceeds the one before; 0 means 1, the same delay
	Codes    []Code        // failures worth another call, in any dialect
}

// TP4RetryPolicy is what the HCS of Technical Preview 4 needs: it fails now and
// then with one of a few codes while the network is being set up. It is used
// there unless WithRetryPolicy gives another.
func TP4RetryPolicy() RetryPolicy {
	return RetryPolicy{
		Attempts: 5,
		Delay:    50 * time.Millisecond,
		Codes: []Code{
			CodeNotFound,
			CodeFileNotFound,
			CodeNoNetwork,
			CodeBadPathname,
			CodeInvalidClassString,
			CodeObjectNotFound,
		},
	}
}

func (p RetryPolicy) validate() error {
	switch {
	case p.Attempts < 0:
		return fmt.Errorf("retry policy: attempts %d: %w", p.Attempts, errdefs.ErrInvalidArgument)
	case p.Delay < 0:
		return fmt.Errorf("retry policy: delay %v: %w", p.Delay, errdefs.ErrInvalidArgument)
	case p.Growth != 0 && !(p.Growth >= 1):
		return fmt.Errorf("retry policy: growth %v is below 1: %w", p.Growth, errdefs.ErrInvalidArgument)
	}
	return nil
}

// again reports whether a call that failed with err as the attempt-th is worth
// another one. An error without a code is not HCS's, and never is.
func (p RetryPolicy) again(attempt int, err error) bool {
	return attempt < p.Attempts && codeOf(err) != 0 && hasCode(err, p.Codes...)
}

// delay is the time to wait after the attempt-th call.
func (p RetryPolicy) delay(attempt int) time.Duration {
	d := float64(p.Delay)
	if p.Growth > 1 {
		for range attempt - 1 {
			d *= p.Growth
		}
	}
	const longest = float64(24 * time.Hour)
	return time.Duration(min(d, longest))
}
