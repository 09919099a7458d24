package engine

import (
	"context"
	"fmt"
	"time"
)

// spawn runs f in a goroutine that Close waits for.
func (e *Engine) spawn(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		return ErrClosed
	}
	e.tasks.Go(f)
	return nil
}

// await waits for done.
func (e *Engine) await(ctx context.Context, done <-chan struct{}) error {
	if isClosed(done) {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.closing:
		return ErrClosed
	}
}

// awaitFor waits for done, no longer than limit.
func (e *Engine) awaitFor(done <-chan struct{}, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return e.await(ctx, done)
}

// insist repeats f, with growing pauses, until it succeeds or the engine is closed.
func (e *Engine) insist(f func() error) {
	for pause := firstPause; f() != nil && !isClosed(e.closing); pause = nextPause(pause, 0) {
		e.awaitFor(nil, pause)
	}
}

// ask calls f, which knows of no context, and waits for it no longer than ctx. If f
// succeeds when nobody waits any longer, undo is called, which may be nil.
func (e *Engine) ask(ctx context.Context, what string, f func() error, undo func()) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	answer := make(chan error) // without a buffer: either it is taken, or undone
	err := e.spawn(func() {
		err := f()
		select {
		case answer <- err:
		case <-ctx.Done():
			if err == nil && undo != nil {
				undo()
			}
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s was given up: %w", what, context.Cause(ctx))
	}
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
