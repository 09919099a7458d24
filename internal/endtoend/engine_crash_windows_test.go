package endtoend

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	pkgengine "github.com/seed-609fd248/libcontainerd/engine"
	"github.com/sirupsen/logrus"
)

// openEngine makes an engine of package engine on a state directory. Its containers
// get an input that does not end.
func openEngine(dir string) (*pkgengine.Engine, error) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return pkgengine.New(pkgengine.WithStateDir(dir), pkgengine.WithLogger(logrus.NewEntry(log)),
		pkgengine.WithRestoredStdio(func(string, map[string]string) (io.Reader, io.Writer, io.Writer) {
			stdin, _ := io.Pipe()
			return stdin, nil, nil
		}))
}

// runUntilKilled is a process that runs an engine, and is killed.
func runUntilKilled(dir string) error {
	eng, err := openEngine(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	stdin, _ := io.Pipe()
	for id, policy := range map[string]pkgengine.RestartPolicy{"comes-back": pkgengine.UnlessStopped(), "ends": pkgengine.Never()} {
		if _, err := eng.Run(ctx, id, testSpec("cmd"), pkgengine.WithStdio(stdin, nil, nil), pkgengine.WithRestart(policy)); err != nil {
			return err
		}
	}
	fmt.Println("up")
	for i := 0; ; i++ { // no process, because the stand-in may leave one half made
		if _, err := eng.Run(ctx, fmt.Sprint("fails-", i), testSpec("no-such-program")); !errdefs.IsNotFound(err) {
			return err
		}
	}
}

// A process that runs an engine is killed at any moment. The next engine knows
// its containers, and reports or repairs their state. Each process has its own
// stand-in, so no HCS outlives the process.
func TestEngineOfAKilledProcessIsFollowedByOneThatKnowsItsContainers(t *testing.T) {
	standIn(t)
	for round := range 5 {
		dir := t.TempDir()
		child := exec.Command(os.Args[0], "inside", "engine "+dir)
		child.Env = append(os.Environ(), "VMCOMPUTE_LOG=") // this test does not count its handles
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "up\n" {
			t.Errorf("the engine says %q, %v", line, err)
		}
		time.Sleep(time.Duration(round*37) * time.Millisecond) // at any moment of its work
		if err := child.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = child.Wait() // it was killed
		followKilled(t, dir)
		if t.Failed() {
			return
		}
	}
}

// followKilled is the next engine.
func followKilled(t *testing.T, dir string) {
	t.Helper()
	eng, err := openEngine(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for event := range eng.Events(ctx, 0) {
		if event.Type == pkgengine.EventStart && event.ContainerID == "comes-back" {
			break
		}
	}
	known := 0
	for _, c := range eng.Containers() {
		status := c.Status()
		switch c.ID() {
		case "comes-back":
			known++
			if status.Phase != pkgengine.PhaseRunning || status.Restarts != 1 {
				t.Errorf("%s is %+v", c.ID(), status)
			}
		case "ends":
			known++
			if status.Phase != pkgengine.PhaseExited || status.ExitCode != libcontainerd.RestoreExitCode {
				t.Errorf("%s is %+v", c.ID(), status)
			}
		default:
			if status.Phase != pkgengine.PhaseExited {
				t.Errorf("%s is %+v", c.ID(), status)
			}
		}
		if err := c.Kill(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Remove(ctx); err != nil {
			t.Error(err)
		}
	}
	if known != 2 {
		t.Errorf("%d of the two containers are known", known)
	}
	if err := eng.Close(ctx); err != nil {
		t.Error(err)
	}
}
