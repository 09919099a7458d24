package main

import (
	"net/http"

	"github.com/moby/moby/api/types/container"
)

// waitContainer answers when the container has exited for good, restarts included.
// The head of the answer comes at once: the client starts the container when it has
// that.
func (d *daemon) waitContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	current := c.current()
	var done <-chan struct{} = current.over
	switch condition := container.WaitCondition(r.FormValue("condition")); condition {
	case "", container.WaitConditionNotRunning:
		if !c.isRunning() && !isStarting(c, current) {
			return reply(w, http.StatusOK, container.WaitResponse{StatusCode: int64(c.state().ExitCode)})
		}
	case container.WaitConditionNextExit:
	case container.WaitConditionRemoved:
		done = c.gone
	default:
		return invalid("condition %q is none of not-running, next-exit and removed", condition)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if http.NewResponseController(w).Flush() != nil {
		return errGone
	}
	select {
	case <-done:
	case <-c.gone:
	case <-r.Context().Done():
		return nil
	case <-d.ctx.Done():
		return nil
	}
	code := c.state().ExitCode
	if isClosed(current.over) {
		code = current.code()
	}
	return encode(w, container.WaitResponse{StatusCode: int64(code)})
}

// isStarting reports whether somebody has begun to start the run.
func isStarting(c *managed, r *run) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.cancel != nil && !isClosed(r.over)
}
