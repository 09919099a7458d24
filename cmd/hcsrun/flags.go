package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wants checks the number of arguments. Its error names them.
func wants(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(strings.Fields(what)); len(args) != n {
			return fmt.Errorf("%s wants %s, got %d arguments: see hcsrun %[1]s --help", cmd.Name(), what, len(args))
		}
		return nil
	}
}

// flagError says what a flag needs, in words for people who do not write Go.
func flagError(_ *cobra.Command, err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	want, ok := map[string]string{
		"bool":     "true or false",
		"duration": "a duration such as 90s or 5m",
		"float64":  "a number",
		"uint16":   "a whole number, 0 to 65535",
		"uint32":   "a whole number, 0 to 4294967295",
	}[invalid.GetFlag().Value.Type()]
	if !ok {
		return err
	}
	return fmt.Errorf("--%s %q: want %s", invalid.GetFlag().Name, invalid.GetValue(), want)
}

// positive checks a duration that a flag gave.
func positive(flag string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--%s %v: want a duration above 0, such as 90s or 5m", flag, d)
	}
	return nil
}
