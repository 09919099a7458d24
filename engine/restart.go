package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-609fd248/libcontainerd"
)

// RestartPolicy says when a container that has exited is started again. The zero
// value is Never. As text, in JSON and in flags, it is what String returns.
//
// The pause before a restart is 100 ms, and doubles with each, up to a minute; a run
// of 10 seconds or more makes it 100 ms again. Stop and Kill end the container under
// every policy.
//
// When a new engine finds a container that ended while no engine watched it, or
// that had exited before, the policy is asked again.
type RestartPolicy struct {
	kind policyKind
	max  int // for onFailure, 0: no limit
}

type policyKind string

const (
	never         policyKind = ""
	onFailure     policyKind = "on-failure"
	unlessStopped policyKind = "unless-stopped"
	always        policyKind = "always"
)

// Never does not restart.
func Never() RestartPolicy { return RestartPolicy{} }

// OnFailure restarts a container whose exit code is not 0, at most max times; 0 means
// without limit.
func OnFailure(max int) RestartPolicy { return RestartPolicy{kind: onFailure, max: max} }

// UnlessStopped restarts always, but a new engine does not start a container that
// was stopped or killed before.
func UnlessStopped() RestartPolicy { return RestartPolicy{kind: unlessStopped} }

// Always restarts always; a new engine also starts a container that was stopped or
// killed before.
func Always() RestartPolicy { return RestartPolicy{kind: always} }

// String returns the policy as Docker writes it: "no", "on-failure",
// "on-failure:3", "unless-stopped" or "always".
func (p RestartPolicy) String() string {
	switch {
	case p.kind == never:
		return "no"
	case p.kind == onFailure && p.max != 0:
		return fmt.Sprintf("%s:%d", onFailure, p.max)
	}
	return string(p.kind)
}

// MarshalText returns what String returns.
func (p RestartPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String returns; "" means "no". Any other text is
// errdefs.ErrInvalidArgument.
func (p *RestartPolicy) UnmarshalText(text []byte) error {
	kind, limit, limited := strings.Cut(string(text), ":")
	read := RestartPolicy{kind: policyKind(kind)}
	switch read.kind {
	case "no":
		read.kind = never
	case never, onFailure, unlessStopped, always:
	default:
		return invalid(fmt.Sprintf("restart policy %q is none of no, on-failure[:N], unless-stopped and always", text))
	}
	if limited {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 || read.kind != onFailure {
			return invalid(fmt.Sprintf("limit of the restart policy %q: only on-failure has one, a number from 0", text))
		}
		read.max = n
	}
	*p = read
	return nil
}

// restarts reports whether a container is started again that has exited with code,
// without being stopped, and was restarted n times before.
func (p RestartPolicy) restarts(code uint32, n int) bool {
	if p.kind == onFailure {
		return code != 0 && (p.max == 0 || n < p.max)
	}
	return p.kind == unlessStopped || p.kind == always
}

// The pauses before restarts, and the run that makes the next pause short again.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = time.Minute
	goodRun    = 10 * time.Second
)

// nextPause returns the pause that follows last, after a run of length ran.
func nextPause(last, ran time.Duration) time.Duration {
	if last == 0 || ran >= goodRun {
		return firstPause
	}
	return min(2*last, maxPause)
}

// exit notes that a run has ended, and lets another one follow if the policy wants so.
func (c *Container) exit(info libcontainerd.StateInfo) {
	if !errors.Is(info.Err, libcontainerd.ErrMayStillRun) {
		c.systemEnded() // of a former run
	}
	c.mu.Lock()
	if c.left == PhaseRestarting || c.left == PhaseExited { // the former engine has told it
		info.ExitCode, info.ExitedAt, info.Err = c.state.ExitCode, c.state.ExitedAt, errors.Join(c.state.Err, info.Err)
	}
	if !c.comesBackLocked(info.ExitCode) {
		c.mu.Unlock()
		c.exitForGood(info)
		return
	}
	if c.left != PhaseRestarting {
		c.state.Restarts++
	}
	c.noteExitLocked(PhaseRestarting, info)
	c.state.Stopped = false
	c.pause = nextPause(c.pause, time.Since(c.state.StartedAt))
	pause, r := c.pause, c.init.run
	c.mu.Unlock()
	c.note(EventRestart, info)
	c.engine.spawn(func() { c.restart(info, r, pause) })
}

// comesBackLocked reports whether another run follows one that has ended with code;
// c.mu is held.
func (c *Container) comesBackLocked(code uint32) bool {
	switch {
	case isClosed(c.halted):
		return false
	case c.state.Stopped: // by a former engine
		return c.state.Policy.kind == always
	case c.left == PhaseRestarting: // the former engine has decided it
		return true
	}
	return c.state.Policy.restarts(code, c.state.Restarts)
}

// restart begins the run that follows the exit last, once the output of r is complete
// and the pause is over.
func (c *Container) restart(last libcontainerd.StateInfo, r *run, pause time.Duration) {
	e := c.engine
	mayStillRun := errors.Is(last.Err, libcontainerd.ErrMayStillRun)
	if err := r.finish(e, mayStillRun); err != nil && !isClosed(e.closing) {
		e.warn(c.id, "output before a restart is not complete", err)
	}
	err := e.awaitFor(c.halted, pause)
	if err != nil && !isClosed(e.closing) {
		if err = c.bringUp(); err == nil {
			return
		}
	}
	switch {
	case isClosed(e.closing): // the next engine restarts it
	case isClosed(c.halted):
		c.exitForGood(last)
	default:
		c.exitForGood(failure(err))
	}
}
