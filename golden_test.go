package libcontainerd_test

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
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

var update = flag.Bool("update", false, "write what is generated: golden documents, api.txt")

// TestGoldenDocuments translates every spec under testdata, compares the
// documents with those under testdata/golden, and has HCS take them.
func TestGoldenDocuments(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(filepath.Dir(file)) == "golden" {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			service := hcstest.New(t, hostOptions(name)...)
			document, err := libcontainerd.Configuration(name, readSpec(t, file), service)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, document, filepath.Join("testdata", "golden", name+".json"))

			system, err := service.CreateComputeSystem(name, document)
			if err != nil {
				t.Fatalf("HCS does not take it: %v", err)
			}
			if err := system.Terminate(); err != nil {
				t.Error(err)
			}
			if err := system.Wait(); err != nil {
				t.Error(err)
			}
			if err := system.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func hostOptions(name string) []hcstest.Option {
	options := []hcstest.Option{hcstest.WithProcessors(8)}
	if strings.Contains(name, "tp4") {
		options = append(options, hcstest.WithTP4())
	}
	return options
}

func compareGolden(t *testing.T, document, file string) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, []byte(document), "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}

// readSpec reads a spec in either form.
func readSpec(t *testing.T, file string) libcontainerd.Spec {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(filepath.Base(file), "2016-") {
		var spec libcontainerd.Spec
		if err := json.Unmarshal(data, &spec); err != nil {
			t.Fatal(err)
		}
		return spec
	}
	var document specs.Spec
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	spec, err := libcontainerd.SpecFromOCI(&document)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// A translation does not change the spec that it reads. See lessons_test.go: 9.
func TestTranslationLeavesTheSpecAlone(t *testing.T) {
	const file = "testdata/translate/2016-everything.json"
	spec := readSpec(t, file)
	if _, err := libcontainerd.Configuration("web", spec, hcstest.New(t)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(readSpec(t, file), spec); diff != "" {
		t.Errorf("spec (-before +after):\n%s", diff)
	}
}

// One spec has one document, byte for byte. See lessons_test.go: D11.
func TestDocumentIsStable(t *testing.T) {
	spec := readSpec(t, "testdata/translate/2016-tp4-ports.json")
	service := hcstest.New(t, hcstest.WithTP4())
	first, err := libcontainerd.Configuration("web", spec, service)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if again, _ := libcontainerd.Configuration("web", spec, service); again != first {
			t.Fatalf("first:\n%s\nlater:\n%s", first, again)
		}
	}
}
