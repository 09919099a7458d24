package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// somebody is the engine whose containers the commands look at.
type somebody struct {
	libcontainerd.Client
	exits chan libcontainerd.StateInfo
}

func (*somebody) AttachStreams(_ string, pipes libcontainerd.IOPipe) error {
	go io.Copy(io.Discard, pipes.Stdout)
	go io.Copy(io.Discard, pipes.Stderr)
	return pipes.Stdin.Close()
}

func (e *somebody) StateChanged(_ string, state libcontainerd.StateInfo) error {
	if state.State == libcontainerd.StateExit {
		e.exits <- state
	}
	return nil
}

// startEngine creates containers that run until they are stopped.
func startEngine(t *testing.T, service libcontainerd.ComputeService, ids ...string) *somebody {
	t.Helper()
	e := &somebody{exits: make(chan libcontainerd.StateInfo, len(ids))}
	client, err := libcontainerd.NewClient(e, libcontainerd.WithComputeService(service))
	if err != nil {
		t.Fatal(err)
	}
	e.Client = client
	for _, id := range ids {
		spec := libcontainerd.Spec{
			Process: libcontainerd.Process{Args: []string{"ping", "-t", "localhost"}, Cwd: `C:\`},
			Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
			Windows: libcontainerd.Windows{LayerFolder: `C:\scratch`, LayerPaths: []string{`C:\base`}},
		}
		if err := client.Create(id, spec); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// onHost runs test with a host that has two containers.
func onHost(t *testing.T, test func(t *testing.T, e *somebody, host command)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		service := hcstest.NewService()
		e := startEngine(t, service, "web1", "web2")
		time.Sleep(90 * time.Second) // the containers have run for a while
		test(t, e, command{hostHCS: service})
		for _, id := range []string{"web1", "web2"} {
			_ = e.Signal(id, libcontainerd.SignalKill)
		}
		if err := service.Settle(time.Minute); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLookingAtContainers(t *testing.T) {
	onHost(t, func(t *testing.T, _ *somebody, host command) {
		var b strings.Builder
		for _, line := range []string{"ps", "ps --json", "ps --owner nobody", "ps web1", "stats web1", "stats --json web2"} {
			b.WriteString("$ hcsrun " + line + "\n" + host.run(t, strings.Fields(line)...).String())
		}
		compareGolden(t, "inspect", b.String())
	})
}

func TestUnknownContainer(t *testing.T) {
	onHost(t, func(t *testing.T, _ *somebody, host command) {
		for _, line := range []string{"ps none", "stats none", "kill none", "exec none cmd"} {
			got := host.run(t, strings.Fields(line)...)
			if got.code != exitFailure || !strings.Contains(got.stderr, "SYSTEM_NOT_FOUND") || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("%s: %v", line, got)
			}
		}
	})
}

func TestExec(t *testing.T) {
	tests := map[string]struct {
		args  []string
		stdin string
		want  result
	}{
		"output and code": {
			args: []string{"exec", "web1", "cmd", "/c", "echo two  words&exit 3"},
			want: result{code: 3, stdout: "two  words\r\n"},
		},
		"environment and flags of the command": {
			args: []string{"exec", "--env", "A=b=c", "web1", "cmd", "/c", "echo", "%A%", "--env"},
			want: result{stdout: "b=c --env\r\n"},
		},
		"input": {
			args: []string{"exec", "web1", "more"}, stdin: "line\n",
			want: result{stdout: "line\n"},
		},
		"no such program": {
			args: []string{"exec", "web1", "none"},
			want: result{code: exitNoSuchFile},
		},
		"bad environment": {
			args: []string{"exec", "--env", "=x", "web1", "cmd"},
			want: result{code: exitFailure},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			onHost(t, func(t *testing.T, _ *somebody, host command) {
				host.stdin = strings.NewReader(test.stdin)
				got := host.run(t, test.args...)
				if test.want.code < exitFailure && got.stderr != "" {
					t.Errorf("stderr %q", got.stderr)
				}
				got.stderr = ""
				if got != test.want {
					t.Errorf("%v\nwant %v", got, test.want)
				}
			})
		})
	}
}

func TestExecEndsOnInterrupt(t *testing.T) {
	onHost(t, func(t *testing.T, e *somebody, host command) {
		host.interrupts = []time.Duration{time.Second}
		if got := host.run(t, "exec", "web1", "ping", "-t", "localhost"); got.code == 0 || got.code == exitFailure {
			t.Errorf("%v", got)
		}
		if err := e.Signal("web1", 0); err != nil {
			t.Errorf("the container went with it: %v", err)
		}
	})
}

func TestKill(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code uint32
	}{
		"at once":  {[]string{"kill", "web1"}, 1067},
		"in order": {[]string{"kill", "--shutdown", "web1"}, 0xc000013a},
		"its init": {[]string{"kill", "--pid", "INIT", "web1"}, 1067},
	} {
		t.Run(name, func(t *testing.T) {
			onHost(t, func(t *testing.T, e *somebody, host command) {
				for i, arg := range test.args {
					if arg == "INIT" {
						pids, err := e.GetPidsForContainer("web1")
						if err != nil {
							t.Fatal(err)
						}
						test.args[i] = strconv.Itoa(pids[0])
					}
				}
				if got := host.run(t, test.args...); got.code != 0 || got.stderr != "" {
					t.Errorf("%v", got)
				}
				if exit := <-e.exits; exit.ExitCode != test.code {
					t.Errorf("exit code %#x, want %#x", exit.ExitCode, test.code)
				}
			})
		})
	}
}

func TestKillIsBounded(t *testing.T) {
	onHost(t, func(t *testing.T, _ *somebody, host command) {
		service := host.hostHCS.(*hcstest.Service)
		service.Hang(hcstest.OpTerminate, "web1")
		start := time.Now()
		got := host.run(t, "kill", "--timeout", "30s", "web1")
		if got.code != exitFailure || !strings.Contains(got.stderr, "no end within 30s") {
			t.Errorf("%v", got)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("took %v", took)
		}
		service.Heal()
	})
}

func TestReconcileEndsWhatAnOwnerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := hcstest.NewService()
		e := startEngine(t, service, "web1", "web2")
		if err := e.Close(); err != nil { // the engine dies, its containers run on
			t.Fatal(err)
		}
		host := command{hostHCS: service}
		for _, args := range [][]string{{"reconcile"}, {"reconcile", "somebody"}} {
			if got := host.run(t, args...); got.code != 0 || strings.Contains(got.stdout, "web") {
				t.Errorf("%v: %v", args, got)
			}
		}
		want := result{stdout: "ID    OWNER   STATE\nweb1  docker  Running\nweb2  docker  Running\n"}
		got := host.run(t, "reconcile", "docker")
		if got.code != exitFailure || got.stdout != want.stdout || !strings.Contains(got.stderr, "--yes") {
			t.Errorf("without --yes: %v", got)
		}
		if got := host.run(t, "reconcile", "docker", "--yes"); got != want {
			t.Errorf("%v", got)
		}
		if got := host.run(t, "reconcile", ""); got.code != exitFailure {
			t.Errorf("everybody's: %v", got)
		}
		if err := service.Settle(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

func TestDoctor(t *testing.T) {
	healthy := symptoms{
		os:         "windows",
		host:       libcontainerd.Host{Build: 20348, Processors: 8},
		isolations: []libcontainerd.Isolation{libcontainerd.IsolationProcess, libcontainerd.IsolationHyperV},
		machine: machine{
			services: map[string]string{serviceHCS: running, serviceHNS: running},
			admin:    true,
		},
	}
	tests := map[string]struct {
		change func(*symptoms)
		want   []string // what is not ok
	}{
		"healthy":          {func(*symptoms) {}, nil},
		"not Windows":      {func(s *symptoms) { s.os = "linux" }, []string{"failure windows"}},
		"no vmcompute.dll": {func(s *symptoms) { s.connectErr = &libcontainerd.Error{Op: "connect", Code: 126} }, []string{"failure hcs"}},
		"service is gone": {func(s *symptoms) {
			s.listErr = &libcontainerd.Error{Op: "list", Code: libcontainerd.CodeRPCUnavailable}
			s.machine.services = map[string]string{serviceHCS: "stopped", serviceHNS: running}
		}, []string{"failure hcs", "warning service"}},
		"no feature": {func(s *symptoms) {
			s.machine.services = map[string]string{serviceHCS: missing, serviceHNS: missing}
		}, []string{"failure service", "warning service"}},
		"no hypervisor": {func(s *symptoms) {
			s.isolations = []libcontainerd.Isolation{libcontainerd.IsolationProcess}
		}, []string{"warning hyper-v"}},
		"no rights":   {func(s *symptoms) { s.machine.admin = false }, []string{"failure rights"}},
		"Server 2016": {func(s *symptoms) { s.host.Build = 14393 }, []string{"warning windows"}},
		"override":    {func(s *symptoms) { s.overrides = overrides([]string{"PATH=x", "hcsshim_timeout_systemcreate=5"}) }, []string{"warning environment"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := healthy
			test.change(&s)
			var got []string
			for _, f := range diagnose(s) {
				if f.Verdict == ok {
					continue
				}
				got = append(got, string(f.Verdict)+" "+f.Name)
				if f.Detail == "" || f.Remedy == "" {
					t.Errorf("no detail or no remedy: %+v", f)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDoctorOnTheSimulator(t *testing.T) {
	got := command{}.run(t, "doctor", "--simulate")
	compareGolden(t, "doctor", got.String())
	if got := (command{}).run(t, "doctor", "--simulate", "--json"); got.code != 0 || !strings.HasPrefix(got.stdout, "[") {
		t.Errorf("%v", got)
	}
	if got := (command{}).run(t, "doctor", "--tp4"); got.code != 1 {
		t.Errorf("%v", got)
	}
}

func TestWithinReturnsWhatTheWorkReturns(t *testing.T) {
	cause := errors.New("cause")
	if err := within(time.Minute, "end", "web1", func() error { return cause }); !errors.Is(err, cause) {
		t.Error(err)
	}
	hang := make(chan struct{})
	defer close(hang)
	if err := within(0, "end", "web1", func() error { <-hang; return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
