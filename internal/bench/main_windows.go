// Command bench compares a client with the plainest use of hcsshim. It runs both
// in turn in one program, and prints the cost of the client in multiples of the
// other:
//
//	make bench-windows
//
// Both drive the same containers, with two layers, a mount, an endpoint and
// limits. The processes start no program (see internal/vmcompute), so the command
// runs on the stand-in vmcompute.dll only.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/windows"
)

// driver is an engine that runs containers in one of the two ways.
type driver interface {
	name() string

	// life runs a container whose init process ends at once, until its end is
	// known and its output has been read. With exec it first runs an exec that
	// does the same.
	life(id string, exec bool) error

	// start runs a container until stop.
	start(id string) error
	stop(id string) error

	// document makes the JSON that creates a container, with remembered layer ids.
	document() (string, error)
}

func main() {
	rounds := flag.Int("rounds", 25, "rounds, of which the median counts")
	lives := flag.Int("lives", 64, "lives of a round")
	idle := flag.Int("idle", 200, "containers that are idle at a time")
	past := flag.Int("past", 5000, "lives after which what is left is measured")
	flag.Parse()
	logrus.SetOutput(io.Discard) // hcsshim's own
	if err := run(*rounds, *lives, *idle, *past); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(rounds, lives, idle, past int) error {
	bare := newBare()
	ours, err := newClient()
	if err != nil {
		return err
	}
	drivers := []driver{bare, ours} // in this order
	fmt.Printf("%-50s %14s %14s %8s\n", "", bare.name(), ours.name(), "ratio")
	for _, m := range []struct {
		rounds  int
		measure measure
	}{
		{rounds, func(d driver) (figures, error) { return ofLives(d, lives, 1, false) }},
		{rounds, func(d driver) (figures, error) { return ofLives(d, lives, 16, false) }},
		{rounds, func(d driver) (figures, error) { return ofLives(d, lives, 1, true) }},
		{rounds, func(d driver) (figures, error) { return ofIdle(d, idle) }},
		{rounds, ofDocuments},
		{1, func(d driver) (figures, error) { return ofPast(d, past) }},
	} {
		if err := compare(drivers, m.rounds, m.measure); err != nil {
			return err
		}
	}
	return ours.close()
}

// figures are what one round of one driver has given, each with its name.
type figures []figure

type figure struct {
	name  string
	value float64
}

// processor is a figure that is counted in ticks of milliseconds. Short rounds
// have so few ticks that their median would say little.
const processor = "microseconds of CPU"

type measure func(driver) (figures, error)

// compare measures the drivers in turn and prints medians or means.
func compare(drivers []driver, rounds int, measure measure) error {
	var names []string
	values := make(map[string][2][]float64) // by name, of each driver
	for round := range rounds + 1 {         // the first one warms up
		for i, d := range drivers {
			figures, err := measure(d)
			if err != nil {
				return fmt.Errorf("%s: %w", d.name(), err)
			}
			for _, f := range figures {
				v, known := values[f.name]
				if !known {
					names = append(names, f.name)
				}
				if round > 0 {
					v[i] = append(v[i], f.value)
				}
				values[f.name] = v
			}
		}
	}
	for _, name := range names {
		middle := median
		if strings.HasSuffix(name, processor) {
			middle = mean
		}
		theirs, ours := middle(values[name][0]), middle(values[name][1])
		ratio := "-"
		if theirs >= 1 {
			ratio = fmt.Sprintf("%.2fx", ours/theirs)
		}
		fmt.Printf("%-50s %14.1f %14.1f %8s\n", name, theirs, ours, ratio)
	}
	return nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// ids numbers containers, so that each has a new id.
var ids atomic.Int64

func nextID() string { return fmt.Sprint("bench", ids.Add(1)) }

// ofLives measures lives, of which a number runs at a time.
func ofLives(d driver, lives, atATime int, exec bool) (figures, error) {
	before := takeMemory()
	used := processorTime()
	began := time.Now()
	err := atOnce(lives, atATime, func() error { return d.life(nextID(), exec) })
	took := time.Since(began)
	used = processorTime() - used
	after := readMemory() // counts what the collector has freed, too
	what := "life"
	if exec {
		what = "life with an exec"
	}
	name := func(unit string) string { return fmt.Sprintf("%s, %d at a time: %s", what, atATime, unit) }
	return figures{
		{name("allocations"), float64(after.Mallocs-before.Mallocs) / float64(lives)},
		{name("bytes"), float64(after.TotalAlloc-before.TotalAlloc) / float64(lives)},
		{name("lives per second"), float64(lives) / took.Seconds()},
		{name(processor), float64(used.Microseconds()) / float64(lives)},
	}, err
}

// processorTime is the processor time of this process. It depends less than the
// passing time on what else the machine does.
func processorTime() time.Duration {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user); err != nil {
		return 0
	}
	ticks := func(t windows.Filetime) int64 { return int64(t.HighDateTime)<<32 | int64(t.LowDateTime) }
	return time.Duration(ticks(kernel)+ticks(user)) * 100 * time.Nanosecond
}

// atOnce calls f n times, a number of them at a time.
func atOnce(n, atATime int, f func() error) error {
	var left atomic.Int64
	left.Store(int64(n))
	var running sync.WaitGroup
	failed := make(chan error, atATime)
	for range atATime {
		running.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	close(failed)
	return <-failed
}

// ofIdle measures what idle containers hold, and their engine with them.
func ofIdle(d driver, containers int) (figures, error) {
	names := make([]string, containers)
	goroutines := runtime.NumGoroutine()
	before := takeMemory()
	for i := range names {
		names[i] = nextID()
		if err := d.start(names[i]); err != nil {
			return nil, err
		}
	}
	settle()
	after := takeMemory()
	f := figures{
		{"idle container: goroutines", float64(runtime.NumGoroutine()-goroutines) / float64(containers)},
		{"idle container: bytes of heap", (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(containers)},
	}
	for _, name := range names {
		if err := d.stop(name); err != nil {
			return nil, err
		}
	}
	settle()
	return f, nil
}

// ofPast measures what is left of containers that have ended.
func ofPast(d driver, lives int) (figures, error) {
	before := takeMemory()
	err := atOnce(lives, 4, func() error { return d.life(nextID(), false) })
	settle()
	after := takeMemory()
	name := fmt.Sprintf("left of each of %d lives: bytes of heap", lives)
	return figures{{name, (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(lives)}}, err
}

func ofDocuments(d driver) (figures, error) {
	const documents = 5000
	before := takeMemory()
	began := time.Now()
	for range documents {
		if _, err := d.document(); err != nil {
			return nil, err
		}
	}
	took := time.Since(began)
	after := readMemory()
	return figures{
		{"document: microseconds", float64(took.Microseconds()) / documents},
		{"document: allocations", float64(after.Mallocs-before.Mallocs) / documents},
		{"document: bytes", float64(after.TotalAlloc-before.TotalAlloc) / documents},
	}, nil
}

// settle waits for goroutines that are about to end.
func settle() { time.Sleep(200 * time.Millisecond) }

func takeMemory() runtime.MemStats {
	runtime.GC()
	runtime.GC() // what the first run has finalized
	return readMemory()
}

func readMemory() runtime.MemStats {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}

// read reads one output, as the engine does for each container, with a buffer.
func read(r io.Reader) error {
	buffer := make([]byte, 512)
	for {
		if _, err := r.Read(buffer); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// The command lines of processes that start no program.
const (
	endsAtOnce   = "standin:over"
	untilStopped = "standin:run"
)
