package libcontainerd

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// HCS quotes the document in its events, whole, in part, or as text in JSON.
func TestEventsShowNoSecrets(t *testing.T) {
	const document = `{"Name":"web1","Environment":{"PASSWORD":"hush","PATH":"C:\\hush","OK":"1"},"Credentials":"{\"a\":\"hush, \\\"}\"}","Owner":"me"}`
	quoted, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := json.Marshal(string(quoted))
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{"Name", "web1", "Environment", "Credentials", "Owner", "Provider"}
	for name, test := range map[string]struct {
		event string
		shown []string
	}{
		"whole":                   {"invalid: " + document + " Provider: x", shown},
		"text in JSON":            {"invalid: " + string(quoted) + " Provider: x", shown},
		"text in JSON in JSON":    {"invalid: " + string(twice) + " Provider: x", shown},
		"other spelling":          {`{ "environment" : {"A":"hush"}, "Name":"web1" }`, []string{"Name", "web1"}},
		"list":                    {`{"Env":["TOKEN=hush","hush"],"Name":"web1"}`, []string{"Name", "web1"}},
		"cut off in a name":       {`{"Name":"web1","Environment":{"A":"hush","PASS`, []string{"web1"}},
		"cut off in a value":      {`{"Name":"web1","Environment":{"A":"hus`, []string{"web1"}},
		"cut off in an escape":    {`{"Name":"web1","CredentialSpec":"hush\`, []string{"web1"}},
		"cut off in front":        {`RD":"hush","OK":"1"},"Credentials":"{\"a\":\"hush`, []string{"RD", "Credentials"}},
		"only a value":            {`variable PASSWORD=hush is too long`, []string{"PASSWORD", "too long"}},
		"escape that is not JSON": {`\"Environment\":{"A":"hush}","B":"hush"`, []string{"Environment"}},
		"mixed escapes":           {`"Environment":{\"A\":\"hush}\",\"B\":\"hush\"}`, []string{"Environment"}},
		"not a value":             {`"Environment": must be an object, not null. Provider: x`, []string{"Provider"}},
		"nothing secret":          {`{"Name":"web1","Owner":"me"} Provider: x`, []string{`{"Name":"web1","Owner":"me"} Provider: x`}},
	} {
		t.Run(name, func(t *testing.T) {
			err := newError("create", "web1", "", &Error{Code: CodeInvalidJSON, Document: document, Events: []string{test.event}})
			record, e := json.Marshal(err)
			if e != nil {
				t.Fatal(e)
			}
			for _, text := range []string{fmt.Sprintf("%+v", err), string(record)} {
				if strings.Contains(text, "hus") || strings.Contains(text, "PASS\n") {
					t.Errorf("a secret is shown: %s", text)
				}
			}
			text := redactText(test.event, secretsOf(document))
			for _, want := range test.shown {
				if !strings.Contains(text, want) {
					t.Errorf("%s lacks %s", text, want)
				}
			}
		})
	}
}

func TestLoggableEntry(t *testing.T) {
	for entry, want := range map[string]string{
		"":              "(an entry without a name)",
		"=":             "(an entry without a name)",
		"=hush":         "(an entry without a name)",
		"==hush":        "=",
		"NAME":          "NAME",
		"NAME=hush":     "NAME",
		"NAME=":         "NAME",
		`=C:=C:\hush`:   "=C:",
		"NAME=hu=sh=ed": "NAME",
	} {
		if got := loggableEntry(entry); got != want {
			t.Errorf("%q: %q, want %q", entry, got, want)
		}
	}
}

// However the value of a secret member is made, quoted and cut off, it is removed.
func FuzzRedactText(f *testing.F) {
	f.Add(`hush`, uint8(0), uint16(9999))
	f.Add(`hu"sh\`, uint8(1), uint16(30))
	f.Add(`\"},]{[`, uint8(2), uint16(9999))
	f.Fuzz(func(t *testing.T, value string, quotings uint8, length uint16) {
		const secret = "s3cr3t"
		event := marshal(t, map[string]any{"Environment": map[string]string{"A": value + secret}, "Name": "web1"})
		for range quotings % 4 {
			event = marshal(t, event)
		}
		cut := event[:min(len(event), int(length))]
		text := redactText(cut, nil)
		if strings.Contains(text, secret) {
			t.Errorf("%s shows the secret of %s", text, cut)
		}
		if cut == event && !strings.Contains(text, "web1") {
			t.Errorf("%s lacks what is not secret in %s", text, cut)
		}
	})
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
