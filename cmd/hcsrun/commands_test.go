package main

import (
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v0.4.0"}, Settings: []debug.BuildSetting{
		{Key: "GOOS", Value: "windows"}, {Key: "GOARCH", Value: "amd64"},
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
	}}
	if got, want := version(info, true), "v0.4.0 0123456789ab with changes, go1.26.8, windows/amd64"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := version(nil, false); got != "(unknown)" {
		t.Errorf("%q", got)
	}
	if got := (command{}).run(t, "--version"); !strings.HasPrefix(got.stdout, "hcsrun ") || got.code != 0 {
		t.Errorf("%v", got)
	}
}

// lines decodes one JSON value from each line.
func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var values []map[string]any
	for line := range strings.Lines(text) {
		var value map[string]any
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		values = append(values, value)
	}
	return values
}

func TestJSONOfEventsNoticesAndErrors(t *testing.T) {
	got := command{}.run(t, "run", "--simulate", "--json", "--events", oci(t, "cmd /c exit 3"))
	events := lines(t, got.stderr)
	if len(events) != 3 || events[0]["notice"] == nil || events[1]["event"] != "start-container" ||
		events[2]["event"] != "exit" || events[2]["exit_code"] != 3.0 || events[2]["container"] != "small" {
		t.Errorf("%v", got)
	}
	onHost(t, func(t *testing.T, _ *somebody, host command) {
		got := host.run(t, "--json", "kill", "none")
		failed, _ := lines(t, got.stderr)[0]["error"].(map[string]any)
		if got.code != exitFailure || failed["container"] != "none" || !strings.Contains(failed["message"].(string), "SYSTEM_NOT_FOUND") {
			t.Errorf("%v", got)
		}
	})
}

func TestExplainJSON(t *testing.T) {
	got := command{}.run(t, "explain", "--json", "0xC0370106", "0x2")
	var explained []explanation
	if err := json.Unmarshal([]byte(got.stdout), &explained); err != nil || len(explained) != 2 {
		t.Fatalf("%v: %v", err, got)
	}
	if e := explained[0]; e.Code != "0xC0370106" || len(e.Readings) == 0 || e.Readings[0].Means == "" {
		t.Errorf("%+v", e)
	}
}

func TestCompletionOfIDsAndOwners(t *testing.T) {
	onHost(t, func(t *testing.T, _ *somebody, host command) {
		for line, want := range map[string][]string{
			"kill ":           {"web1\tdocker, Running", "web2\tdocker, Running"},
			"kill web1 ":      {},
			"exec ":           {"web1\tdocker, Running", "web2\tdocker, Running"},
			"exec web1 ":      {},
			"stats ":          {"web1\tdocker, Running", "web2\tdocker, Running"},
			"inspect web2 ":   {"web1\tdocker, Running"},
			"ps web1 ":        {"web2\tdocker, Running"},
			"reconcile ":      {"docker"},
			"reconcile dock ": {},
		} {
			got := host.run(t, append([]string{"__complete"}, strings.Split(line, " ")...)...)
			offered, _, _ := strings.Cut(got.stdout, ":")
			if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(offered, "\n"), "\n")); diff != "" && offered != strings.Join(want, "") {
				t.Errorf("%q (-want +got):\n%s", line, diff)
			}
		}
	})
	if got := (command{}).run(t, "__complete", "kill", ""); got.code != 0 {
		t.Errorf("without HCS: %v", got)
	}
}

func TestInspect(t *testing.T) {
	onHost(t, func(t *testing.T, _ *somebody, host command) {
		got := host.run(t, "inspect", "web1", "web2")
		var found []inspection
		if err := json.Unmarshal([]byte(got.stdout), &found); err != nil || len(found) != 2 {
			t.Fatalf("%v: %v", err, got)
		}
		if f := found[1]; f.ID != "web2" || f.Owner != "docker" || f.State != "Running" || len(f.Processes) == 0 || f.Statistics == nil {
			t.Errorf("%+v", f)
		}
		if got := host.run(t, "inspect", "web1", "none"); got.code != exitFailure || got.stdout != "" || !strings.Contains(got.stderr, "SYSTEM_NOT_FOUND") {
			t.Errorf("%v", got)
		}
		if got := host.run(t, "list"); !strings.Contains(got.stdout, "web1") {
			t.Errorf("%v", got)
		}
	})
}

// hcsrun marks its containers with its own owner, so that reconcile does not end
// those of an engine.
func TestOwner(t *testing.T) {
	file := oci(t, "ping -n 2 localhost")
	for want, flags := range map[string][]string{"hcsrun": nil, "me": {"--owner", "me"}} {
		onHost(t, func(t *testing.T, _ *somebody, host command) {
			ended := make(chan result)
			go func() { ended <- host.run(t, append(append([]string{"run"}, flags...), file)...) }()
			for !strings.Contains(host.run(t, "ps", "--owner", want).stdout, "small") {
				time.Sleep(time.Millisecond)
			}
			if got := <-ended; got.code != 0 {
				t.Errorf("%v", got)
			}
		})
	}
	if got := (command{}).run(t, "run", "--simulate", "--owner", "", file); got.code != exitFailure || !strings.Contains(got.stderr, "owner") {
		t.Errorf("%v", got)
	}
}
