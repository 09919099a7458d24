package libcontainerd

// starts limits how many containers start at a time; see WithMaxConcurrentStarts. nil:
// there is no limit.
type starts chan struct{}

// enter waits for a place, until what cancel returns, or closing, is closed. Those who wait get places in
// the order in which they came, as senders on a channel do.
func (s starts) enter(cancel func() <-chan struct{}, closing <-chan struct{}) error {
	if s == nil {
		return nil
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-cancel():
		return errCancelled
	case <-closing:
		return errClosed
	}
}

// leave frees a place.
func (s starts) leave() {
	if s != nil {
		<-s
	}
}
