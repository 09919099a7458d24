package hcstest_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd/hcstest"
)

func TestSimulatorPassesSuite(t *testing.T) {
	svc := hcstest.New(t)
	if err := hcstest.TestComputeService(svc, hcstest.SuiteConfig{}); err != nil {
		t.Error(err)
	}
}

func TestSimulatorPassesSuiteInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t)
		if err := hcstest.TestComputeService(svc, hcstest.SuiteConfig{}); err != nil {
			t.Error(err)
		}
	})
}

func TestExampleOfSynctest(t *testing.T) { stopsThoughTheShutdownHangs(t) }

var errBroken = errors.New("broken")

// TestSuiteNamesBrokenBehaviours breaks the simulator and sees the suite fail.
func TestSuiteNamesBrokenBehaviours(t *testing.T) {
	tests := []struct {
		name string
		rule hcstest.Rule
		want string
	}{
		{"terminate that is forgotten", hcstest.Rule{Op: hcstest.OpStop, Fault: hcstest.Fault{Hang: true}}, "a terminate ends processes, streams and waits, and may be repeated: no answer within"},
		{"second kill that fails", hcstest.Rule{Op: hcstest.OpKill, Skip: 3, Fault: hcstest.Fault{Err: errBroken}}, "a process can be killed, and killed again"},
		{"lost exit", hcstest.Rule{Op: hcstest.OpWaitProcess, Fault: hcstest.Fault{Hang: true}}, "every wait for a process ends with its exit: no answer within"},
		{"lost output", hcstest.Rule{Op: hcstest.OpStdio, Fault: hcstest.Fault{Err: errBroken}}, "a program's output is read to its end, and its exit code had: stdio:"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := hcstest.NewService()
				svc.Inject(test.rule)
				err := hcstest.TestComputeService(svc, hcstest.SuiteConfig{Timeout: time.Minute})
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
				svc.Heal()
				if err := svc.Settle(time.Minute); err != nil {
					t.Error("after healing:", err)
				}
			})
		})
	}
}
