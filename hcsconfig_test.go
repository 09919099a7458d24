package libcontainerd

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden documents anew")

// TestGoldenDocuments translates every spec under testdata and compares the
// documents with those under testdata/golden.
func TestGoldenDocuments(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(filepath.Dir(file)) == "golden" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			spec := readSpec(t, file)
			service := server2022
			if strings.Contains(file, "tp4") {
				service.host = Host{Build: 10586, Processors: 8, TP4: true}
			}
			document, err := Configuration("web", spec, service)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, []byte(document), "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			golden := filepath.Join("testdata", "golden", filepath.Base(file))
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
			if err := spec.validate(); err != nil {
				t.Errorf("a client would refuse it: %v", err)
			}
		})
	}
}

// readSpec reads a spec in either form.
func readSpec(t *testing.T, file string) Spec {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(filepath.Base(file), "2016-") {
		var spec Spec
		if err := json.Unmarshal(data, &spec); err != nil {
			t.Fatal(err)
		}
		return spec
	}
	var document specs.Spec
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	spec, err := SpecFromOCI(&document)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}
