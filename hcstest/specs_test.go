package hcstest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// TestEverySpecRuns runs the specs of testdata: each prints something, and ends
// by itself or when it is stopped.
func TestEverySpecRuns(t *testing.T) {
	tests := []struct {
		file   string
		output string
		stop   bool
		code   uint32
	}{
		{file: "2016-hyperv.json", output: `would run: C:\init.ps1`},
		{file: "2016-process.json", output: "Reply from ::1", stop: true, code: 0xc000013a},
		{file: "2016-tp4-nat.json", output: "Microsoft Windows"},
		{file: "oci-commandline.json", output: `"quoted & piped"`},
		{file: "oci-iis-gmsa.json", output: "Service 'w3svc' started", stop: true, code: 0xc000013a},
		{file: "oci-nanoserver-process.json", output: "hello from 5E0055C814A6"},
		{file: "oci-servercore-hyperv.json", output: `would run: Get-ChildItem 'C:\Program Files' | Sort-Object "Name"`},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var options []hcstest.Option
				if strings.Contains(test.file, "tp4") {
					options = append(options, hcstest.WithTP4())
				}
				svc := hcstest.New(t, options...)
				engine := newEngine()
				client, err := libcontainerd.NewClient(engine, libcontainerd.WithComputeService(svc))
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if err := client.Create("c1", readSpec(t, test.file)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Second)
				if test.stop {
					if err := client.Signal("c1", 15); err != nil {
						t.Error(err)
					}
				}
				if output := <-engine.output; !strings.Contains(output, test.output) {
					t.Errorf("it printed %q, want %q", output, test.output)
				}
				if exit := <-engine.exit; exit.ExitCode != test.code || exit.Err != nil {
					t.Errorf("it ended with %+v, want code %#x", exit, test.code)
				}
			})
		})
	}
}

func readSpec(t *testing.T, name string) libcontainerd.Spec {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "specs", name))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(name, "2016") {
		var spec libcontainerd.Spec
		if err := json.Unmarshal(text, &spec); err != nil {
			t.Fatal(err)
		}
		return spec
	}
	var oci specs.Spec
	if err := json.Unmarshal(text, &oci); err != nil {
		t.Fatal(err)
	}
	spec, err := libcontainerd.SpecFromOCI(&oci)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}
