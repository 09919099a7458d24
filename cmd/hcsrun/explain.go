package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain CODE…",
		Short: "Tell what is known of a Windows error or exit code",
		Long: `explain tells what is known of a Win32 code, HRESULT, NTSTATUS or HCS code, or of
the exit code of a process: its name, meaning, kind, whether to retry, and a
hint. CODE is hexadecimal with 0x, or decimal; put -- before a negative one.`,
		Example: "  hcsrun explain 0xC0370106 3221225786\n  hcsrun explain -- -1070137073",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			codes := make([]uint32, len(args))
			for i, arg := range args {
				code, err := parseCode(arg)
				if err != nil {
					return err
				}
				codes[i] = code
			}
			for i, code := range codes {
				if i > 0 {
					fmt.Fprintln(a.stdout)
				}
				explain(a.stdout, code)
			}
			return nil
		},
	}
}

// parseCode reads a code as the various tools of Windows print it.
func parseCode(text string) (uint32, error) {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil || n < -1<<31 || n > 1<<32-1 {
		return 0, fmt.Errorf("%q is no code: want a number of 32 bits such as 0xC0370106 or -1070137073", text)
	}
	return uint32(n), nil
}

func explain(w io.Writer, number uint32) {
	code := libcontainerd.Code(number)
	infos := code.Explain()
	fmt.Fprintln(w, code)
	exitName := libcontainerd.ExitName(number)
	if len(infos) == 0 && exitName == "" {
		fmt.Fprintln(w, "  nothing is known of it")
	}
	for _, info := range infos {
		indent := "  "
		if len(info.When) > 0 {
			fmt.Fprintf(w, "  on %s: %s\n", strings.Join(info.When, ", "), info.Means)
			indent = "    "
		}
		kinds := make([]string, len(info.Kinds))
		for i, kind := range info.Kinds {
			kinds[i] = kind.Error()
		}
		fmt.Fprintf(w, "%skind:  %s\n", indent, strings.Join(kinds, ", "))
		fmt.Fprintf(w, "%sretry: %s\n", indent, info.Retry)
		if info.Hint != "" {
			fmt.Fprintf(w, "%shint:  %s\n", indent, info.Hint)
		}
	}
	if exitName != "" {
		fmt.Fprintf(w, "  as an exit code: %s\n", exitName)
	}
}
