package libcontainerd

import (
	"strings"
	"unicode"
)

// environment turns NAME=value entries into the map that HCS takes. An entry is
// split at the first "=" after its first character, so that the drive entries
// of Windows ("=C:=C:\x") keep their names. Of entries whose names differ in
// case only, the last wins, name and all.
//
// dropped lists the entries without a name or a "=", as they were given, and the
// names of those that a later entry replaced.
func environment(env []string) (vars map[string]string, dropped []string) {
	if len(env) == 0 {
		return nil, nil
	}
	vars = make(map[string]string, len(env))
	spelling := make(map[string]string, len(env)) // upper-cased name → name in vars
	for _, entry := range env {
		name, value, ok := splitVariable(entry)
		if !ok {
			dropped = append(dropped, entry)
			continue
		}
		key := strings.Map(upperCase, name)
		if earlier, ok := spelling[key]; ok {
			dropped = append(dropped, earlier)
			delete(vars, earlier)
		}
		spelling[key] = name
		vars[name] = value
	}
	return vars, dropped
}

func splitVariable(entry string) (name, value string, ok bool) {
	if entry == "" {
		return "", "", false
	}
	i := strings.IndexByte(entry[1:], '=')
	if i < 0 {
		return "", "", false
	}
	return entry[:i+1], entry[i+2:], true
}

// upperCase maps r as Windows does when it compares names: one character to
// one, and none from outside of ASCII into it, as Unicode has it for ı and ſ.
func upperCase(r rune) rune {
	upper := unicode.ToUpper(r)
	if r > unicode.MaxASCII && upper <= unicode.MaxASCII {
		return r
	}
	return upper
}
