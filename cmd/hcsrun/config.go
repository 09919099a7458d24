package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	var choice hcsChoice
	var id, whose string
	var indent bool
	cmd := &cobra.Command{
		Use:   "config FILE",
		Short: "Print the HCS document of a spec",
		Long: `config prints the document that HCS would get for FILE, an OCI config.json or a
2016 spec ("-" is standard input). It creates nothing. Outside Windows the layer
ids differ from those that Windows computes.`,
		Example: "  hcsrun config --indent testdata/specs/oci-servercore-hyperv.json",
		Args:    wants("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			spec, service, err := a.load(args[0], choice)
			if err != nil {
				return err
			}
			if err := a.newGround("", service).resolve(&spec); err != nil {
				return err
			}
			document, err := libcontainerd.Configuration(cmp.Or(id, defaultID(args[0])), spec, service)
			if err != nil {
				return err
			}
			return a.print(withOwner(document, whose), indent)
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "id of the container (default: the name of the file)")
	cmd.Flags().StringVar(&whose, "owner", owner, "owner that the compute system is marked with")
	cmd.Flags().BoolVar(&indent, "indent", false, "print the document on several lines")
	choice.addFlags(cmd)
	return cmd
}

// withOwner writes the owner into a document that was made with default settings,
// as run does. No other text can look like this member: its quotation marks would
// be escaped.
func withOwner(document, owner string) string {
	member := func(owner string) string {
		text, _ := json.Marshal(map[string]string{"Owner": owner})
		return string(text[1 : len(text)-1])
	}
	return strings.Replace(document, member(libcontainerd.DefaultOwner), member(owner), 1)
}

// print writes a JSON document, indented or else byte for byte.
func (a *app) print(document string, indent bool) error {
	text := []byte(document)
	if indent {
		var b bytes.Buffer
		if err := json.Indent(&b, text, "", "  "); err != nil {
			return err
		}
		text = b.Bytes()
	}
	_, err := a.stdout.Write(append(text, '\n'))
	return err
}
