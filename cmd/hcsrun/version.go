package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
)

// version is the version of the module, which the Go command writes into the
// binary, with the commit if there is one.
func version(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "(unknown)"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	text := cmp.Or(info.Main.Version, "(devel)")
	if commit := settings["vcs.revision"]; commit != "" {
		text += " " + commit[:min(12, len(commit))]
		if settings["vcs.modified"] == "true" {
			text += " with changes"
		}
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, info.GoVersion, settings["GOOS"], settings["GOARCH"])
}
