package libcontainerd

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const documentGuide = "docs/document.md"

// Each field of the document, and of the parameters of a process, has a row in the
// guide, and each row a field.
func TestDocumentFieldsAreDescribed(t *testing.T) {
	text := guides(t)[documentGuide]
	described := make(map[string]bool)
	for _, cell := range regexp.MustCompile("(?m)^\\| (`[A-Z].*?`) \\|").FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(cell[1], ", ") {
			described[strings.Trim(name, "`")] = true
		}
	}
	fields := fieldsOf(reflect.TypeFor[containerInit](), "")
	fields = append(fields, fieldsOf(reflect.TypeFor[ProcessConfig](), "")...)
	for _, field := range fields {
		if !described[field] && field != "ApplicationName" { // the client leaves it empty
			t.Errorf("%s has no row for %s", documentGuide, field)
		}
		delete(described, field)
	}
	for field := range described {
		t.Errorf("%s describes %s, which is not a field", documentGuide, field)
	}
}

// fieldsOf returns the JSON names of the fields of a struct, and of those below it.
func fieldsOf(structure reflect.Type, parent string) (names []string) {
	for field := range structure.Fields() {
		name := parent + field.Name
		if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); tag != "" {
			name = parent + tag
		}
		inner := field.Type
		if inner.Kind() != reflect.Struct { // its fields describe it
			names = append(names, name)
		}
		if inner.Kind() == reflect.Slice {
			inner, name = inner.Elem(), name+"[]"
		}
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			names = append(names, fieldsOf(inner, name+".")...)
		}
	}
	return names
}
