// Command metrics feeds Prometheus from a client's Observer: how many calls into
// HCS were made, how many failed and with which code, and how long they took.
//
//	go run .          runs a few simulated containers and prints what a scrape gets
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// observer returns an Observer that counts in registry. Containers are no label:
// their ids would make as many series as there ever were containers.
func observer(registry prometheus.Registerer) libcontainerd.Observer {
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "hcs_call_duration_seconds",
		Help:    "How long calls into HCS took, or were waited for.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 10), // 1 ms to 4 minutes
	}, []string{"op", "code"})
	retries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hcs_call_retries_total",
		Help: "Calls into HCS that were made again after a failure.",
	}, []string{"op"})
	registry.MustRegister(durations, retries)
	return func(o libcontainerd.Operation) {
		durations.WithLabelValues(o.Op, outcome(o.Err)).Observe(o.Duration.Seconds())
		if o.Attempt > 1 {
			retries.WithLabelValues(o.Op).Inc()
		}
	}
}

// outcome is "ok", the name of the code, or "other".
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := errors.AsType[*libcontainerd.Error](err); ok && e.Code.Name() != "" {
		return e.Code.Name()
	}
	return "other"
}

// engine waits for exits and throws output away.
type engine chan libcontainerd.StateInfo

func (e engine) StateChanged(_ string, info libcontainerd.StateInfo) error {
	if info.State == libcontainerd.StateExit {
		e <- info
	}
	return nil
}

func (engine) AttachStreams(_ string, pipes libcontainerd.IOPipe) error {
	go io.Copy(io.Discard, pipes.Stdout)
	go io.Copy(io.Discard, pipes.Stderr)
	return pipes.Stdin.Close()
}

func run(w io.Writer) error {
	registry := prometheus.NewRegistry()
	exits := make(engine)
	client, err := libcontainerd.NewClient(exits,
		libcontainerd.WithComputeService(hcstest.NewService()),
		libcontainerd.WithObserver(observer(registry)))
	if err != nil {
		return err
	}
	defer client.Close()
	for i, program := range []string{"cmd /c exit 0", "cmd /c exit 3", "nosuch.exe"} {
		err := client.Create(fmt.Sprintf("c%d", i), libcontainerd.Spec{
			Process: libcontainerd.Process{Args: []string{program}, Cwd: `C:\`},
			Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
			Windows: libcontainerd.Windows{LayerFolder: `C:\layers\scratch`, LayerPaths: []string{`C:\layers\nanoserver`}},
		})
		if err == nil {
			<-exits
		}
	}
	scrape := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(scrape.Body.String()) {
		if strings.Contains(line, "_count") {
			fmt.Fprint(w, line)
		}
	}
	return nil
}

func main() {
	if err := run(os.Stdout); err != nil {
		log.Fatal(err)
	}
}
