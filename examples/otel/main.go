// Command otel makes OpenTelemetry spans of a client's Observer: one per call
// into HCS, with container, process, attempt and error.
//
//	go run .          runs a simulated container and prints its spans
package main

import (
	"context"
	"io"
	"log"
	"os"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// observer returns an Observer that records each call as a span. It learns of a
// call when that is over, so the span gets both of its times then.
func observer(tracer trace.Tracer) libcontainerd.Observer {
	return func(o libcontainerd.Operation) {
		_, span := tracer.Start(context.Background(), "hcs "+o.Op,
			trace.WithTimestamp(o.Start),
			trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(
				attribute.String("container.id", o.ContainerID),
				attribute.String("process", o.Process),
				attribute.Int("attempt", o.Attempt),
			))
		if o.Err != nil {
			span.RecordError(o.Err)
			span.SetStatus(codes.Error, o.Err.Error())
		}
		span.End(trace.WithTimestamp(o.Start.Add(o.Duration)))
	}
}

// engine waits for the exit and throws output away.
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

func run(exporter sdktrace.SpanExporter) error {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	defer provider.Shutdown(context.Background())
	exits := make(engine)
	client, err := libcontainerd.NewClient(exits,
		libcontainerd.WithComputeService(hcstest.NewService()),
		libcontainerd.WithObserver(observer(provider.Tracer("libcontainerd"))))
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.Create("web1", libcontainerd.Spec{
		Process: libcontainerd.Process{Args: []string{"cmd", "/c", "exit 0"}, Cwd: `C:\`},
		Root:    libcontainerd.Root{Path: `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`},
		Windows: libcontainerd.Windows{LayerFolder: `C:\layers\scratch`, LayerPaths: []string{`C:\layers\nanoserver`}},
	})
	if err != nil {
		return err
	}
	<-exits
	return nil
}

func main() {
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(os.Stdout), stdouttrace.WithPrettyPrint())
	if err != nil {
		log.Fatal(err)
	}
	if err := run(exporter); err != nil {
		log.Fatal(err)
	}
}
