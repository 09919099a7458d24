package main

import (
	"strings"
	"testing"
)

func TestScrapeCountsCallsByOutcome(t *testing.T) {
	var out strings.Builder
	if err := run(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`hcs_call_duration_seconds_count{code="ok",op="create"} 3`,
		`hcs_call_duration_seconds_count{code="ERROR_FILE_NOT_FOUND",op="exec"} 1`,
		`hcs_call_duration_seconds_count{code="ok",op="shutdown"} 2`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in\n%s", want, out.String())
		}
	}
}
