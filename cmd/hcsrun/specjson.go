package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// decode reads exactly one JSON value into v. Its error says where and how the
// value is wrong. It returns the members for which v has no field.
func decode(data []byte, v any) (unknown []string, err error) {
	if err := json.Unmarshal(data, v); err != nil {
		return nil, explainJSON(data, err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	return unknownMembers("", tree, reflect.TypeOf(v)), nil
}

// explainJSON says what is wrong in the terms of JSON, not of Go.
func explainJSON(data []byte, err error) error {
	line := func(offset int64) int { return 1 + bytes.Count(data[:min(int(offset), len(data))], []byte("\n")) }
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("line %d is not JSON: %w", line(syntax.Offset), err)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		found := strings.NewReplacer("array", "a list", "bool", "true or false", "object", "an object", "string", "a string").Replace(wrong.Value)
		if number, ok := strings.CutPrefix(wrong.Value, "number"); ok {
			found = "the number" + number
		}
		if wrong.Value == "number" {
			found = "a number"
		}
		at := fmt.Sprintf("line %d", line(wrong.Offset))
		if wrong.Field != "" {
			at = wrong.Field
		}
		return fmt.Errorf("%s: want %s, not %s", at, wanted(wrong.Type), found)
	}
	return err
}

// wanted names the kind of JSON value that a type needs.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case reflect.Slice, reflect.Array:
		return "a list of " + strings.TrimPrefix(strings.TrimPrefix(wanted(t.Elem()), "an "), "a ") + "s"
	default:
		return "an object"
	}
}

// unknownMembers returns the paths of the members of a JSON value for which a
// type has no field.
func unknownMembers(path string, value any, t reflect.Type) []string {
	if t.Kind() == reflect.Pointer {
		return unknownMembers(path, value, t.Elem())
	}
	var unknown []string
	switch value := value.(type) {
	case []any:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			return nil
		}
		for i, element := range value {
			unknown = append(unknown, unknownMembers(fmt.Sprintf("%s[%d]", path, i), element, t.Elem())...)
		}
	case map[string]any:
		for name, member := range value {
			at := strings.TrimPrefix(path+"."+name, ".")
			switch memberType := memberType(t, name); {
			case memberType != nil:
				unknown = append(unknown, unknownMembers(at, member, memberType)...)
			case t.Kind() == reflect.Struct:
				unknown = append(unknown, at)
			}
		}
	}
	slices.Sort(unknown)
	return unknown
}

// memberType is the type that a member of an object has, or nil.
func memberType(t reflect.Type, name string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, field := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == "" {
			tag = field.Name
		}
		if field.IsExported() && tag != "-" && strings.EqualFold(tag, name) {
			return field.Type
		}
	}
	return nil
}
