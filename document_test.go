package libcontainerd

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The document is written by hand. Its bytes are those of encoding/json, also for a new
// field.
func TestDocumentTextIsThatOfEncodingJSON(t *testing.T) {
	checkDocumentText(t, fullDocument())
	checkDocumentText(t, containerInit{})
	rapid.Check(t, func(t *rapid.T) {
		checkDocumentText(t, rapid.Make[containerInit]().Draw(t, "document"))
	})
}

func FuzzDocumentText(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		checkDocumentText(t, rapid.Make[containerInit]().Draw(t, "document"))
	}))
}

func checkDocumentText(t interface {
	Fatalf(format string, args ...any)
}, doc containerInit) {
	want, err := json.Marshal(doc)
	if diff := cmp.Diff(string(want), doc.text()); err != nil || diff != "" {
		t.Fatalf("containerInit.append in document.go differs from encoding/json (-want +got), %v:\n%s", err, diff)
	}
}

// Rapid draws few of the characters that JSON escapes. So strings have a fuzz target
// beside it.
func FuzzDocumentStrings(f *testing.F) {
	for _, s := range []string{"", `C:\a`, `\\?\Volume{x}`, `"`, `\"`, "<>&", "ä\\", "\x00\x1f\x7f\u2028\u2029", "\xff", `a\` + "\n" + `b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := jsonText("before:").quote(s); string(got) != "before:"+string(want) {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	})
}

// fullDocument returns a document with every field set.
func fullDocument() (doc containerInit) {
	everyField(reflect.ValueOf(&doc).Elem())
	return doc
}

func everyField(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			everyField(field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			everyField(v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		everyField(v.Elem())
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	default:
		panic("document_test.go: everyField has no value for a " + v.Type().String())
	}
}

// benchmarkSpec is the container of the benchmarks: two layers, a mount, an
// endpoint, limits of memory and processor.
func benchmarkSpec() Spec {
	spec := processSpec()
	spec.Mounts = []Mount{{Destination: `C:\data`, Source: `D:\data`}}
	spec.Windows.Networking.EndpointList = []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"}
	spec.Windows.Resources.CPU.Shares = new(uint64(512))
	spec.Windows.Resources.Memory.Limit = new(int64(1 << 30))
	return spec
}

// The cost of the text, beside encoding/json in the same run.
func BenchmarkDocumentText(b *testing.B) {
	spec := benchmarkSpec()
	doc, _, err := translate("web", &spec, server2022, server2022.host, documentOptions{owner: DefaultOwner})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("by=hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = doc.text()
		}
	})
	b.Run("by=encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(doc); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// onlyTP4 are the fields that only Technical Preview 4 knew. hcsshim's struct has
// no room for them.
var onlyTP4 = []string{"IsDummy", "Devices", "SandboxPath"}

// A field of the document is set in some golden document, and the other way round.
func TestGoldenDocumentsHaveEveryField(t *testing.T) {
	golden := make(map[string]bool)
	for _, file := range glob(t, "testdata/golden/*.json") {
		var document any
		if err := json.Unmarshal(readFile(t, file), &document); err != nil {
			t.Fatal(err)
		}
		jsonPaths(document, "", golden)
	}
	ours := make(map[string]bool)
	typePaths(reflect.TypeFor[containerInit](), "", ours)
	delete(ours, "IsDummy")                     // always false
	delete(ours, "TerminateOnLastHandleClosed") // from an option of the client
	for path := range ours {
		if !golden[path] {
			t.Errorf("%s of containerInit (document.go) is set in none of testdata/golden: translate it in hcsconfig.go, give it a value in testdata/translate/2016-everything.json, and run make golden", path)
		}
	}
	for path := range golden {
		if !ours[path] {
			t.Errorf("%s stands in testdata/golden, and not in containerInit (document.go)", path)
		}
	}
}

// On every system this test sees whether the Windows adapter sends a field.
// drift_windows_test.go proves that it arrives.
func TestWindowsAdapterReadsEveryFieldOfTheDocument(t *testing.T) {
	_, adapter, ok := strings.Cut(string(readFile(t, "client_windows.go")), "func containerConfig(")
	if !ok {
		t.Fatal("client_windows.go has no containerConfig")
	}
	body, _, _ := strings.Cut(adapter, "\n}\n")
	body = strings.ReplaceAll(body, "hcsshim.", "") // these are types, not fields
	read := make(map[string]bool)
	for _, match := range regexp.MustCompile(`\.([A-Z]\w*)`).FindAllStringSubmatch(body, -1) {
		read[match[1]] = true
	}
	checkRead(t, reflect.TypeFor[containerInit](), read)
}

func checkRead(t *testing.T, typ reflect.Type, read map[string]bool) {
	t.Helper()
	for field := range typ.Fields() {
		if typ == reflect.TypeFor[containerInit]() && slices.Contains(onlyTP4, field.Name) {
			continue
		}
		if !read[field.Name] {
			t.Errorf("containerConfig in client_windows.go does not read %s of %s (document.go): HCS does not get it", field.Name, typ.Name())
		}
		if inner := elem(field.Type); inner.Kind() == reflect.Struct {
			checkRead(t, inner, read)
		}
	}
}

// jsonPaths adds the paths, as "Layers[].ID", of what is set in a JSON value.
func jsonPaths(v any, path string, paths map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			jsonPaths(member, strings.TrimPrefix(path+"."+name, "."), paths)
		}
	case []any:
		for _, element := range v {
			jsonPaths(element, path+"[]", paths)
		}
	case nil:
	default:
		if !reflect.ValueOf(v).IsZero() {
			paths[path] = true
		}
	}
}

// typePaths adds the paths that jsonPaths finds in a value of type t with every
// field set.
func typePaths(t reflect.Type, path string, paths map[string]bool) {
	switch t.Kind() {
	case reflect.Struct:
		for field := range t.Fields() {
			typePaths(field.Type, strings.TrimPrefix(path+"."+jsonName(field), "."), paths)
		}
	case reflect.Slice:
		typePaths(t.Elem(), path+"[]", paths)
	case reflect.Pointer:
		typePaths(t.Elem(), path, paths)
	default:
		paths[path] = true
	}
}

// jsonName is the name of a field in JSON.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return f.Name
	}
	return name
}

// elem is the type of what t holds or points to, and t itself if it holds nothing.
func elem(t reflect.Type) reflect.Type {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return elem(t.Elem())
	default:
		return t
	}
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing is like %s: %v", pattern, err)
	}
	return files
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// textService is a ComputeService that takes the document as text, valueService
// one that takes it as a value.
type textService struct {
	ComputeService
	err error
	got *string
}

// made is the system that they create.
var made ComputeSystem = struct{ ComputeSystem }{}

func (s textService) CreateComputeSystem(id, configuration string) (ComputeSystem, error) {
	*s.got = id + " " + configuration
	return made, s.err
}

type valueService struct{ textService }

func (s valueService) createFromDocument(id string, doc *containerInit) (ComputeSystem, error) {
	*s.got = id + " value " + doc.Name
	return made, s.err
}

func TestServiceTakesTheDocumentAsItCan(t *testing.T) {
	doc := &containerInit{Name: "web"}
	var got string
	if system, err := doc.create(textService{got: &got}, "c1", 20348); err != nil || system != made || got != "c1 "+doc.text() {
		t.Errorf("as text: %s, %v", got, err)
	}
	if system, err := doc.create(valueService{textService{got: &got}}, "c1", 20348); err != nil || system != made || got != "c1 value web" {
		t.Errorf("as a value: %s, %v", got, err)
	}
	for _, service := range []ComputeService{
		textService{got: &got, err: CodeAccessDenied},
		valueService{textService{got: &got, err: CodeAccessDenied}},
	} {
		_, err := doc.create(service, "c1", 20348)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, CodeAccessDenied) || e.Document != doc.text() || e.HostBuild != 20348 {
			t.Errorf("%T: got %+v", service, err)
		}
	}
}
