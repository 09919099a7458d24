package main

import (
	"context"
	"slices"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// names is an exporter that keeps the names of spans.
type names struct{ list []string }

func (n *names) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		n.list = append(n.list, s.Name())
	}
	return nil
}

func (n *names) Shutdown(context.Context) error { return nil }

func TestEveryCallIsASpan(t *testing.T) {
	var n names
	if err := run(&n); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hcs create", "hcs start", "hcs exec", "hcs shutdown"} {
		if !slices.Contains(n.list, want) {
			t.Errorf("%s is missing in %q", want, n.list)
		}
	}
}
