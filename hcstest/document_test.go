package hcstest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The simulator knows exactly the fields that the library sends. Its golden
// documents have every field.
func TestSimulatorKnowsTheFieldsOfTheDocument(t *testing.T) {
	files, err := filepath.Glob("../testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden documents: %v", err)
	}
	sent := map[string]bool{"TerminateOnLastHandleClosed": true} // from an option of the client
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var document any
		if err := json.Unmarshal(data, &document); err != nil {
			t.Fatal(err)
		}
		members(document, "", sent)
	}
	known := make(map[string]bool)
	fields(reflect.TypeFor[document](), "", known)
	for path := range sent {
		if !known[path] {
			t.Errorf("%s is sent by the library, and document in hcstest/document.go lacks it", path)
		}
	}
	for path := range known {
		if !sent[path] {
			t.Errorf("%s of document in hcstest/document.go stands in none of testdata/golden: the library (document.go) lacks it, or testdata/translate/2016-everything.json does", path)
		}
	}
}

// members adds the paths, as "Layers[].ID", of what a JSON document has.
func members(v any, path string, paths map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			members(member, strings.TrimPrefix(path+"."+name, "."), paths)
		}
	case []any:
		for _, element := range v {
			members(element, path+"[]", paths)
		}
	case nil:
	default:
		paths[path] = true
	}
}

// fields adds the paths that members finds in a document with every field of t.
func fields(t reflect.Type, path string, paths map[string]bool) {
	switch t.Kind() {
	case reflect.Struct:
		for field := range t.Fields() {
			fields(field.Type, strings.TrimPrefix(path+"."+field.Name, "."), paths)
		}
	case reflect.Slice:
		fields(t.Elem(), path+"[]", paths)
	case reflect.Pointer:
		fields(t.Elem(), path, paths)
	default:
		paths[path] = true
	}
}
