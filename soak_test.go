package libcontainerd_test

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// defaultLives is a thousandth of what "make soak" runs.
const defaultLives = 1000

// soakLives is how many containers' lives the soak runs: SOAK_LIVES, if set.
func soakLives(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SOAK_LIVES")
	if text == "" {
		return defaultLives
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOAK_LIVES is %q", text)
	}
	return n
}

// However long the client works with a HCS that fails, hangs, comes late, loses
// notifications and goes away, and with engines that die: no exit is lost or
// doubled, none is out of order, and no goroutine, handle, process or memory is
// left.
func TestSoak(t *testing.T) {
	lives := soakLives(t)
	weathers := []func() *weather{rough, calm, foul, wild}
	perShard := min(1000, (lives+3)/len(weathers)) // with one HCS and one engine, in one bubble
	var sum figures
	var simulated time.Duration
	var heaps []uint64
	began := time.Now()
	for shard := 0; sum.Lives < lives; shard++ {
		synctest.Test(t, func(t *testing.T) {
			epoch := time.Now()
			var options []hcstest.Option
			if shard/len(weathers)%2 == 1 {
				options = append(options, hcstest.WithRawStops())
			}
			s := &storm{
				weather: weathers[shard%len(weathers)](),
				hcs:     newChaosHCS(t, options...),
				lives:   perShard,
				atOnce:  100,
				deadly:  true,
			}
			sum.add(s.run(t))
			simulated += time.Since(epoch)
		})
		if t.Failed() {
			t.Fatalf("shard %d, after %+v", shard, sum)
		}
		heaps = append(heaps, heapInUse())
	}
	t.Logf("%d lives in %v, %v of simulated time: %+v", sum.Lives, time.Since(began).Round(time.Second), simulated.Round(time.Hour), sum)
	t.Logf("heap after the first lives %d kB, in the end %d kB", heaps[0]>>10, heaps[len(heaps)-1]>>10)
	if first, last := heaps[0], heaps[len(heaps)-1]; last > 2*first+8<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", first, last)
	}
	if sum.Execs != sum.ExecExits+sum.ExecsLeft {
		t.Errorf("%d processes were added, %d exited and %d were left to the next engine", sum.Execs, sum.ExecExits, sum.ExecsLeft)
	}
}

// heapInUse is what is reachable.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
