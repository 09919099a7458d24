package libcontainerd_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// An exit after a restart that failed says so if a compute system may still be there: the
// one of the failed start, or the one before it.
func TestExitOfAFailedRestartTellsWhatMayStillRun(t *testing.T) {
	for name, arrange := range map[string]func(hcs *hcstest.Service){
		"of the failed start": func(hcs *hcstest.Service) {
			hcs.Inject(hcstest.Rule{Op: hcstest.OpCreateProcess, Skip: 1, Times: 1, Fault: hcstest.Fault{Err: libcontainerd.CodeFileNotFound}})
			hcs.Inject(hcstest.Rule{Op: hcstest.OpStop, Skip: 1, Fault: hcstest.Fault{Hang: true}})
		},
		"of the life before": func(hcs *hcstest.Service) { hcs.Hang(hcstest.OpStop, "c1") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hcs := hcstest.New(t)
				p := newEndEngine(t, hcs)
				arrange(hcs)
				rm := &restartManager{answers: []func() (bool, chan error, error){restartWith(closedChannel())}}
				must(t, p.Create("c1", spec("cmd", "/c", "exit 0"), libcontainerd.WithRestartManager(rm)))
				exit := p.wantExit(t, "c1", 2*time.Hour)
				if !errors.Is(exit.Err, libcontainerd.ErrMayStillRun) {
					t.Errorf("exit: %v", exit.Err)
				}
				hcs.Heal()
				time.Sleep(10 * time.Minute)
				if n := len(p.ended); n != 1 {
					t.Errorf("end told %d times", n)
				}
			})
		})
	}
}
