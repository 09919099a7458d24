package libcontainerd

import "slices"

// phase is where in its life a container is.
type phase int

const (
	creating   phase = iota // the id is reserved, HCS may be at work
	running                 // the init process runs
	paused                  // its compute system is frozen
	exiting                 // the init process or the compute system has ended, or a start has failed
	restarting              // the restart manager is waited for
	gone                    // ended, or no longer watched
)

// arrows are the legal changes of the phase, and all that can be told with them.
// ARCHITECTURE.md draws them.
//
//	                        told to the Backend
//	creating   → running    StateStart, StateRestore
//	           → exiting    nothing: the start has failed
//	           → gone       nothing: nothing was made, or the client is closed
//	running    → paused     StatePause
//	           → exiting    nothing yet
//	           → gone       nothing: the client is closed, the container runs on
//	paused     → running    StateResume
//	           → exiting    nothing yet
//	           → gone       nothing: the client is closed, the container stays paused
//	exiting    → restarting StateRestart
//	           → gone       StateExit; nothing after a failed start, or if the client is closed
//	restarting → creating   nothing yet
//	           → gone       StateExit; nothing if the client is closed
var arrows = map[phase][]phase{
	creating:   {running, exiting, gone},
	running:    {paused, exiting, gone},
	paused:     {running, exiting, gone},
	exiting:    {restarting, gone},
	restarting: {creating, gone},
}

func (p phase) String() string {
	return [...]string{"being created", "running", "paused", "exiting", "waiting for its restart", "gone"}[p]
}

// isUp reports whether the init process runs, be it frozen.
func (p phase) isUp() bool { return p == running || p == paused }

// status is the phase as Client.State returns it.
func (p phase) status() string {
	return [...]string{StatusCreating, StatusRunning, StatusPaused, StatusExiting, StatusRestarting, StatusExiting}[p]
}

// moveLocked changes the phase, and queues what the Backend is to be told of it, in
// one step; ctr.mu is held. It is the only place that sets the phase. It reports
// false, and does nothing, if no arrow leads there. If turn is true the caller
// delivers, once ctr.mu is free.
func (ctr *container) moveLocked(to phase, told ...event) (moved, turn bool) {
	if !slices.Contains(arrows[ctr.phase], to) {
		return false, false
	}
	ctr.phase = to
	for _, e := range told {
		turn = ctr.events.pushLocked(e) || turn
	}
	return true, turn
}
