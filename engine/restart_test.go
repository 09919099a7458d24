package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/engine"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// exits is a program that ends after a time, each run with the next code; the last
// one repeats.
func exits(after time.Duration, codes ...uint32) hcstest.Option {
	var run atomic.Int32
	return hcstest.WithProgram("exits", func(p *hcstest.Process) uint32 {
		i := int(run.Add(1)) - 1
		select {
		case <-time.After(after):
		case <-p.Killed():
		}
		return codes[min(i, len(codes)-1)]
	})
}

func TestRestartPolicies(t *testing.T) {
	for _, test := range []struct {
		policy   engine.RestartPolicy
		codes    []uint32
		restarts int
		code     uint32
	}{
		{policy: engine.RestartPolicy{}, codes: []uint32{1}, restarts: 0, code: 1},
		{policy: engine.Never(), codes: []uint32{1}, restarts: 0, code: 1},
		{policy: engine.OnFailure(3), codes: []uint32{7}, restarts: 3, code: 7},
		{policy: engine.OnFailure(3), codes: []uint32{7, 0}, restarts: 1, code: 0},
		{policy: engine.OnFailure(0), codes: []uint32{1, 2, 3, 4, 5, 0}, restarts: 5, code: 0},
		{policy: engine.OnFailure(3), codes: []uint32{0}, restarts: 0, code: 0},
	} {
		t.Run(fmt.Sprint(test.policy, test.codes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				eng := newEngine(t, hcstest.New(t, exits(0, test.codes...)))
				c := mustRun(t, eng, "web1", spec("exits"), engine.WithRestart(test.policy))
				exit := mustWait(t, c)
				if exit.Code != test.code || exit.Err != nil {
					t.Errorf("exit %+v, want %d", exit, test.code)
				}
				if n := c.Status().Restarts; n != test.restarts {
					t.Errorf("%d restarts, want %d", n, test.restarts)
				}
			})
		})
	}
}

func TestPausesGrowAndAGoodRunMakesThemShort(t *testing.T) {
	for _, test := range []struct {
		name   string
		run    time.Duration
		pauses []time.Duration
	}{
		{"short runs", 0, []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000}},
		{"good runs", 10 * time.Second, []time.Duration{100, 100, 100}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				eng := newEngine(t, hcstest.New(t, exits(test.run, 1)))
				c := mustRun(t, eng, "web1", spec("exits"), engine.WithRestart(engine.Always()))
				var restart time.Time
				var pauses []time.Duration
				for event := range eng.Events(t.Context(), 0) {
					switch {
					case event.Type == engine.EventRestart:
						restart = event.Time
					case event.Type == engine.EventStart && !restart.IsZero():
						pauses = append(pauses, event.Time.Sub(restart)/time.Millisecond)
					}
					if len(pauses) == len(test.pauses) {
						break
					}
				}
				if !slices.Equal(pauses, test.pauses) {
					t.Errorf("pauses %d, want %d", pauses, test.pauses)
				}
				mustKill(t, c)
			})
		})
	}
}

// Stop ends a container under every policy, while it runs and while it waits.
func TestStopEndsARestart(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration // of the run
		wait  time.Duration
		phase engine.Phase
	}{
		{"running", time.Hour, time.Minute, engine.PhaseRunning},
		{"waiting", 0, 70 * time.Second, engine.PhaseRestarting},
	} {
		for _, timeout := range []time.Duration{0, 10 * time.Second, -1} {
			t.Run(fmt.Sprint(test.name, timeout), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					eng := newEngine(t, hcstest.New(t, exits(test.after, 5)))
					c := mustRun(t, eng, "web1", spec("exits"), engine.WithRestart(engine.UnlessStopped()))
					time.Sleep(test.wait)
					if phase := c.Status().Phase; phase != test.phase {
						t.Errorf("it is %v, want %v", phase, test.phase)
					}
					begun := time.Now()
					must(t, c.Stop(t.Context(), timeout))
					if took := time.Since(begun); took > time.Second {
						t.Errorf("it took %v", took)
					}
					exit := mustWait(t, c)
					if test.phase == engine.PhaseRestarting && exit.Code != 5 {
						t.Errorf("exit %+v", exit)
					}
					time.Sleep(time.Hour)
					if phase := c.Status().Phase; phase != engine.PhaseExited {
						t.Errorf("it is %v", phase)
					}
				})
			})
		}
	}
}

func TestContainerThatWaitsForItsRestartSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := newEngine(t, hcstest.New(t, exits(0, 5)))
		c := mustRun(t, eng, "web1", spec("exits"), engine.WithRestart(engine.Always()))
		time.Sleep(70 * time.Second)
		_, exec := c.Exec(t.Context(), libcontainerd.Process{Args: idle})
		_, stats := c.Stats(t.Context())
		for i, err := range []error{exec, stats, c.Pause(t.Context())} {
			if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "restarting") {
				t.Errorf("%d: got %v", i, err)
			}
		}
		mustKill(t, c)
	})
}

func TestRestartThatFailsEndsTheContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t, exits(time.Second, 5))
		eng := newEngine(t, svc)
		c := mustRun(t, eng, "web1", spec("exits"), engine.WithRestart(engine.Always()))
		svc.Fail(hcstest.OpCreate, "web1", libcontainerd.CodeAccessDenied)
		exit := mustWait(t, c)
		if exit.Code != libcontainerd.UnknownExitCode || !errors.Is(exit.Err, libcontainerd.CodeAccessDenied) {
			t.Errorf("exit %+v", exit)
		}
	})
}

func TestRestartPolicyIsText(t *testing.T) {
	for text, policy := range map[string]engine.RestartPolicy{
		"no": engine.Never(), "on-failure": engine.OnFailure(0), "on-failure:3": engine.OnFailure(3),
		"unless-stopped": engine.UnlessStopped(), "always": engine.Always(),
	} {
		if policy.String() != text {
			t.Errorf("%q, want %q", policy, text)
		}
		var read engine.RestartPolicy
		if err := read.UnmarshalText([]byte(text)); err != nil || read != policy {
			t.Errorf("%q is read as %q, %v", text, read, err)
		}
		data, err := json.Marshal(policy)
		if err != nil || string(data) != `"`+text+`"` {
			t.Errorf("JSON %s, %v", data, err)
		}
	}
	for _, text := range []string{"never", "on-failure:", "on-failure:x", "on-failure:-1", "always:3", "no:1", ":1", "Always"} {
		var p engine.RestartPolicy
		if err := p.UnmarshalText([]byte(text)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q is read as %q, %v", text, p, err)
		}
	}
}

func FuzzRestartPolicy(f *testing.F) {
	for _, text := range []string{"", "no", "on-failure:3", "on-failure:03", "always:1", "on-failure:99999999999999999999"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p, again engine.RestartPolicy
		if err := p.UnmarshalText([]byte(text)); err != nil {
			if !errdefs.IsInvalidArgument(err) || p != (engine.RestartPolicy{}) {
				t.Errorf("%q: %q, %v", text, p, err)
			}
			return
		}
		if err := again.UnmarshalText([]byte(p.String())); err != nil || again != p {
			t.Errorf("%q is written as %q, and read as %q, %v", text, p, again, err)
		}
	})
}
