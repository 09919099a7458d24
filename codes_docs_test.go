package libcontainerd

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCodesAreDocumented compares the generated part of docs/errors.md with the
// tables of this package; -update writes it.
func TestCodesAreDocumented(t *testing.T) {
	const file, begin, end = "docs/errors.md", "<!-- generated -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s lacks %s or %s", file, begin, end)
	}
	want := before + begin + "\n" + describeCodes() + "\n" + end + after
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s differs from the tables, run go test -run Documented -update . (-want +got):\n%s", file, diff)
	}
}

// describeCodes writes both tables as Markdown.
func describeCodes() string {
	var b strings.Builder
	for _, dialect := range []string{"HCS", "HCN", "Win32", "HRESULT", "NTSTATUS"} {
		fmt.Fprintf(&b, "### %s\n", dialect)
		for _, row := range codeTable {
			if row.Code.dialect() != dialect {
				continue
			}
			if len(row.When) == 0 {
				fmt.Fprintf(&b, "\n#### 0x%X %s\n\n", uint32(row.Code), row.Name)
			}
			describeRow(&b, row)
		}
		b.WriteByte('\n')
	}
	b.WriteString("### Exit codes\n\nThose that Windows gives to a process. A program may choose any other, or even one of these.\n\n")
	for _, code := range slices.Sorted(maps.Keys(exitCodes)) {
		writeItem(&b, "", fmt.Sprintf("**%d**, 0x%X %s: %s", code, code, ExitName(code), ExitHint(code)))
	}
	return b.String()
}

func describeRow(b *strings.Builder, row CodeInfo) {
	var kinds []string
	for _, kind := range row.Kinds {
		kinds = append(kinds, kind.Error())
	}
	general := &Error{} // has nothing to fill in
	means := general.expand(row.Means)
	if len(row.When) > 0 {
		means = "on " + strings.Join(row.When, ", ") + ": " + means
	}
	writeItem(b, "", means)
	writeItem(b, "  ", "kind: "+strings.Join(kinds, ", ")+"; retry: "+row.Retry.String())
	if row.Hint != "" {
		writeItem(b, "  ", "hint: "+general.expand(row.Hint))
	}
}

// writeItem writes an item of a list in lines of at most 120 characters.
func writeItem(b *strings.Builder, indent, text string) {
	line := indent + "-"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 120 {
			b.WriteString(line + "\n")
			line = indent + " "
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
