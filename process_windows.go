// A ComputeProcess on hcsshim.Process. The logic is in process.go, the contract
// in hcs.go.

package libcontainerd

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/Microsoft/hcsshim"
	"github.com/containerd/errdefs"
)

type computeProcess struct {
	system  *computeSystem
	process hcsshim.Process
}

func (p *computeProcess) Pid() uint32 { return uint32(p.process.Pid()) }

func (p *computeProcess) Stdio() (stdin io.WriteCloser, stdout, stderr io.ReadCloser, err error) {
	stdin, stdout, stderr, err = p.process.Stdio()
	return stdin, stdout, stderr, p.error(OpStdio, err)
}

func (p *computeProcess) CloseStdin() error {
	err := p.process.CloseStdin()
	if hcsshim.IsAlreadyStopped(err) {
		return nil // nobody reads any more
	}
	return p.error(OpCloseStdin, err)
}

func (p *computeProcess) ResizeConsole(width, height uint16) error {
	return p.error(OpResize, p.process.ResizeConsole(width, height))
}

// Kill goes through handles of its own. hcsshim's Kill must not run twice at a
// time on one Process; and when it cannot open the system once more it
// terminates the system and closes the handle it came by, which is not to be
// the one that everybody else waits on.
func (p *computeProcess) Kill() error {
	system, err := hcsshim.OpenContainer(p.system.id)
	if err != nil {
		return p.killed(err)
	}
	defer release(system)
	process, err := system.OpenProcess(int(p.Pid()))
	if err != nil {
		return p.killed(err)
	}
	defer release(process)

	err = process.Kill()
	if !errors.Is(cause(err), hcsshim.ErrElementNotFound) {
		return p.killed(err)
	}
	// So hcsshim reports every refusal, whatever its reason was.
	again, openErr := system.OpenProcess(int(p.Pid()))
	if openErr != nil {
		return p.killed(openErr)
	}
	defer release(again)
	return p.error(OpKill, fmt.Errorf("refused by HCS for a reason that hcsshim does not tell, and the process runs on: %w", errdefs.ErrUnknown))
}

// release closes a handle that was opened for one call, and tries again for a
// second when HCS refuses.
func release(handle interface{ Close() error }) {
	for pause := 10 * time.Millisecond; handle.Close() != nil && pause < time.Second; pause *= 2 {
		time.Sleep(pause)
	}
}

// killed hides the errors which say that there is nothing left to kill.
func (p *computeProcess) killed(err error) error {
	if hcsshim.IsAlreadyStopped(err) || hcsshim.IsNotExist(err) ||
		hcsshim.IsOperationInvalidState(err) && p.system.hasEnded() {
		return nil
	}
	return p.error(OpKill, err)
}

func (p *computeProcess) Wait() (uint32, error) {
	if err := p.process.Wait(); err != nil {
		return math.MaxUint32, p.error(OpWait, err)
	}
	code, err := p.process.ExitCode()
	if err == nil && code < 0 { // an exit code of Windows is never negative, it is a uint32
		err = errors.New("HCS has no exit code")
	}
	if err != nil {
		return math.MaxUint32, p.error(OpWait, err)
	}
	return uint32(code), nil
}

func (p *computeProcess) Close() error {
	return p.error(OpClose, p.process.Close())
}

// error turns a failure of hcsshim into an *Error that names the process.
func (p *computeProcess) error(op string, err error) error {
	if err == nil {
		return nil
	}
	e := newHCSError(op, p.system.id, err)
	e.Err = fmt.Errorf("process %d: %w", p.Pid(), e.Err)
	return e
}
