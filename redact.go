package libcontainerd

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const removed = "(removed)"

// redactDocument returns an HCS document, or the parameters of an HCS process,
// indented and without secrets: credentials and the values of environment
// variables.
func redactDocument(document string) string {
	var value any
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil || decoder.More() {
		return fmt.Sprintf("(%d bytes that are not JSON)", len(document))
	}
	text, err := json.MarshalIndent(redact(value), "", "  ")
	if err != nil {
		return fmt.Sprintf("(%d bytes that cannot be shown: %v)", len(document), err)
	}
	return string(text)
}

func redact(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			switch {
			case isCredential(name):
				value[name] = removed
			case isEnvironment(name):
				value[name] = redactEnvironment(member)
			default:
				value[name] = redact(member)
			}
		}
	case []any:
		for i, element := range value {
			value[i] = redact(element)
		}
	}
	return value
}

// isCredential reports whether a member of a document of this name is secret.
func isCredential(name string) bool {
	switch strings.ToLower(name) {
	case "credentials", "credentialspec", "credential_spec":
		return true
	}
	return false
}

// isEnvironment reports whether a member of a document of this name holds
// environment variables.
func isEnvironment(name string) bool {
	switch strings.ToLower(name) {
	case "environment", "env":
		return true
	}
	return false
}

// redactEnvironment removes the values and keeps the names: which variables were
// set often explains a failure.
func redactEnvironment(value any) any {
	switch value := value.(type) {
	case nil:
		return nil
	case map[string]any:
		for name := range value {
			value[name] = removed
		}
		return value
	case []any:
		for i, entry := range value {
			value[i] = removed
			text, _ := entry.(string)
			if name, _, ok := splitVariable(text); ok {
				value[i] = name + "=" + removed
			}
		}
		return value
	}
	return removed
}

// redactText returns text in which the values of secret members of JSON, and
// secrets, are removed. The JSON may lie anywhere in the text, be cut off, or be
// quoted itself, so that a backslash stands before each quotation mark.
func redactText(text string, secrets []string) string {
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, removed)
	}
	var b strings.Builder
	for {
		m := secretMember.FindStringSubmatchIndex(text)
		if m == nil {
			return b.String() + text
		}
		end := m[1]
		escape := text[m[2]:m[3]]
		b.WriteString(text[:end] + escape + `"` + removed + escape + `"`)
		text = text[end+valueEnd(text[end:], len(escape)):]
	}
}

// secretMember matches the name of a secret member up to its value; the group is
// the escape before the quotation mark.
var secretMember = regexp.MustCompile(`(?i)(\\*)"(?:credentials|credentialspec|credential_spec|environment|env)\\*"\s*:\s*`)

// valueEnd returns the length of the JSON value with which text begins. escape is
// the number of backslashes before each quotation mark of its strings. A value
// that is cut off, or is not JSON, extends to the end of text.
func valueEnd(text string, escape int) int {
	depth, backslashes, quoted := 0, 0, false
	for i, c := range []byte(text) {
		if c == '\\' {
			backslashes++
			continue
		}
		// A mark inside a string has more backslashes than the one that ends it.
		mark := c == '"' && (!quoted || backslashes%(2*(escape+1)) == escape)
		backslashes = 0
		if mark {
			quoted = !quoted
		}
		switch {
		case quoted:
		case mark:
			if depth == 0 {
				return i + 1
			}
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case c == ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// shortestSecret is the length from which a value is removed wherever it stands.
// Shorter ones are parts of common words.
const shortestSecret = 4

// secretsOf returns the secret values of a document, the longest first, also as
// JSON writes them and as JSON in JSON does.
func secretsOf(document string) []string {
	var value any
	if err := json.Unmarshal([]byte(document), &value); err != nil {
		return nil
	}
	var secrets []string
	for _, secret := range secretsIn(value, false) {
		for range 3 {
			if len(secret) >= shortestSecret {
				secrets = append(secrets, secret)
			}
			quoted, _ := json.Marshal(secret) // a string can always be written
			secret = string(quoted[1 : len(quoted)-1])
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(secrets)
}

// secretsIn returns the strings below value; outside of secret members, none.
func secretsIn(value any, secret bool) []string {
	var found []string
	switch value := value.(type) {
	case string:
		if !secret {
			return nil
		}
		if _, v, ok := splitVariable(value); ok {
			found = append(found, v)
		}
		return append(found, value)
	case map[string]any:
		for name, member := range value {
			found = append(found, secretsIn(member, secret || isCredential(name) || isEnvironment(name))...)
		}
	case []any:
		for _, element := range value {
			found = append(found, secretsIn(element, secret)...)
		}
	}
	return found
}

// loggableEntry returns what a log may show of an environment entry: its name,
// never its value.
func loggableEntry(entry string) string {
	if name, _, ok := splitVariable(entry); ok {
		return name
	}
	if entry == "" || entry[0] == '=' {
		return "(an entry without a name)"
	}
	return entry
}
