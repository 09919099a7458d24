package main

import (
	"fmt"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain CODE…",
		Short: "Say what a Windows error or exit code means",
		Long: `explain prints the name, meaning and kind of a Win32 code, HRESULT, NTSTATUS, HCS
code or exit code of a process, whether to retry, and a hint. CODE is a name, or a
number as Windows prints it, hexadecimal or decimal. Put -- before a negative
number.`,
		Example: "  hcsrun explain IMAGE_MISMATCH c0370106 3221225786\n  hcsrun explain -- -1070137073",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			explanations := make([]explanation, len(args))
			for i, arg := range args {
				code, err := libcontainerd.ParseCode(arg)
				if err != nil {
					return err
				}
				explanations[i] = explain(code)
			}
			if a.json {
				return a.printJSON(explanations)
			}
			for i, e := range explanations {
				if i > 0 {
					fmt.Fprintln(a.stdout)
				}
				a.printExplanation(e)
			}
			return nil
		},
	}
}

// explanation has the facts about a code.
type explanation struct {
	Code     string    `json:"code"`
	Name     string    `json:"name,omitempty"`
	Exit     string    `json:"exit,omitempty"` // its name as an exit code
	ExitHint string    `json:"exit_hint,omitempty"`
	Readings []reading `json:"readings"`

	label string
}

// reading is the meaning of a code after some operations.
type reading struct {
	When  []string `json:"when,omitempty"` // the operations; empty: any
	Means string   `json:"means"`
	Kinds []string `json:"kinds"`
	Retry string   `json:"retry"`
	Hint  string   `json:"hint,omitempty"`
}

func explain(code libcontainerd.Code) explanation {
	e := explanation{
		Code:     fmt.Sprintf("0x%08X", uint32(code)),
		Name:     code.Name(),
		Exit:     libcontainerd.ExitName(uint32(code)),
		ExitHint: libcontainerd.ExitHint(uint32(code)),
		Readings: []reading{},
		label:    code.Error(),
	}
	for _, info := range code.Explain() {
		r := reading{When: info.When, Means: info.Means, Retry: info.Retry.String(), Hint: info.Hint}
		for _, kind := range info.Kinds {
			r.Kinds = append(r.Kinds, kind.Error())
		}
		e.Readings = append(e.Readings, r)
	}
	return e
}

func (a *app) printExplanation(e explanation) {
	w := a.stdout
	fmt.Fprintln(w, w.paint(bold, e.label))
	if len(e.Readings) == 0 && e.Exit == "" {
		fmt.Fprintln(w, "  nothing is known of it")
	}
	for _, r := range e.Readings {
		indent := "  "
		if len(r.When) > 0 {
			fmt.Fprintf(w, "  on %s: %s\n", strings.Join(r.When, ", "), r.Means)
			indent = "    "
		}
		fmt.Fprintf(w, "%skind:  %s\n", indent, strings.Join(r.Kinds, ", "))
		fmt.Fprintf(w, "%sretry: %s\n", indent, r.Retry)
		if r.Hint != "" {
			fmt.Fprintf(w, "%shint:  %s\n", indent, r.Hint)
		}
	}
	if e.Exit != "" {
		fmt.Fprintf(w, "  as an exit code: %s\n", e.Exit)
		if e.ExitHint != "" {
			fmt.Fprintf(w, "    hint:  %s\n", e.ExitHint)
		}
	}
}
