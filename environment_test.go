package libcontainerd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every variable reaches the process, but for those that Windows does not take. See
// lessons_test.go: 16, D47, P11.
func TestEnvironment(t *testing.T) {
	tests := []struct {
		name    string
		env     []string
		want    map[string]string
		dropped []string
	}{
		{"none", nil, nil, nil},
		{"value with =", []string{"A=b=c", "B=="}, map[string]string{"A": "b=c", "B": "="}, nil},
		{"empty value", []string{"A="}, map[string]string{"A": ""}, nil},
		{"current folder of a drive", []string{`=C:=C:\x`}, map[string]string{"=C:": `C:\x`}, nil},
		{"no =", []string{"A", "", "=", "=A", "B=c"}, map[string]string{"B": "c"}, []string{"A", "", "=", "=A"}},
		{"last wins", []string{"A=1", "A=2"}, map[string]string{"A": "2"}, []string{"A"}},
		{"last wins, whatever its case", []string{"Path=1", "X=y", "PATH=2", "path=3"}, map[string]string{"path": "3", "X": "y"}, []string{"Path", "PATH"}},
		{"case beyond ASCII", []string{"Größe=1", "GRÖßE=2"}, map[string]string{"GRÖßE": "2"}, []string{"Größe"}},
		{"what Windows tells apart", []string{"ſ=1", "s=2", "ı=3", "i=4", "ß=5", "ss=6"},
			map[string]string{"ſ": "1", "s": "2", "ı": "3", "i": "4", "ß": "5", "ss": "6"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, dropped := environment(tt.env)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.dropped, dropped); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("A=b\nPath=x\npath=y")
	f.Add("=C:=C:\\x\n=\n\nA\n==b")
	f.Add("é=1\nÉ=2\nſ=3\nS=4\n\xff=5")
	f.Fuzz(func(t *testing.T, text string) {
		env := strings.Split(text, "\n")
		vars, dropped := environment(env)
		if len(vars)+len(dropped) != len(env) {
			t.Errorf("%d variables and %d dropped of %d entries", len(vars), len(dropped), len(env))
		}
		for name, value := range vars {
			if name == "" || strings.Contains(name[1:], "=") {
				t.Errorf("name %q", name)
			}
			if !strings.Contains("\n"+text+"\n", "\n"+name+"="+value+"\n") {
				t.Errorf("%q=%q is not in %q", name, value, text)
			}
			for other := range vars {
				if other != name && strings.Map(upperCase, other) == strings.Map(upperCase, name) {
					t.Errorf("both %q and %q", name, other)
				}
			}
		}
	})
}
