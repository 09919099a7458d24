package libcontainerd

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// resize changes the console of a process; see Client.Resize.
func (ctr *container) resize(name string, width, height int) error {
	for _, side := range []struct {
		name string
		n    int
	}{{"width", width}, {"height", height}} {
		if side.n < 1 || side.n > 65535 {
			return newError(OpResize, ctr.id, name, fmt.Errorf("%s %d is not within 1…65535: %w", side.name, side.n, errdefs.ErrInvalidArgument))
		}
	}
	p, err := ctr.processes.find(OpResize, name)
	if err != nil {
		return err
	}
	return request(ctr.client, p.handle, p.op(OpResize), ctr.client.callTimeout, func(h ComputeProcess) error {
		return h.ResizeConsole(uint16(width), uint16(height))
	}, nil)
}

// stats asks HCS for the resource use of the container.
func (ctr *container) stats() (*Stats, error) {
	ctr.mu.Lock()
	s, up := ctr.system, ctr.phase.isUp()
	var notRunning error
	if !up {
		notRunning = ctr.notRunningLocked()
	}
	ctr.mu.Unlock()
	if !up {
		return nil, newError(OpStats, ctr.id, "", notRunning)
	}
	statistics, err := s.statistics.ask(ctr.client, s.handle, s.op(OpStats), ctr.client.callTimeout, ComputeSystem.Statistics)
	if err != nil {
		return nil, err
	}
	statistics.Network = slices.Clone(statistics.Network) // others may have the same answer
	return &Stats{Read: time.Now(), Statistics: statistics}, nil
}

// summary describes every process of the container.
func (ctr *container) summary() ([]Summary, error) {
	list, s := ctr.processes.running()
	if len(list) == 0 {
		return []Summary{}, nil
	}
	infos, err := s.processes.ask(ctr.client, s.handle, s.op(OpListProcesses), ctr.client.callTimeout, ComputeSystem.ProcessList)
	if err != nil && !isOnTheWayOut(err) {
		return nil, err
	}
	return merge(list, infos), nil
}

// isOnTheWayOut reports whether err is one of those that a container's properties
// give while it stops.
func isOnTheWayOut(err error) bool {
	return errors.Is(err, errGone) || isAlreadyStopped(err) || errors.Is(err, CodeInvalidState) ||
		errors.Is(err, CodeInvalidHandle) || errors.Is(err, CodeAccessDenied)
}

// merge adds what HCS knows to the tracked processes, and appends the others.
func merge(list []*process, infos []ProcessInfo) []Summary {
	byPid := make(map[uint32]ProcessInfo, len(infos))
	for _, i := range infos {
		byPid[i.Pid] = i
	}
	summaries := make([]Summary, 0, max(len(list), len(infos)))
	for _, p := range list {
		i := byPid[p.pid]
		delete(byPid, p.pid)
		summaries = append(summaries, summarise(p.pid, p.name, p.command, i))
	}
	for _, i := range infos {
		if _, other := byPid[i.Pid]; other {
			summaries = append(summaries, summarise(i.Pid, "", i.ImageName, i))
		}
	}
	return summaries
}

func summarise(pid uint32, name, command string, i ProcessInfo) Summary {
	return Summary{
		Pid:                          pid,
		Name:                         name,
		Command:                      command,
		ImageName:                    i.ImageName,
		CreatedAt:                    i.CreatedAt,
		KernelTime:                   i.KernelTime,
		UserTime:                     i.UserTime,
		MemoryCommitBytes:            i.MemoryCommitBytes,
		MemoryWorkingSetPrivateBytes: i.MemoryWorkingSetPrivateBytes,
		MemoryWorkingSetSharedBytes:  i.MemoryWorkingSetSharedBytes,
	}
}
