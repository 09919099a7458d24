package libcontainerd_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// LIBCONTAINERD_HOST says what kind of host internal/wine/test.sh has made.
func TestHostWithoutUsableHCS(t *testing.T) {
	tests := map[string]struct {
		kind error
		tell []string
	}{
		"none": {errdefs.ErrUnavailable, []string{"vmcompute.dll is missing", "Install-WindowsFeature", "Enable-WindowsOptionalFeature", "Containers"}},
		"tp4":  {errdefs.ErrNotImplemented, []string{"Technical Preview 4", "HNSCall", "Windows Server 2016"}},
	}
	tt, ok := tests[os.Getenv("LIBCONTAINERD_HOST")]
	if !ok {
		t.Skip("this host is as it should be")
	}
	_, err := libcontainerd.New("")
	if !errors.Is(err, tt.kind) {
		t.Errorf("%v is not of kind %v", err, tt.kind)
	}
	for _, word := range tt.tell {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error does not mention %q: %v", word, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("error is not one line: %q", err)
	}
}

func TestUtilityVMOnTheHost(t *testing.T) {
	service, err := libcontainerd.HostService()
	if err != nil {
		t.Skip(err)
	}
	base := t.TempDir()
	layers := []string{filepath.Join(base, "top"), filepath.Join(base, "file"), filepath.Join(base, "middle"), filepath.Join(base, "bottom")}
	for _, layer := range layers {
		if err := os.MkdirAll(layer, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := service.UtilityVM(layers); !errdefs.IsNotFound(err) {
		t.Errorf("no layer has one: %v, want not found", err)
	}
	for _, layer := range layers[2:] {
		if err := os.Mkdir(filepath.Join(layer, "UtilityVM"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(layers[1], "UtilityVM"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := service.UtilityVM(layers)
	if want := filepath.Join(layers[2], "UtilityVM"); err != nil || got != want {
		t.Errorf("utility VM %q, %v, want %q, the first", got, err, want)
	}
	// A path that cannot be looked at is not one that does not exist.
	if _, err := service.UtilityVM([]string{"C:\\bad\x00path", layers[2]}); err == nil || errdefs.IsNotFound(err) {
		t.Errorf("path with a zero: %v, want what Windows says", err)
	}
}

func TestHostIsDescribed(t *testing.T) {
	service, err := libcontainerd.HostService()
	if err != nil {
		t.Skip(err)
	}
	host := service.Host()
	if host.Build < 10240 || host.Processors < runtime.NumCPU() || host.TP4 {
		t.Errorf("host %+v", host)
	}
}
