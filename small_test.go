package libcontainerd_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A device id is a GUID, with both braces or with none.
func TestDeviceIDWithOneBraceIsRefused(t *testing.T) {
	const guid = "5B45201D-F2F2-4F3B-85BB-30FF1F953599"
	for id, valid := range map[string]bool{
		guid: true, "{" + guid + "}": true,
		"{" + guid: false, guid + "}": false, "{{" + guid + "}}": false, "}" + guid + "{": false,
	} {
		t.Run(id, func(t *testing.T) {
			s := spec("cmd")
			s.Windows.Devices = []libcontainerd.Device{{ID: id, IDType: "class"}}
			_, err := libcontainerd.Configuration("c1", s, hcstest.New(t))
			if valid && err != nil || !valid && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "windows.devices[0].id")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// backend is a Backend that is large, so that it is an object of its own.
type backend struct {
	*engine
	_ [1 << 10]byte
}

// A Remote forgets the clients that are closed, and what they hold.
func TestRemoteForgetsClosedClients(t *testing.T) {
	remote, err := libcontainerd.New("", libcontainerd.WithComputeService(hcstest.New(t)))
	must(t, err)
	const clients = 10
	var backends []weak.Pointer[backend]
	for range clients {
		b := new(backend)
		client, err := remote.Client(b)
		must(t, err)
		must(t, client.Close())
		backends = append(backends, weak.Make(b))
	}
	kept := 0
	for range 10 {
		runtime.GC()
		kept = 0
		for _, b := range backends {
			if b.Value() != nil {
				kept++
			}
		}
		if kept == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if kept > 0 {
		t.Errorf("%d of %d closed clients are kept", kept, clients)
	}
	open, err := remote.Client(new(backend))
	must(t, err)
	remote.Cleanup()
	if _, err := open.State("c1"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a client that was open at Cleanup: %v", err)
	}
	runtime.KeepAlive(remote)
}

// A layer is no container.
func TestErrorOfALayerIDNamesTheLayerAsALayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpLayerID, "app", libcontainerd.CodeAccessDenied)
		err := e.Create("c1", spec("cmd"))
		if !is(libcontainerd.CodeAccessDenied)(err) {
			t.Fatalf("got %v", err)
		}
		for rest := err; rest != nil; rest = errors.Unwrap(rest) {
			if described, ok := rest.(*libcontainerd.Error); ok && described.ContainerID != "c1" && described.ContainerID != "" { //nolint:errorlint // each link is looked at
				t.Errorf("an error is of container %q: %v", described.ContainerID, err)
			}
		}
		if text := err.Error(); strings.Contains(text, `container "app"`) || !strings.Contains(text, "app") || !strings.Contains(text, "c1") {
			t.Errorf("got %v", err)
		}
	})
}

// nothing is a HCS that answers some calls with nothing: no handle, and no error.
type nothing struct {
	*hcstest.Service
	op hcstest.Op
}

type nothingSystem struct {
	libcontainerd.ComputeSystem
	op hcstest.Op
}

func (s nothing) CreateComputeSystem(id, configuration string) (libcontainerd.ComputeSystem, error) {
	if s.op == hcstest.OpCreate {
		return nil, nil
	}
	system, err := s.Service.CreateComputeSystem(id, configuration)
	return nothingSystem{system, s.op}, err
}

func (s nothing) OpenComputeSystem(id string) (libcontainerd.ComputeSystem, error) {
	if s.op == hcstest.OpOpen {
		return nil, nil
	}
	system, err := s.Service.OpenComputeSystem(id)
	if err != nil {
		return nil, err
	}
	return nothingSystem{system, s.op}, nil
}

func (s nothingSystem) CreateProcess(config *libcontainerd.ProcessConfig) (libcontainerd.ComputeProcess, error) {
	if s.op == hcstest.OpCreateProcess {
		return nil, nil
	}
	return s.ComputeSystem.CreateProcess(config)
}

func (s nothingSystem) OpenProcess(pid uint32) (libcontainerd.ComputeProcess, error) {
	if s.op == hcstest.OpOpenProcess {
		return nil, nil
	}
	return s.ComputeSystem.OpenProcess(pid)
}

// A ComputeService that answers with neither a handle nor an error has failed.
func TestNoHandleAndNoErrorIsAnError(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpCreate, hcstest.OpCreateProcess, hcstest.OpOpen, hcstest.OpOpenProcess} {
		t.Run(fmt.Sprint(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				s := spec(untilStopped...)
				pid := orphan(t, hcs, "left", s)
				e := newEngine(t, hcs, libcontainerd.WithComputeService(nothing{hcs, op}))
				var err error
				switch op {
				case hcstest.OpCreate, hcstest.OpCreateProcess:
					err = e.Create("c1", s)
				case hcstest.OpOpen:
					err = e.Restore("left")
				default:
					err = e.Restore("left", libcontainerd.WithReattach(s, pid))
				}
				if err == nil {
					t.Error("it succeeded")
				}
				time.Sleep(time.Hour)
				if n := e.count("start") + e.count("restore"); n > 0 {
					t.Errorf("events %q", e.events())
				}
				endAll(t, hcs)
			})
		})
	}
}
