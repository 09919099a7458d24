package libcontainerd

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A Spec that is written as JSON and read again is the same, to the difference
// between a list that is absent and one that is empty.
func TestSpecSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkSurvivesJSON(t, rapid.Make[Spec]().Draw(t, "spec"))
	})
	rapid.Check(t, func(t *rapid.T) {
		checkSurvivesJSON(t, rapid.Make[Process]().Draw(t, "process"))
	})
	checkSurvivesJSON(t, Networking{EndpointList: []string{}})
	checkSurvivesJSON(t, Networking{})
}

func FuzzSpecJSON(f *testing.F) {
	files, err := filepath.Glob("testdata/*/2016-*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no specs: %v", err)
	}
	for _, file := range files {
		f.Add(readFile(f, file))
	}
	f.Add([]byte(`{"process":{"initial_console_size":[1,2]},"windows":{"networking":{"endpoints":[],"port_bindings":{"80":null,"81":[]}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var spec Spec
		if json.Unmarshal(data, &spec) == nil {
			checkSurvivesJSON(t, spec)
		}
	})
}

func checkSurvivesJSON[T any](t interface {
	Fatalf(format string, args ...any)
}, v T) {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	var read T
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if diff := cmp.Diff(v, read); diff != "" {
		t.Fatalf("%s (-written +read):\n%s", text, diff)
	}
}

// A Spec that sets nothing of what came after 2016 has the JSON of 2016.
func TestJSONOf2016IsUndisturbed(t *testing.T) {
	for _, file := range glob(t, "testdata/specs/2016-*.json") {
		var spec Spec
		if err := json.Unmarshal(readFile(t, file), &spec); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := json.Unmarshal(readFile(t, file), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// unused are the fields of a Spec that HCS gets nothing of.
var unused = map[string]string{
	"ociVersion":                           "says how to read the spec",
	"platform.os":                          "nothing depends on it",
	"platform.arch":                        "nothing depends on it",
	"mounts[].type":                        "an engine of 2016 may set it",
	"root.readonly":                        "refused",
	"windows.networking.network_namespace": "refused",
}

// Every field of a Spec that a spec of testdata sets makes a difference to what HCS
// gets, or to the warnings, and every field is set in one of them.
func TestEveryFieldOfTheSpecHasAnEffect(t *testing.T) {
	effective := make(map[string]bool)
	for _, file := range glob(t, "testdata/*/2016-*.json") {
		host := server2022
		host.host.TP4 = strings.Contains(file, "tp4")
		read := func() (spec Spec) {
			if err := json.Unmarshal(readFile(t, file), &spec); err != nil {
				t.Fatal(err)
			}
			return spec
		}
		spec := read()
		before := effect(&spec, host)
		var paths []string
		leaves(reflect.ValueOf(&spec).Elem(), "", func(path string, _ reflect.Value) { paths = append(paths, path) })
		for i, path := range paths {
			spec, n := read(), 0
			leaves(reflect.ValueOf(&spec).Elem(), "", func(_ string, leaf reflect.Value) {
				if n == i {
					leaf.SetZero()
				}
				n++
			})
			if effect(&spec, host) != before {
				effective[path] = true
			}
		}
	}
	all := make(map[string]bool)
	typePaths(reflect.TypeFor[Spec](), "", all)
	for path := range all {
		path = strings.TrimSuffix(path, "[]") // a list of strings is one leaf
		if !effective[path] && unused[path] == "" {
			t.Errorf("%s of Spec (spec.go, resources.go) has no effect: translate it in hcsconfig.go, and give it a value in testdata/translate/2016-everything.json", path)
		}
	}
}

// effect is all that comes of a spec.
func effect(spec *Spec, host fakeHost) string {
	if err := spec.validate(host.host); err != nil {
		return err.Error()
	}
	doc, warnings, err := translate("web", spec, host, host.host, documentOptions{})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %q %+v", doc.text(), warnings, planProcess(&spec.Process))
}

// leaves visits what a Spec has set: numbers, strings, flags, and lists of strings.
func leaves(v reflect.Value, path string, visit func(path string, leaf reflect.Value)) {
	switch {
	case v.IsZero():
	case v.Kind() == reflect.Struct:
		for field, member := range v.Fields() {
			leaves(member, strings.TrimPrefix(path+"."+jsonName(field), "."), visit)
		}
	case v.Kind() == reflect.Pointer:
		leaves(v.Elem(), path, visit)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			leaves(v.Index(i), path+"[]", visit)
		}
	default:
		visit(path, v)
	}
}
