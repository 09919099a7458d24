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
	spec, unknown, err := parseSpec(data)
	for _, member := range unknown {
		a.warn("%s: %s is unknown and does nothing", file, member)
	}
	if err != nil {
		return spec, in(file, err)
	}
	return spec, nil
}

// in names the file in each of its problems.
func in(file string, err error) error {
	var list []error
	for _, problem := range problems(err) {
		list = append(list, fmt.Errorf("%s: %w", file, problem))
	}
	return errors.Join(list...)
}

// parseSpec reads either form of a spec, and returns its unknown members.
func parseSpec(data []byte) (libcontainerd.Spec, []string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows' editors begin files with it
	var marks specMarks
	if _, err := decode(data, &marks); err != nil {
		return libcontainerd.Spec{}, nil, err
	}
	if marks.is2016() {
		var spec libcontainerd.Spec
		unknown, err := decode(data, &spec)
		return spec, unknown, err
	}
	var oci specs.Spec
	unknown, err := decode(data, &oci)
	if err != nil {
		return libcontainerd.Spec{}, nil, err
	}
	spec, err := libcontainerd.SpecFromOCI(&oci)
	return spec, unknown, err
}

// specMarks are the members by which a 2016 spec differs from an OCI config.json.
// Both have nearly the same members, but those under windows have other names.
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

// defaultID is the id of a container without --id: the name of its file, or of
// the folder of a config.json.
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
