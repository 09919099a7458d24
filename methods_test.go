package libcontainerd_test

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// A method of Client is in the model, in the table of TestClosedClientRefusesEveryMethod,
// and in the README.
func TestEveryMethodIsModelledAndDescribed(t *testing.T) {
	model := readText(t, "model_test.go")
	readme := readText(t, "README.md")
	for method := range reflect.TypeFor[libcontainerd.Client]().Methods() {
		name := method.Name
		if !regexp.MustCompile(`"` + name + `": |\bm\.e\.` + name + `\b`).MatchString(model) {
			t.Errorf("%s: no action and no check of the model calls it: model_test.go", name)
		}
		if !regexp.MustCompile("`" + name + "[`(]").MatchString(readme) {
			t.Errorf("%s: README.md does not name it", name)
		}
		if _, ok := methodCalls[name]; !ok && name != "Close" {
			t.Errorf("%s: no line in methodCalls", name)
		}
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// methodCalls calls each method of a client that is closed.
var methodCalls = map[string]func(*testing.T, libcontainerd.Client) error{
	"Create": func(_ *testing.T, c libcontainerd.Client) error { return c.Create("c1", spec("cmd")) },
	"Signal": func(_ *testing.T, c libcontainerd.Client) error { return c.Signal("c1", 9) },
	"SignalProcess": func(_ *testing.T, c libcontainerd.Client) error {
		return c.SignalProcess("c1", "p1", 9)
	},
	"AddProcess": func(_ *testing.T, c libcontainerd.Client) error {
		return c.AddProcess("c1", "p1", exec("cmd"))
	},
	"Resize":  func(_ *testing.T, c libcontainerd.Client) error { return c.Resize("c1", "p1", 80, 25) },
	"Pause":   func(_ *testing.T, c libcontainerd.Client) error { return c.Pause("c1") },
	"Resume":  func(_ *testing.T, c libcontainerd.Client) error { return c.Resume("c1") },
	"Restore": func(_ *testing.T, c libcontainerd.Client) error { return c.Restore("c1") },
	"Reconcile": func(t *testing.T, c libcontainerd.Client) error {
		_, err := c.Reconcile(t.Context(), "ci")
		return err
	},
	"Stats": func(_ *testing.T, c libcontainerd.Client) error { _, err := c.Stats("c1"); return err },
	"GetPidsForContainer": func(_ *testing.T, c libcontainerd.Client) error {
		_, err := c.GetPidsForContainer("c1")
		return err
	},
	"Summary": func(_ *testing.T, c libcontainerd.Client) error { _, err := c.Summary("c1"); return err },
	"State":   func(_ *testing.T, c libcontainerd.Client) error { _, err := c.State("c1"); return err },
	"UpdateResources": func(_ *testing.T, c libcontainerd.Client) error {
		return c.UpdateResources("c1", libcontainerd.Resources{})
	},
	"Info": func(_ *testing.T, c libcontainerd.Client) error { _, err := c.Info(); return err },
}

func TestClosedClientRefusesEveryMethod(t *testing.T) {
	hcs := hcstest.New(t)
	e := newEngine(t, hcs)
	must(t, e.Close())
	calls := len(hcs.Calls())
	for name, call := range methodCalls {
		if err := call(t, e.Client); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked := hcs.Calls()[calls:]; len(asked) > 0 {
		t.Errorf("HCS was asked: %v", asked)
	}
}
