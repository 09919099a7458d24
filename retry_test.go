package libcontainerd_test

import (
	"errors"
	"fmt"
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

// Technical Preview 4 fails at random with these codes. Create tries again, four times
// at most, 50 ms apart. See lessons_test.go: D1–D3.
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

// The log says which attempt of how many failed. See lessons_test.go: D3.
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

// Signal and Close end the wait for the next attempt of a create. See
// lessons_test.go: D4.
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
