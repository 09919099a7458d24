package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// filters are what a client wants to see: for each name the values that it accepts.
type filters map[string][]string

// parseFilters reads the filters of a request, each of which must be one of names.
func parseFilters(r *http.Request, names ...string) (filters, error) {
	text := r.FormValue("filters")
	if text == "" {
		return nil, nil
	}
	var sets map[string]map[string]bool
	f := filters{}
	if err := json.Unmarshal([]byte(text), &sets); err == nil {
		for name, values := range sets {
			for value, wanted := range values {
				if wanted {
					f[name] = append(f[name], value)
				}
			}
		}
	} else if err := json.Unmarshal([]byte(text), &f); err != nil { // the form of old clients
		return nil, invalid("filters %q: %v", text, err)
	}
	for name := range f {
		if !slices.Contains(names, name) {
			return nil, invalid("filter %q is not served; %s are", name, strings.Join(names, ", "))
		}
	}
	return f, nil
}

func (f filters) has(name string) bool { return len(f[name]) > 0 }

// any reports whether a value of the filter matches, or whether there is none.
func (f filters) any(name string, match func(value string) bool) bool {
	return !f.has(name) || slices.ContainsFunc(f[name], match)
}

// equal reports whether text is a value of the filter, or whether there is none.
func (f filters) equal(name, text string) bool {
	return f.any(name, func(value string) bool { return value == text })
}

// labels reports whether all label filters, KEY or KEY=VALUE, match.
func (f filters) labels(labels map[string]string) bool {
	for _, filter := range f["label"] {
		key, want, valued := strings.Cut(filter, "=")
		got, ok := labels[key]
		if !ok || valued && got != want {
			return false
		}
	}
	return true
}
