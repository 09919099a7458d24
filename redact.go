package libcontainerd

import (
	"encoding/json"
	"fmt"
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
			switch strings.ToLower(name) {
			case "credentials", "credentialspec", "credential_spec":
				value[name] = removed
			case "environment", "env":
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

// redactEnvironment keeps the names: which variables were set is often what
// explains a failure.
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
			if name, _, ok := strings.Cut(text, "="); ok {
				value[i] = name + "=" + removed
			}
		}
		return value
	}
	return removed
}
