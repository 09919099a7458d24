package libcontainerd

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/sirupsen/logrus"
)

// recorder is a Backend that keeps the states it hears of.
type recorder struct{ states []string }

func (r *recorder) StateChanged(_ string, info StateInfo) error {
	r.states = append(r.states, info.State)
	return nil
}

func (r *recorder) AttachStreams(string, IOPipe) error { return nil }

func recordingClient() (*client, *recorder) {
	r := new(recorder)
	c := &client{settings: defaultSettings(), backend: r, closing: make(chan struct{}), containers: make(map[string]*container)}
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	c.logger = logrus.NewEntry(silent)
	return c, r
}

func TestNothingFollowsTheLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := recordingClient()
		q := newEventQueue(c, "c1")
		q.post(event{info: StateInfo{State: StateExitProcess}})
		q.post(event{info: StateInfo{State: StateExit}, last: true})
		q.post(event{info: StateInfo{State: StateResume}}) // while the others are held back
		q.release()
		synctest.Wait()
		q.post(event{info: StateInfo{State: StatePause}})
		q.postOwn(StateInfo{State: StatePause})
		if want := []string{StateExitProcess, StateExit}; !slices.Equal(r.states, want) {
			t.Errorf("events %q, want %q", r.states, want)
		}
	})
}

// Whoever makes sure that an exit is on its way waits for whoever reports it.
func TestAbandonWaitsForTheReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := recordingClient()
		ctr := newContainer(c, "c1", createSettings{})
		p := newProcess(ctr, "p1", processPlan{})
		p.claim()
		abandoned := make(chan struct{})
		go func() {
			p.abandon()
			close(abandoned)
		}()
		synctest.Wait()
		select {
		case <-abandoned:
			t.Error("it did not wait")
		default:
		}
		close(p.done)
		<-abandoned
	})
}
