package libcontainerd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
)

// Lessons 39, 41, 42, D1, D6, D12–D15, P1: a start that fails at any step.
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

func failing(op hcstest.Op, code libcontainerd.Code) func(*engine) {
	return func(e *engine) { e.hcs.Fail(op, "", code) }
}

func failingDone(op hcstest.Op, code libcontainerd.Code) func(*engine) {
	return func(e *engine) {
		e.hcs.Inject(hcstest.Rule{Op: op, Times: 1, Fault: hcstest.Fault{Err: code, Done: true}})
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// A call that never comes back fails Create within its limits, and what it does
// in the end is undone.
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

// D1–D3 and behaviour of Technical Preview 4: which codes, how often, how soon.
func TestCreateIsTriedAgainOnTechnicalPreview4(t *testing.T) {
	retried := []libcontainerd.Code{1168, 2, 1222, 161, 0x800401f3, 0x800710d8, 4312, 0x80070002}
	for _, code := range retried {
		t.Run(fmt.Sprintf("%#x", uint32(code)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, hcstest.New(t, hcstest.WithTP4()))
				e.hcs.Fail(hcstest.OpCreate, "", code, code, code, code)
				began := time.Now()
				must(t, e.Create("c1", spec("cmd", "/c", "exit 0")))
				if took := time.Since(began); took != 200*time.Millisecond {
					t.Errorf("four retries took %v, want 4 × 50 ms", took)
				}
				e.awaitExit("c1")
			})
		})
	}
}

func TestCreateGivesUpAfterTheLastAttempt(t *testing.T) {
	never := libcontainerd.RetryPolicy{}
	thrice := libcontainerd.RetryPolicy{Attempts: 3, Delay: time.Second, Growth: 2, Codes: []libcontainerd.Code{libcontainerd.CodeTimeout}}
	plain := errors.New("not of HCS")
	for name, c := range map[string]struct {
		tp4    bool
		policy *libcontainerd.RetryPolicy
		answer error
		calls  int
		took   time.Duration
	}{
		"TP4":                          {true, nil, libcontainerd.CodeNotFound, 5, 200 * time.Millisecond},
		"TP4, another code":            {true, nil, libcontainerd.CodeAccessDenied, 1, 0},
		"TP4, no code at all":          {true, nil, plain, 1, 0},
		"TP4, a code that was wrapped": {true, nil, fmt.Errorf("wrapped: %w", libcontainerd.CodeNotFound), 5, 200 * time.Millisecond},
		"TP4, policy of the engine":    {true, &never, libcontainerd.CodeNotFound, 1, 0},
		"released Windows":             {false, nil, libcontainerd.CodeNotFound, 1, 0},
		"policy of the engine":         {false, &thrice, libcontainerd.CodeTimeout, 3, 3 * time.Second},
		"policy, another code":         {false, &thrice, libcontainerd.CodeNotFound, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var host []hcstest.Option
				if c.tp4 {
					host = append(host, hcstest.WithTP4())
				}
				var options []libcontainerd.RemoteOption
				if c.policy != nil {
					options = append(options, libcontainerd.WithRetryPolicy(*c.policy))
				}
				e := newEngine(t, hcstest.New(t, host...), options...)
				failed := e.hcs.Inject(hcstest.Rule{Op: hcstest.OpCreate, Fault: hcstest.Fault{Err: c.answer}})
				began := time.Now()
				err := e.Create("c1", spec("cmd"))
				if !errors.Is(err, c.answer) {
					t.Errorf("got error %v, want %v", err, c.answer)
				}
				if failed.Hits() != c.calls {
					t.Errorf("%d calls, want %d", failed.Hits(), c.calls)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				e.wantEvents(t)
			})
		})
	}
}

// D3: the log tells which attempt of how many failed.
func TestAttemptsAreCountedInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hook := test.NewNullLogger()
		e := newEngine(t, hcstest.New(t, hcstest.WithTP4()), libcontainerd.WithLogger(logrus.NewEntry(logger)))
		inject(hcstest.OpCreate, hcstest.Fault{Err: libcontainerd.CodeNotFound})(e.hcs)
		if err := e.Create("c1", spec("cmd")); !errdefs.IsNotFound(err) {
			t.Errorf("got %v", err)
		}
		var got []string
		for _, entry := range hook.AllEntries() {
			if entry.Level == logrus.WarnLevel {
				got = append(got, fmt.Sprintf("%v of %v, %v", entry.Data["attempt"], entry.Data["attempts"], entry.Data["container"]))
			}
		}
		if diff := cmp.Diff([]string{"1 of 5, c1", "2 of 5, c1", "3 of 5, c1", "4 of 5, c1"}, got); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
	})
}

// D4: nobody waits for the next attempt of a create that is not wanted any more.
func TestWaitForTheNextAttemptCanBeEnded(t *testing.T) {
	for name, end := range map[string]func(e *engine) error{
		"signal": func(e *engine) error { return e.Signal("c1", 9) },
		"close":  func(e *engine) error { return e.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, nil, libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{
					Attempts: 2, Delay: time.Hour, Codes: []libcontainerd.Code{libcontainerd.CodeBusy},
				}))
				e.hcs.Fail(hcstest.OpCreate, "c1", libcontainerd.CodeBusy)
				began := time.Now()
				created := make(chan error, 1)
				go func() { created <- e.Create("c1", spec(untilStopped...)) }()
				synctest.Wait()
				must(t, end(e))
				if err := <-created; !errdefs.IsAborted(err) && !errdefs.IsFailedPrecondition(err) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// D5: of two creates of one id one reaches HCS.
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

// The 2016 client logged the whole spec.
func TestSecretsAreNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "hush"
		var log strings.Builder
		logger := logrus.New()
		logger.SetOutput(&log)
		logger.SetLevel(logrus.TraceLevel)
		e := newEngine(t, nil, libcontainerd.WithLogger(logrus.NewEntry(logger)))
		s := spec("cmd", "/c", "exit 1")
		s.Process.Env = []string{"PASSWORD=" + secret, "PASSWORD=again " + secret}
		s.Windows.CredentialSpec = `{"secret":"` + secret + `"}`
		s.Windows.FirstStart = true
		must(t, e.Create("c1", s, libcontainerd.WithRestartManager(&restartManager{})))
		e.awaitExit("c1")
		e.hcs.Fail(hcstest.OpCreate, "", libcontainerd.CodeInvalidJSON)
		if err := e.Create("c1", s); err == nil || strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("got %+v", err)
		}
		e.hcs.Fail(hcstest.OpCreateProcess, "", libcontainerd.CodeFileNotFound)
		if err := e.Create("c1", s); err == nil || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("got %+v", err)
		}
		if text := log.String(); text == "" || strings.Contains(text, secret) {
			t.Errorf("log: %s", text)
		}
	})
}

// A layer or a port in use is of the same kind.
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

// Issue of old: "already exists" of an engine that died.
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

func document(t *testing.T, hcs libcontainerd.ComputeService, id string, s libcontainerd.Spec) string {
	t.Helper()
	d, err := libcontainerd.Configuration(id, s, hcs)
	must(t, err)
	return d
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

// A container that is signalled before it runs never does.
func TestSignalEndsACreateThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		hung := e.hcs.Hang(hcstest.OpStart, "c1")
		created := make(chan error, 1)
		go func() { created <- e.Create("c1", spec(untilStopped...)) }()
		<-hung.Met()
		if err := e.Signal("c1", 0); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("a container in creation runs: %v", err)
		}
		must(t, e.Signal("c1", 9))
		hung.Release()
		if err := <-created; !errdefs.IsAborted(err) {
			t.Errorf("got %v", err)
		}
		e.wantEvents(t)
	})
}

func TestNewClientWithoutHCSSaysWhatToDo(t *testing.T) {
	if _, err := libcontainerd.NewClient(nil, libcontainerd.WithComputeService(hcstest.New(t))); !errdefs.IsInvalidArgument(err) {
		t.Errorf("nil backend: %v", err)
	}
	for name, option := range map[string]libcontainerd.RemoteOption{
		"service":           libcontainerd.WithComputeService(nil),
		"owner":             libcontainerd.WithOwner(""),
		"shutdown timeout":  libcontainerd.WithShutdownTimeout(0),
		"terminate timeout": libcontainerd.WithTerminateTimeout(-1),
		"logger":            libcontainerd.WithLogger(nil),
		"attempts":          libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{Attempts: -1}),
		"growth":            libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{Growth: 0.5}),
		"delay":             libcontainerd.WithRetryPolicy(libcontainerd.RetryPolicy{Delay: -1}),
		"option":            nil,
	} {
		if _, err := libcontainerd.New("", option); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseFailsWhileACallHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil, libcontainerd.WithCallTimeout(time.Minute))
		must(t, e.Create("c1", spec(untilStopped...)))
		hung := e.hcs.Hang(hcstest.OpStatistics, "c1")
		if _, err := e.Stats("c1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stats: %v", err)
		}
		began := time.Now()
		if err := e.Close(); !errdefs.IsDeadlineExceeded(err) {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %v", took)
		}
		hung.Release()
		synctest.Wait()
		terminate(t, e.hcs, "c1")
	})
}

func TestCloseDoesNotWaitForALeftover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		e.hcs.Fail(hcstest.OpStart, "c1", libcontainerd.CodeUnexpectedExit)
		stop := e.hcs.Hang(hcstest.OpStop, "c1")
		if err := e.Create("c1", spec(untilStopped...)); err == nil {
			t.Error("started")
		}
		time.Sleep(time.Second) // it is being ended in the background
		began := time.Now()
		if err := e.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("close took %v: %v", time.Since(began), err)
		}
		stop.Release()
	})
}

func TestCloseClosesWhatHCSRefusedToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, nil)
		must(t, e.Create("c1", spec(untilStopped...)))
		both(refusedTwice(hcstest.OpClose), refusedTwice(hcstest.OpCloseProcess))(e.hcs)
		began := time.Now()
		if err := e.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("close took %v: %v", time.Since(began), err)
		}
		terminate(t, e.hcs, "c1")
	})
}

func list(t *testing.T, hcs libcontainerd.ComputeService) []libcontainerd.ComputeSystemInfo {
	t.Helper()
	systems, err := hcs.ComputeSystems("")
	must(t, err)
	return systems
}

// terminate ends a system that a closed client has left.
func terminate(t *testing.T, hcs libcontainerd.ComputeService, id string) {
	t.Helper()
	s, err := hcs.OpenComputeSystem(id)
	must(t, err)
	must(t, s.Terminate())
	s.Wait()
	must(t, s.Close())
}
