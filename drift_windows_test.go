package libcontainerd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/Microsoft/hcsshim"
	"github.com/google/go-cmp/cmp"
)

// onlyTP4 are the fields of the document that only Technical Preview 4 knew;
// hcsshim's struct has no room for them.
var onlyTP4 = []string{"IsDummy", "Devices", "SandboxPath"}

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

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return f.Name
	}
	return name
}

// elem is the type of what t holds or points to, t itself if it is none that does.
func elem(t reflect.Type) reflect.Type {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return elem(t.Elem())
	default:
		return t
	}
}

// Every golden document says to HCS, after hcsshim has decoded and encoded it,
// what it said before.
func TestHCSShimCarriesTheWholeDocument(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden documents: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			document, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var config hcsshim.ContainerConfig
			if err := json.Unmarshal(document, &config); err != nil {
				t.Fatal(err)
			}
			sent, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			want, got := meaning(t, document), meaning(t, sent)
			for _, name := range onlyTP4 {
				delete(want, name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what HCS gets is not what was written (-want +got):\n%s", diff)
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
