package hcstest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/seed-609fd248/libcontainerd"
)

// Op names a call of the interfaces of package libcontainerd, or an act of HCS
// itself.
type Op string

// The calls of a ComputeService.
const (
	OpHost      Op = "Host"
	OpLayerID   Op = "LayerID"
	OpUtilityVM Op = "UtilityVM"
	OpCreate    Op = "Create"
	OpOpen      Op = "Open"
	OpList      Op = "List"
)

// The calls of a ComputeSystem.
const (
	OpStart         Op = "Start"
	OpShutdown      Op = "Shutdown"
	OpTerminate     Op = "Terminate"
	OpWait          Op = "Wait"
	OpPause         Op = "Pause"
	OpResume        Op = "Resume"
	OpStatistics    Op = "Statistics"
	OpProcessList   Op = "ProcessList"
	OpCreateProcess Op = "CreateProcess"
	OpOpenProcess   Op = "OpenProcess"
	OpClose         Op = "Close"
)

// The calls of a ComputeProcess.
const (
	OpPid           Op = "Pid"
	OpStdio         Op = "Stdio"
	OpCloseStdin    Op = "CloseStdin"
	OpResizeConsole Op = "ResizeConsole"
	OpKill          Op = "Kill"
	OpWaitProcess   Op = "WaitProcess"
	OpCloseProcess  Op = "CloseProcess"
)

// Acts of HCS itself, which faults can delay or prevent: the stop of a system
// after Shutdown or Terminate, and the end of a process that returned or was
// killed.
const (
	OpStop Op = "Stop"
	OpExit Op = "Exit"
)

// Operations returns every call of the interfaces, that is, all but OpStop and
// OpExit.
func Operations() []Op {
	return []Op{
		OpHost, OpLayerID, OpUtilityVM, OpCreate, OpOpen, OpList,
		OpStart, OpShutdown, OpTerminate, OpWait, OpPause, OpResume, OpStatistics,
		OpProcessList, OpCreateProcess, OpOpenProcess, OpClose,
		OpPid, OpStdio, OpCloseStdin, OpResizeConsole, OpKill, OpWaitProcess, OpCloseProcess,
	}
}

// words is the name of op in libcontainerd.Error.Op.
func (op Op) words() string {
	switch op {
	case OpLayerID:
		return "layer id"
	case OpUtilityVM:
		return "utility vm"
	case OpCreateProcess:
		return "exec"
	case OpOpenProcess:
		return "open process"
	case OpCloseProcess:
		return "close process"
	case OpWaitProcess:
		return "wait"
	case OpStatistics:
		return "stats"
	case OpProcessList:
		return "list processes"
	case OpCloseStdin:
		return "close stdin"
	case OpResizeConsole:
		return "resize"
	default:
		return strings.ToLower(string(op))
	}
}

// recorded reports whether Calls shows op. It does not show calls that ask HCS
// for nothing, nor waits, which begin at no particular moment.
func (op Op) recorded() bool {
	switch op {
	case OpHost, OpLayerID, OpUtilityVM, OpPid, OpWait, OpWaitProcess:
		return false
	default:
		return true
	}
}

// Call is one call that a Service got.
type Call struct {
	Op  Op
	ID  string // compute system, or the name given to LayerID
	Pid uint32 // the process a call was made on, or 0

	Document string                       // OpCreate: the document
	Process  *libcontainerd.ProcessConfig // OpCreateProcess: the parameters, not to be changed

	Err error // the answer; nil in OnCall, which comes before it
}

// String is the call in short: "Create c1", "Kill c1/1234".
func (c Call) String() string {
	switch {
	case c.Pid != 0:
		return fmt.Sprintf("%s %s/%d", c.Op, c.ID, c.Pid)
	case c.ID != "":
		return fmt.Sprintf("%s %s", c.Op, c.ID)
	}
	return string(c.Op)
}

// Calls returns the calls so far, the oldest first, or only those of the given
// operations. Host, LayerID, UtilityVM, Pid and Wait are not recorded, but OnCall
// sees them. See WithCallLimit.
func (s *Service) Calls(ops ...Op) []Call {
	calls := s.record.list()
	if len(ops) == 0 {
		return calls
	}
	return slices.DeleteFunc(calls, func(c Call) bool { return !slices.Contains(ops, c.Op) })
}

// record keeps the newest calls.
type record struct {
	limit int // immutable

	mu    sync.Mutex // guards following
	calls []Call     // a ring once it has limit elements
	count uint64     // calls ever added; the n-th stands at (n-1) % limit
}

// add records c and returns its number, 0 if it is not recorded.
func (r *record) add(c Call) uint64 {
	if r.limit <= 0 || !c.Op.recorded() {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) < r.limit {
		r.calls = append(r.calls, c)
	} else {
		r.calls[r.count%uint64(r.limit)] = c
	}
	r.count++
	return r.count
}

// answer completes the call with number n, if it is still there.
func (r *record) answer(n uint64, err error) {
	if n == 0 || err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count-n < uint64(r.limit) {
		r.calls[(n-1)%uint64(r.limit)].Err = err
	}
}

func (r *record) list() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) < r.limit || r.limit <= 0 {
		return slices.Clone(r.calls)
	}
	oldest := int(r.count % uint64(r.limit))
	return slices.Concat(r.calls[oldest:], r.calls[:oldest])
}
