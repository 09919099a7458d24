package layers_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd/layers"
)

func writeChain(t *testing.T, folder, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "layerchain.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDockerReadsTheLayersTopmostFirst(t *testing.T) {
	all := stack(t, "top", "middle", "base")
	writeChain(t, all[0], jsonOf(t, all[1:]))
	writeChain(t, all[1], jsonOf(t, all[2:]))
	for i := range all {
		got, err := layers.Docker(all[i])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all[i:], got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDockerLeavesOutTheScratchOfAContainer(t *testing.T) {
	all := stack(t, "scratch", "base")
	writeChain(t, all[0], jsonOf(t, all[1:]))
	if err := os.WriteFile(filepath.Join(all[0], "sandbox.vhdx"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := layers.Docker(all[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[1:], got); diff != "" {
		t.Error(diff)
	}
}

func TestDockerTakesAnEmptyChainForABase(t *testing.T) {
	for _, chain := range []string{"null", "[]"} {
		all := stack(t, "base")
		writeChain(t, all[0], chain)
		if got, err := layers.Docker(all[0]); err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", chain, got, err)
		}
	}
}

func TestDockerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		chain func(all layers.Layers) string
		kind  error
		says  string
	}{
		"what is not JSON":         {func(layers.Layers) string { return "[" }, errdefs.ErrInvalidArgument, "layerchain.json"},
		"what is not a list":       {func(layers.Layers) string { return `{"a":1}` }, errdefs.ErrInvalidArgument, "array"},
		"a parent that is gone":    {func(all layers.Layers) string { return jsonOf(t, []string{all[1] + "x"}) }, errdefs.ErrNotFound, "layers[1]"},
		"a relative parent":        {func(layers.Layers) string { return `["base"]` }, errdefs.ErrInvalidArgument, "absolute"},
		"a layer twice":            {func(all layers.Layers) string { return jsonOf(t, []string{all[1], all[1]}) }, errdefs.ErrInvalidArgument, "has the name of layers[1]"},
		"a layer below itself":     {func(all layers.Layers) string { return jsonOf(t, []string{all[0]}) }, errdefs.ErrInvalidArgument, "has the name of layers[0]"},
		"a file instead":           {func(all layers.Layers) string { return jsonOf(t, []string{filepath.Join(all[0], "layerchain.json")}) }, errdefs.ErrInvalidArgument, "not a folder"},
		"more than Windows mounts": {func(all layers.Layers) string { return jsonOf(t, make([]string, 1000)) }, errdefs.ErrInvalidArgument, "1001"},
	} {
		t.Run(name, func(t *testing.T) {
			all := stack(t, "top", "base")
			writeChain(t, all[0], c.chain(all))
			_, err := layers.Docker(all[0])
			wantError(t, err, c.kind, c.says)
		})
	}
	_, err := layers.Docker(filepath.Join(t.TempDir(), "absent"))
	wantError(t, err, errdefs.ErrNotFound, "absent")
}

func FuzzDockerChain(f *testing.F) {
	f.Add([]byte(`["C:\\layers\\a"]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`[1]`))
	f.Add([]byte(`["/"]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		top := t.TempDir()
		writeChain(t, top, string(text))
		got, err := layers.Docker(top)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalidArgument) && !errors.Is(err, errdefs.ErrNotFound) {
				// The error of the file system for a name has no kind.
				if _, ok := errors.AsType[*os.PathError](err); !ok {
					t.Errorf("%v is of no kind", err)
				}
			}
			return
		}
		for _, folder := range got {
			if info, err := os.Stat(folder); err != nil || !info.IsDir() || !filepath.IsAbs(folder) {
				t.Errorf("%s is not a layer: %v", folder, err)
			}
		}
	})
}
