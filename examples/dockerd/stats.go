package main

import (
	"context"
	"encoding/json"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	eventsapi "github.com/moby/moby/api/types/events"
	"github.com/seed-609fd248/libcontainerd"
)

// top answers with the processes of a container, in the columns of Docker on Windows.
func (d *daemon) top(w http.ResponseWriter, r *http.Request, c *managed) error {
	if r.FormValue("ps_args") != "" {
		return invalid("ps_args is not supported on Windows")
	}
	live, err := c.running()
	if err != nil {
		return err
	}
	processes, err := live.Processes(r.Context())
	if err != nil {
		return err
	}
	answer := container.TopResponse{Titles: []string{"Name", "PID", "CPU", "Private Working Set"}, Processes: [][]string{}}
	for _, p := range processes {
		answer.Processes = append(answer.Processes, []string{
			processName(p), strconv.FormatUint(uint64(p.Pid), 10), cpuTime(p.KernelTime + p.UserTime),
			units.HumanSize(float64(p.MemoryWorkingSetPrivateBytes)),
		})
	}
	d.tell(c, eventsapi.ActionTop, nil)
	return reply(w, http.StatusOK, answer)
}

// processName is the name of the program.
func processName(p libcontainerd.Summary) string {
	if p.ImageName != "" {
		return p.ImageName
	}
	program, _, _ := strings.Cut(strings.ReplaceAll(p.Command, `\`, "/"), " ")
	return path.Base(program)
}

func cpuTime(t time.Duration) string {
	at := time.Time{}.Add(t)
	return strconv.Itoa(int(t.Hours())) + at.Format(":04:05.000")
}

// samplePause is the time between two answers of a stream of stats.
const samplePause = time.Second

// stats answers with the use of resources: once, or once a second.
func (d *daemon) stats(w http.ResponseWriter, r *http.Request, c *managed) error {
	stream := r.FormValue("stream") == "" || isTrue(r, "stream")
	oneShot := isTrue(r, "one-shot")
	if stream && oneShot {
		return invalid("cannot have stream=true and one-shot=true")
	}
	last, err := d.sample(r.Context(), c, container.StatsResponse{})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	encoder := json.NewEncoder(w)
	for first := true; ; first = false {
		if stream || oneShot || !first {
			if encoder.Encode(last) != nil || http.NewResponseController(w).Flush() != nil {
				return errGone
			}
			if !stream {
				return nil
			}
		}
		if !d.pauseSample(r.Context(), c) {
			return nil
		}
		if next, err := d.sample(r.Context(), c, last); err == nil {
			last = next
		}
	}
}

// pauseSample waits for the next sample, and reports whether there is one.
func (d *daemon) pauseSample(ctx context.Context, c *managed) bool {
	timer := time.NewTimer(samplePause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-d.ctx.Done():
	case <-c.gone:
	}
	return false
}

// sample returns the present use of resources; one that does not run uses nothing.
func (d *daemon) sample(ctx context.Context, c *managed, last container.StatsResponse) (container.StatsResponse, error) {
	s := container.StatsResponse{
		ID: c.id, Name: "/" + c.snapshot().Name, OSType: "windows",
		PreRead: last.Read, PreCPUStats: last.CPUStats,
	}
	live := c.liveRun()
	if live == nil {
		return s, nil
	}
	used, err := live.Stats(ctx)
	if err != nil {
		if !c.isRunning() {
			return s, nil // it has exited meanwhile
		}
		return s, err
	}
	if info, err := d.engine.Info(ctx); err == nil {
		s.NumProcs = uint32(info.Processors)
	}
	s.Read = used.Read
	s.CPUStats.CPUUsage = container.CPUUsage{
		TotalUsage:        hundredNanos(used.Processor.TotalRuntime),
		UsageInKernelmode: hundredNanos(used.Processor.RuntimeKernel),
		UsageInUsermode:   hundredNanos(used.Processor.RuntimeUser),
	}
	s.MemoryStats = container.MemoryStats{
		Commit: used.Memory.UsageCommitBytes, CommitPeak: used.Memory.UsageCommitPeakBytes,
		PrivateWorkingSet: used.Memory.UsagePrivateWorkingSetBytes,
	}
	s.StorageStats = container.StorageStats{
		ReadCountNormalized: used.Storage.ReadCountNormalized, ReadSizeBytes: used.Storage.ReadSizeBytes,
		WriteCountNormalized: used.Storage.WriteCountNormalized, WriteSizeBytes: used.Storage.WriteSizeBytes,
	}
	s.Networks = map[string]container.NetworkStats{}
	for _, n := range used.Network {
		s.Networks[n.EndpointId] = container.NetworkStats{
			RxBytes: n.BytesReceived, RxPackets: n.PacketsReceived, RxDropped: n.DroppedPacketsIncoming,
			TxBytes: n.BytesSent, TxPackets: n.PacketsSent, TxDropped: n.DroppedPacketsOutgoing,
			EndpointID: n.EndpointId, InstanceID: n.InstanceId,
		}
	}
	return s, nil
}

// hundredNanos is the unit of Docker's stats on Windows.
func hundredNanos(t time.Duration) uint64 { return uint64(t / 100) }
