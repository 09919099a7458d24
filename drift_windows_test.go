package libcontainerd

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/Microsoft/hcsshim"
	"github.com/google/go-cmp/cmp"
)

func TestDocumentHasOnlyFieldsThatHCSShimHas(t *testing.T) {
	checkFields(t, reflect.TypeFor[containerInit](), reflect.TypeFor[hcsshim.ContainerConfig]())
}

func TestProcessConfigHasOnlyFieldsThatHCSShimHas(t *testing.T) {
	checkFields(t, reflect.TypeFor[ProcessConfig](), reflect.TypeFor[hcsshim.ProcessConfig]())
}

// checkFields proves that every field of ours has one in theirs with the same
// JSON name and the same kind of value.
func checkFields(t *testing.T, ours, theirs reflect.Type) {
	t.Helper()
	known := make(map[string]reflect.Type)
	for f := range theirs.Fields() {
		known[jsonName(f)] = f.Type
	}
	for f := range ours.Fields() {
		name := jsonName(f)
		their, ok := known[name]
		switch {
		case slices.Contains(onlyTP4, name):
			if ok {
				t.Errorf("%s.%s: hcsshim has it now, so it need not be an exception", ours, name)
			}
		case !ok:
			t.Errorf("%s.%s: hcsshim's %s has no such field", ours, name, theirs)
		case elem(f.Type).Kind() != elem(their).Kind() || f.Type.Kind() != their.Kind():
			t.Errorf("%s.%s is %s, in hcsshim's %s it is %s", ours, name, f.Type, theirs, their)
		case elem(f.Type).Kind() == reflect.Struct:
			checkFields(t, elem(f.Type), elem(their))
		}
	}
}

// Whether the client hands over the document as a value or as text, hcsshim sends
// what it says, but for what only Technical Preview 4 knew.
func TestHCSShimCarriesTheWholeDocument(t *testing.T) {
	documents := map[string]containerInit{"every field": fullDocument(), "no field": {}}
	for _, file := range glob(t, "testdata/golden/*.json") {
		var doc containerInit
		if err := json.Unmarshal(readFile(t, file), &doc); err != nil {
			t.Fatal(err)
		}
		documents[filepath.Base(file)] = doc
	}
	for name, doc := range documents {
		t.Run(name, func(t *testing.T) {
			want := meaning(t, []byte(doc.text()))
			for _, name := range onlyTP4 {
				delete(want, name)
			}
			var read hcsshim.ContainerConfig
			if err := json.Unmarshal([]byte(doc.text()), &read); err != nil {
				t.Fatal(err)
			}
			for way, config := range map[string]*hcsshim.ContainerConfig{"value": containerConfig(&doc), "text": &read} {
				sent, err := json.Marshal(config)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, meaning(t, sent)); diff != "" {
					t.Errorf("handed over as a %s, HCS gets what was not written (-want +got):\n%s", way, diff)
				}
			}
		})
	}
}

// meaning is a document without the members that say nothing: an absent one
// means the same to HCS.
func meaning(t *testing.T, document []byte) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(document, &members); err != nil {
		t.Fatal(err)
	}
	return prune(members).(map[string]any)
}

func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if member = prune(member); isEmpty(member) {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return value
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return reflect.ValueOf(value).IsZero()
}
