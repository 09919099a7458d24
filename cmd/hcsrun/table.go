package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
)

// table prints columns.
type table struct{ *tabwriter.Writer }

func (a *app) table(headings ...any) table {
	t := table{tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)}
	t.row(headings...)
	return t
}

func (t table) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, cell)
	}
	fmt.Fprintln(t)
}

func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// size is a number of bytes for people.
func size(bytes uint64) string {
	const unit = 1 << 10
	value, name := float64(bytes), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	if name == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, name)
}
