package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
)

// readSpec reads FILE, or standard input for "-": an OCI config.json or a 2016
// spec.
func (a *app) readSpec(file string) (libcontainerd.Spec, error) {
	var data []byte
	var err error
	if file == "-" {
		file = "standard input"
		data, err = io.ReadAll(a.stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return libcontainerd.Spec{}, err
	}
	spec, err := parseSpec(data)
	if err != nil {
		return spec, fmt.Errorf("%s: %w", file, err)
	}
	return spec, nil
}

// parseSpec reads either form of a spec.
func parseSpec(data []byte) (libcontainerd.Spec, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows' editors begin files with it
	var marks specMarks
	if err := decode(data, &marks); err != nil {
		return libcontainerd.Spec{}, err
	}
	if marks.is2016() {
		var spec libcontainerd.Spec
		err := decode(data, &spec)
		return spec, err
	}
	var spec specs.Spec
	if err := decode(data, &spec); err != nil {
		return libcontainerd.Spec{}, err
	}
	return libcontainerd.SpecFromOCI(&spec)
}

// specMarks is what tells a 2016 spec from an OCI config.json: both have nearly
// the same members, but those under windows are named in two ways.
type specMarks struct {
	Version string                     `json:"ociVersion"`
	Windows map[string]json.RawMessage `json:"windows"`
}

func (m specMarks) is2016() bool {
	if _, ok := m.Windows["layerFolders"]; ok {
		return false
	}
	for _, name := range []string{"layer_folder", "layer_paths", "hv_runtime", "first_start", "networking"} {
		if _, ok := m.Windows[name]; ok {
			return true
		}
	}
	return strings.HasSuffix(m.Version, "(Windows)")
}

// decode reads exactly one JSON value, and says on which line it is wrong.
func decode(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		return fmt.Errorf("line %d is not JSON: %w", line, err)
	}
	return err
}

// defaultID is the id of a container that was given none: the name of its file,
// or of the folder that a config.json is in.
func defaultID(file string) string {
	if file == "-" {
		return "hcsrun"
	}
	path, err := filepath.Abs(file)
	if err != nil {
		path = file
	}
	if filepath.Base(path) == "config.json" {
		path = filepath.Dir(path)
	}
	name := filepath.Base(path)
	return strings.TrimSuffix(name, filepath.Ext(name))
}
