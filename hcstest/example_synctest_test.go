package hcstest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// HCS does not answer a shutdown. Signal gives up after the call timeout of five
// minutes. In the bubble they pass at once, and the test can ask for exactly five.
func stopsThoughTheShutdownHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := hcstest.New(t) // made inside the bubble, and checked when the test ends
		engine := newEngine()
		client, err := libcontainerd.NewClient(engine, libcontainerd.WithComputeService(svc))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Create("web1", webSpec("ping", "-t", "localhost")); err != nil {
			t.Fatal(err)
		}
		held := svc.Hang(hcstest.OpShutdown, "web1")
		defer held.Release()

		asked := time.Now()
		err = client.Signal("web1", libcontainerd.SignalTerminate)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the signal was answered %v", err)
		}
		if err := client.Signal("web1", libcontainerd.SignalKill); err != nil {
			t.Fatal(err)
		}
		<-engine.exit
		if waited := time.Since(asked); waited != libcontainerd.DefaultCallTimeout {
			t.Errorf("the container ended after %v", waited)
		}
	})
}

// A test with testing/synctest spends no time on timeouts.
// stopsThoughTheShutdownHangs is such a test; in an engine its name begins with
// Test.
func Example_synctest() {
	_ = stopsThoughTheShutdownHangs
}
