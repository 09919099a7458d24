package libcontainerd_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A start that fails leaves nothing, whichever step fails. See lessons_test.go: 39, 41, 42, D1,
// D6, D12–D15, P1.
func TestCreateThatFailsLeavesNothing(t *testing.T) {
	refusal := errors.New("no streams today")
	for name, c := range map[string]struct {
		prepare func(*engine)
		want    func(error) bool
	}{
		"layer id":      {failing(hcstest.OpLayerID, libcontainerd.CodeAccessDenied), errdefs.IsPermissionDenied},
		"create":        {failing(hcstest.OpCreate, libcontainerd.CodeImageMismatch), errdefs.IsFailedPrecondition},
		"start":         {failing(hcstest.OpStart, libcontainerd.CodeUnexpectedExit), is(libcontainerd.CodeUnexpectedExit)},
		"start, done":   {failingDone(hcstest.OpStart, libcontainerd.CodeTimeout), errdefs.IsDeadlineExceeded},
		"create, done":  {failingDone(hcstest.OpCreate, libcontainerd.CodeOperationTimeout), errdefs.IsDeadlineExceeded},
		"init process":  {failing(hcstest.OpCreateProcess, libcontainerd.CodeFileNotFound), errdefs.IsNotFound},
		"stdio":         {failing(hcstest.OpStdio, libcontainerd.CodeNotFound), is(libcontainerd.CodeNotFound)},
		"attach":        {func(e *engine) { e.onAttach = func(string, libcontainerd.IOPipe) error { return refusal } }, is(refusal)},
		"start refused": {func(e *engine) { e.onState = func(string, libcontainerd.StateInfo) error { return refusal } }, is(refusal)},
		"terminate refused": {func(e *engine) {
			failing(hcstest.OpCreateProcess, libcontainerd.CodeFileNotFound)(e)
			e.hcs.Fail(hcstest.OpTerminate, "c1", libcontainerd.CodeAccessDenied)
		}, errdefs.IsNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil)
				c.prepare(e)
				err := e.Create("c1", spec(untilStopped...), libcontainerd.WithRestartManager(&restartManager{}))
				if !c.want(err) {
					t.Errorf("got error %v", err)
				}
				if err == nil || !strings.Contains(err.Error(), `"c1"`) {
					t.Errorf("error does not name the container: %v", err)
				}
				if name == "start refused" {
					e.wantEvents(t, "start-container c1")
				} else {
					e.wantEvents(t)
				}
				e.onAttach, e.onState = nil, nil
				e.hcs.Heal()
				must(t, e.Create("c1", spec("cmd", "/c", "exit 0"))) // the id is free at once
				e.awaitExit("c1")
			})
		})
	}
}

// A call that never comes back fails Create within its limits. What the call does in
// the end is undone.
func TestCreateOutlivesACallThatHangs(t *testing.T) {
	for _, op := range []hcstest.Op{
		hcstest.OpHost, hcstest.OpLayerID, hcstest.OpCreate, hcstest.OpStart,
		hcstest.OpCreateProcess, hcstest.OpPid, hcstest.OpStdio,
	} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil, libcontainerd.WithCallTimeout(time.Minute))
				hung := e.hcs.Hang(op, "")
				began := time.Now()
				err := e.Create("c1", spec(untilStopped...))
				if !errdefs.IsDeadlineExceeded(err) {
					t.Errorf("got error %v", err)
				}
				if took := time.Since(began); took > time.Minute+libcontainerd.DefaultTerminateTimeout {
					t.Errorf("took %v", took)
				}
				hung.Release()
				synctest.Wait()
				e.wantEvents(t)
				must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
				e.awaitExit("c1")
			})
		})
	}
}

func TestTerminateThatHangsDoesNotHoldUpAFailedCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithTerminateTimeout(20*time.Second))
		e.hcs.Fail(hcstest.OpStart, "", libcontainerd.CodeUnexpectedExit)
		hung := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpTerminate, Times: 1, Fault: hcstest.Fault{Hang: true}})
		began := time.Now()
		err := e.Create("c1", spec(untilStopped...))
		if !errors.Is(err, libcontainerd.CodeUnexpectedExit) {
			t.Errorf("got error %v", err)
		}
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Second) // a second handle has ended it meanwhile
		for _, s := range list(t, e.hcs) {
			if s.State != "Stopped" {
				t.Errorf("left: %v", s)
			}
		}
		hung.Release()
	})
}

// If two calls create one id, only one of them reaches HCS. See lessons_test.go: D5.
func TestOfTwoCreatesOfOneIDOneReachesHCS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		hung := e.hcs.Hang(hcstest.OpCreate, "c1")
		created := make(chan error, 1)
		go func() { created <- e.Create("c1", spec(untilStopped...)) }()
		<-hung.Met()
		if err := e.Create("c1", spec(untilStopped...)); !errdefs.IsAlreadyExists(err) {
			t.Errorf("got %v", err)
		}
		hung.Release()
		must(t, <-created)
		if n := len(e.hcs.Calls(hcstest.OpCreate)); n != 1 {
			t.Errorf("HCS was asked %d times", n)
		}
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
	})
}

// A layer or a port in use has the same kind of error, but waiting does not help.
func TestOnlyAnIDThatIsTakenIsWaitedFor(t *testing.T) {
	for _, code := range []libcontainerd.Code{libcontainerd.CodeSharingViolation, 0x1392} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, nil)
			e.hcs.Fail(hcstest.OpCreate, "c1", code)
			if err := e.Create("c1", spec("cmd")); !is(code)(err) || !errdefs.IsAlreadyExists(err) {
				t.Errorf("got %v", err)
			}
			if n := len(e.hcs.Calls(hcstest.OpCreate)); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// An engine that died may have left a stopped system. It does not keep Create from
// using the id.
func TestCreateClearsWhatAPreviousLifeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		hcs.KeepStopped("c1")
		e := newEngine(t, hcs)
		left, err := hcs.CreateComputeSystem("c1", document(t, hcs, "c1", spec("cmd")))
		must(t, err)
		must(t, left.Start())
		must(t, left.Terminate())
		left.Wait()
		must(t, left.Close())
		must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
		e.awaitExit("c1")
	})
}

func TestCreateLeavesARunningSystemOfSomebodyElseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEngine(t, hcs)
		other, err := hcs.CreateComputeSystem("c1", document(t, hcs, "c1", spec("cmd")))
		must(t, err)
		must(t, other.Start())
		if err := e.Create("c1", spec("cmd")); !errdefs.IsAlreadyExists(err) {
			t.Errorf("got %v", err)
		}
		if _, err := other.Statistics(); err != nil {
			t.Errorf("the other system was touched: %v", err)
		}
		must(t, other.Terminate())
		other.Wait()
		must(t, other.Close())
	})
}

// Create sends what Configuration shows, but for the owner of the client.
func TestCreateSendsTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for owner, options := range map[string][]libcontainerd.RemoteOption{
			"docker": nil,
			"mine":   {libcontainerd.WithOwner("mine")},
		} {
			e := newEngine(t, nil, options...)
			must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
			e.awaitExit("c1")
			want := strings.Replace(document(t, e.hcs, "c1", spec("cmd", "/c", "exit 0")), `"Owner":"docker"`, `"Owner":"`+owner+`"`, 1)
			if diff := cmp.Diff(want, e.hcs.Calls(hcstest.OpCreate)[0].Document); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
		}
	})
}

func TestBadSpecIsRefusedBeforeHCSIsAsked(t *testing.T) {
	e := newEngine(t, nil)
	limit := int64(4096)
	bad := spec()
	bad.Windows.Resources = &libcontainerd.Resources{Memory: &libcontainerd.Memory{Limit: &limit}}
	err := e.Create("c1", bad)
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "process.args") || !strings.Contains(err.Error(), "memory.limit") {
		t.Errorf("got %v", err)
	}
	if err := e.Create("", spec("cmd")); !errdefs.IsInvalidArgument(err) {
		t.Errorf("empty id: %v", err)
	}
	if calls := e.hcs.Calls(); len(calls) > 0 {
		t.Errorf("HCS was asked: %v", calls)
	}
}

func TestIDInUseIsRefusedAndTheFirstLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		for _, create := range map[string]func() error{
			"create":  func() error { return e.Create("c1", spec("cmd")) },
			"restore": func() error { return e.Restore("c1") },
		} {
			if err := create(); !errdefs.IsAlreadyExists(err) || !strings.Contains(err.Error(), "c1") {
				t.Errorf("got %v", err)
			}
		}
		must(t, e.Signal("c1", 0))
		must(t, e.Signal("c1", 9))
		e.awaitExit("c1")
		e.wantEvents(t, "start-container c1", "exit c1 1067")
	})
}

type failingOption struct{ err error }

func (o failingOption) Apply(any) error { return o.err }

func TestOptionThatFailsFailsCreateBeforeHCSIsAsked(t *testing.T) {
	e := newEngine(t, nil)
	failure := errors.New("no")
	err := e.Create("c1", spec("cmd"), libcontainerd.WithRestartManager(nil), failingOption{failure}, libcontainerd.WithRestartManager(nil))
	if !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	if calls := e.hcs.Calls(); len(calls) > 0 {
		t.Errorf("HCS was asked: %v", calls)
	}
}

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

// An error about a layer does not name the layer as a container.
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

// nothing is a HCS that answers some calls with neither a handle nor an error.
type nothing struct {
	*hcstest.Service
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

type nothingSystem struct {
	libcontainerd.ComputeSystem
	op hcstest.Op
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

// A container that is being created can do nothing yet. The error is the same in either
// isolation.
func TestContainerThatIsBeingCreatedCannotPause(t *testing.T) {
	for isolation, s := range map[string]libcontainerd.Spec{"process": spec(untilStopped...), "hyperv": hyperv(untilStopped...)} {
		for _, op := range []hcstest.Op{hcstest.OpHost, hcstest.OpLayerID, hcstest.OpCreate, hcstest.OpStart, hcstest.OpCreateProcess, hcstest.OpStdio} {
			t.Run(fmt.Sprintf("%s/%s", isolation, op), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, nil)
					hung := e.hcs.Hang(op, "")
					created := make(chan error, 1)
					go func() { created <- e.Create("c1", s) }()
					<-hung.Met()
					for name, call := range map[string]func() error{
						"pause":  func() error { return e.Pause("c1") },
						"resume": func() error { return e.Resume("c1") },
						"exec":   func() error { return e.AddProcess("c1", "p1", exec("cmd")) },
					} {
						if err := call(); !errdefs.IsFailedPrecondition(err) || errdefs.IsNotImplemented(err) {
							t.Errorf("%s: %v", name, err)
						}
					}
					hung.Release()
					must(t, <-created)
					must(t, e.Signal("c1", 9))
					e.wantExit(t, "c1", time.Hour)
				})
			})
		}
	}
}

// Other goroutines use a container while it is being created or taken up. Only the race
// detector sees whether they read what is being written.
func TestContainerIsUsedWhileItIsBroughtUp(t *testing.T) {
	hcs := hcstest.New(t)
	e := newEngine(t, hcs)
	s := hyperv(untilStopped...)
	var others sync.WaitGroup
	stop := make(chan struct{})
	for n := range 3 {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				e.AddProcess("c1", fmt.Sprintf("p%d-%d", n, i), exec("cmd", "/c", "exit 0")) // no Cwd
				e.Pause("c1")
				e.Resume("c1")
				e.Summary("c1")
			}
		})
	}
	for range 50 {
		must(t, e.Create("c1", s))
		n := e.count("exit c1 ")
		e.Resume("c1")
		must(t, e.Signal("c1", 9))
		e.await("exit c1 ", n+1)
	}
	close(stop)
	others.Wait()
}

// The compute system may stop while the Backend is being given the streams, and HCS not
// tell the exit of the init process.
func TestContainerThatStopsDuringItsStartEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hcs := hcstest.New(t)
		e := newEngine(t, hcs)
		hcs.Hang(hcstest.OpWaitProcess, "c1")
		e.onAttach = func(string, libcontainerd.IOPipe) error {
			hcs.Crash("c1", libcontainerd.CodeUnexpectedExit)
			synctest.Wait()
			return nil
		}
		must(t, e.Create("c1", spec(untilStopped...)))
		e.wantExit(t, "c1", time.Minute)
	})
}
