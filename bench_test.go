package libcontainerd_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/sirupsen/logrus"
)

// The benchmarks of the client. Each that has a via=hcs drives the ComputeService
// directly, in the way of the plainest engine: what via=client takes more is the
// client's own cost. BENCHMARKS.md says what they show.

// benchEngine is a Backend that reads output to its end at once, and tells of exits.
type benchEngine struct {
	libcontainerd.Client
	service *instant
	exits   chan time.Time // when an exit of a container or a process was told
	pipes   func(libcontainerd.IOPipe) error
}

func newBenchEngine(b *testing.B) *benchEngine {
	b.Helper()
	e := &benchEngine{
		service: newInstant(),
		exits:   make(chan time.Time, 1),
		pipes:   func(pipe libcontainerd.IOPipe) error { return readToEnd(pipe.Stdout, pipe.Stderr) },
	}
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	client, err := libcontainerd.NewClient(e,
		libcontainerd.WithComputeService(e.service),
		libcontainerd.WithLogger(logrus.NewEntry(logger)))
	if err != nil {
		b.Fatal(err)
	}
	e.Client = client
	b.Cleanup(func() { noError(b, client.Close()) })
	return e
}

func (e *benchEngine) AttachStreams(_ string, pipe libcontainerd.IOPipe) error { return e.pipes(pipe) }

func (e *benchEngine) StateChanged(_ string, info libcontainerd.StateInfo) error {
	if info.State == libcontainerd.StateExit || info.State == libcontainerd.StateExitProcess {
		e.exits <- time.Now()
	}
	return nil
}

// run creates a container that runs until it is ended.
func (e *benchEngine) run(b *testing.B, id string) *instantSystem {
	b.Helper()
	noError(b, e.Create(id, benchSpec("run")))
	return e.service.find(id)
}

// stop ends a container in which so many processes run, and waits until all that is
// told.
func (e *benchEngine) stop(id string, processes int) {
	e.service.find(id).first().end(0)
	for range processes {
		<-e.exits
	}
}

// benchSpec is a container as engines make them: two layers, a mount, an endpoint,
// limits for memory and CPU.
func benchSpec(commandLine string) libcontainerd.Spec {
	s := spec(commandLine)
	s.Mounts = []libcontainerd.Mount{{Destination: `C:\data`, Source: `D:\data`}}
	s.Windows.Networking = &libcontainerd.Networking{EndpointList: []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"}}
	s.Windows.Resources = &libcontainerd.Resources{
		CPU:    &libcontainerd.CPU{Shares: new(uint64(512))},
		Memory: &libcontainerd.Memory{Limit: new(int64(1 << 30))},
	}
	return s
}

// noError is called in loops that are measured, where a Helper would count.
func noError(b *testing.B, err error) { //nolint:thelper // it calls Helper when it matters
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// loop measures f. What ended before it begins is not counted.
func loop(b *testing.B, f func()) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

// BenchmarkLife is one life: create, start, init process, its end, shutdown, exit.
func BenchmarkLife(b *testing.B) {
	b.Run("via=hcs", func(b *testing.B) {
		service := newInstant()
		document, err := libcontainerd.Configuration("web", benchSpec(endsAtOnce), service)
		noError(b, err)
		loop(b, func() {
			c, err := runBare(service, "web", document, endsAtOnce)
			noError(b, err)
			noError(b, c.finish())
		})
	})
	b.Run("via=client", func(b *testing.B) {
		e := newBenchEngine(b)
		spec := benchSpec(endsAtOnce)
		loop(b, func() {
			noError(b, e.Create("web", spec))
			<-e.exits
		})
	})
}

// BenchmarkExec is one exec'd process, from the call until its exit is told.
func BenchmarkExec(b *testing.B) {
	b.Run("via=hcs", func(b *testing.B) {
		system := runBareUntilStopped(b)
		loop(b, func() { noError(b, execBare(system)) })
	})
	b.Run("via=client", func(b *testing.B) {
		e := newBenchEngine(b)
		e.run(b, "web")
		loop(b, func() { e.exec(b, "web", "exec") })
		e.stop("web", 1)
	})
}

func runBareUntilStopped(b *testing.B) libcontainerd.ComputeSystem {
	b.Helper()
	c, err := runBare(newInstant(), "web", "", "run")
	noError(b, err)
	b.Cleanup(func() { noError(b, c.system.Terminate()) })
	return c.system
}

// execBare runs a process that ends at once.
func execBare(system libcontainerd.ComputeSystem) error {
	process, err := startBare(system, endsAtOnce)
	if err != nil {
		return err
	}
	if _, err := process.Wait(); err != nil {
		return err
	}
	return process.Close()
}

// exec runs a process that ends at once, and waits until that is told.
func (e *benchEngine) exec(b *testing.B, id, name string) { //nolint:thelper // it is measured
	noError(b, e.AddProcess(id, name, libcontainerd.Process{Args: []string{endsAtOnce}}))
	<-e.exits
}

func BenchmarkStats(b *testing.B) {
	b.Run("via=hcs", func(b *testing.B) {
		system := runBareUntilStopped(b)
		loop(b, func() {
			_, err := system.Statistics()
			noError(b, err)
		})
	})
	b.Run("via=client", func(b *testing.B) {
		e := newBenchEngine(b)
		e.run(b, "web")
		loop(b, func() {
			_, err := e.Stats("web")
			noError(b, err)
		})
		e.stop("web", 1)
	})
}

// BenchmarkBoundedCallFloor is the least that a call with a time limit costs in
// Go: a goroutine that makes it, a channel for the answer, a timer.
func BenchmarkBoundedCallFloor(b *testing.B) {
	b.Run("timer=new", func(b *testing.B) {
		loop(b, func() {
			timer := time.NewTimer(time.Minute)
			noError(b, boundedStats(timer))
			timer.Stop()
		})
	})
	b.Run("timer=reused", func(b *testing.B) {
		timer := time.NewTimer(time.Minute)
		loop(b, func() {
			timer.Reset(time.Minute)
			noError(b, boundedStats(timer))
			timer.Stop()
		})
	})
}

func boundedStats(limit *time.Timer) error {
	type answer struct {
		stats libcontainerd.Statistics
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		stats, err := new(instantSystem).Statistics()
		answered <- answer{stats, err}
	}()
	select {
	case a := <-answered:
		return a.err
	case <-limit.C:
		return errors.New("no answer")
	}
}

// BenchmarkExitLatency is the time from the end of the init process until the exit
// is told; HCS answers everything between at once.
func BenchmarkExitLatency(b *testing.B) {
	b.Run("via=hcs", func(b *testing.B) {
		service := newInstant()
		told := make(chan time.Time)
		latency(b, func() time.Duration {
			c, err := runBare(service, "web", "", "run")
			noError(b, err)
			go func() {
				if err := c.finish(); err != nil {
					b.Error(err)
				}
				told <- time.Now()
			}()
			return endOf(service.find("web").first(), told)
		})
	})
	b.Run("via=client", func(b *testing.B) {
		e := newBenchEngine(b)
		latency(b, func() time.Duration { return endOf(e.run(b, "web").first(), e.exits) })
	})
}

// endOf ends a process that is waited for, and returns how long it took to tell.
func endOf(p *instantProcess, told <-chan time.Time) time.Duration {
	time.Sleep(50 * time.Microsecond) // until the waits have begun
	ended := time.Now()
	p.end(0)
	return (<-told).Sub(ended)
}

// latency reports what f measures, as the time of an operation.
func latency(b *testing.B, f func() time.Duration) {
	b.Helper()
	var sum time.Duration
	n := 0
	for b.Loop() {
		sum += f()
		n++
	}
	b.ReportMetric(float64(sum.Nanoseconds())/float64(n), "ns/op")
}

// BenchmarkManyExecs is an exec'd process beside others that run in its container.
func BenchmarkManyExecs(b *testing.B) {
	e := newBenchEngine(b)
	e.run(b, "web")
	running := 0
	for _, n := range []int{0, 10, 100, 999} {
		for ; running < n; running++ {
			noError(b, e.AddProcess("web", fmt.Sprint("run", running), libcontainerd.Process{Args: []string{"run"}}))
		}
		b.Run(fmt.Sprintf("running=%d", n), func(b *testing.B) {
			loop(b, func() { e.exec(b, "web", "exec") })
		})
	}
	e.stop("web", running+1)
}

// BenchmarkListing is the list of the processes of a container, which must not
// cost more for each of them when there are many.
func BenchmarkListing(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		e := newBenchEngine(b)
		e.run(b, "web")
		for i := range n - 1 {
			noError(b, e.AddProcess("web", fmt.Sprint("run", i), libcontainerd.Process{Args: []string{"run"}}))
		}
		perProcess := func(b *testing.B, list func() (int, error)) {
			b.Helper()
			loop(b, func() {
				got, err := list()
				noError(b, err)
				if got != n {
					b.Fatalf("%d processes, want %d", got, n)
				}
			})
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/process")
		}
		b.Run(fmt.Sprintf("of=pids/processes=%d", n), func(b *testing.B) {
			perProcess(b, func() (int, error) {
				pids, err := e.GetPidsForContainer("web")
				return len(pids), err
			})
		})
		b.Run(fmt.Sprintf("of=summaries/processes=%d", n), func(b *testing.B) {
			perProcess(b, func() (int, error) {
				summaries, err := e.Summary("web")
				return len(summaries), err
			})
		})
		e.stop("web", n)
	}
}

// BenchmarkStreams is 1 GiB of a container's output, read 32 KiB at a time from a
// pipe of the operating system.
func BenchmarkStreams(b *testing.B) {
	b.Run("via=pipe", func(b *testing.B) {
		r, w := newPipe(b)
		readGiB(b, r, w)
	})
	b.Run("via=client", func(b *testing.B) {
		e := newBenchEngine(b)
		var stdout io.Reader
		e.pipes = func(pipe libcontainerd.IOPipe) error {
			stdout = pipe.Stdout
			return nil
		}
		system := e.run(b, "web")
		r, w := newPipe(b)
		system.next = &instantProcess{stdout: r, exited: make(chan struct{})}
		noError(b, e.AddProcess("web", "writer", libcontainerd.Process{Args: []string{"run"}}))
		readGiB(b, stdout, w)
		e.stop("web", 2)
	})
}

func newPipe(b *testing.B) (r, w *os.File) {
	b.Helper()
	r, w, err := os.Pipe()
	noError(b, err)
	b.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// readGiB reads what a writer writes at the same time.
func readGiB(b *testing.B, r io.Reader, w io.Writer) {
	b.Helper()
	const size, block = 1 << 30, 32 << 10
	buffer := make([]byte, block)
	b.SetBytes(size)
	loop(b, func() {
		var writing sync.WaitGroup
		writing.Go(func() {
			text := make([]byte, block)
			for range size / block {
				if _, err := w.Write(text); err != nil {
					b.Error(err)
					return
				}
			}
		})
		for left := size; left > 0; {
			n, err := r.Read(buffer[:min(left, block)])
			noError(b, err)
			left -= n
		}
		writing.Wait()
	})
}
