package libcontainerd

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// Each limit reaches HCS, or a warning says that it does not, and UpdateResources
// names it.
func TestNoLimitIsForgotten(t *testing.T) {
	var names []string
	var limits func(typ reflect.Type, name string)
	limits = func(typ reflect.Type, name string) {
		for field := range typ.Fields() {
			member := strings.TrimPrefix(name+"."+jsonName(field), ".")
			if inner := field.Type.Elem(); inner.Kind() == reflect.Struct {
				limits(inner, member)
			} else {
				names = append(names, member)
			}
		}
	}
	limits(reflect.TypeFor[Resources](), "")
	if len(names) == 0 {
		t.Fatal("there are no limits")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r := onlyLimit(name)
			err := r.unchangeable()
			if !errors.Is(err, errdefs.ErrNotImplemented) || !strings.Contains(err.Error(), "resources."+name+" ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("UpdateResources: got %v: name the limit in unchangeable (resources.go)", err)
			}
			var doc containerInit
			warnings := doc.setResources(&r, server2022.host, false)
			if len(warnings) == 0 && reflect.ValueOf(doc).IsZero() {
				t.Error("neither the document nor a warning has it: setResources (resources.go)")
			}
			for _, w := range warnings {
				if !strings.HasPrefix(w, "windows.resources."+name+": ") {
					t.Errorf("warning of another limit: %s", w)
				}
			}
		})
	}
}

// onlyLimit returns resources with one limit set.
func onlyLimit(name string) (r Resources) {
	v := reflect.ValueOf(&r).Elem()
	for part := range strings.SplitSeq(name, ".") {
		for field, member := range v.Fields() {
			if jsonName(field) == part {
				member.Set(reflect.New(member.Type().Elem()))
				v = member.Elem()
				break
			}
		}
	}
	if v.CanInt() {
		v.SetInt(1 << 20)
	} else {
		v.SetUint(1 << 20)
	}
	return r
}

func TestNoLimitIsNothingToChange(t *testing.T) {
	for _, r := range []Resources{
		{},
		{Memory: &Memory{}, CPU: &CPU{}, Storage: &Storage{}, Network: &Network{}},
		{Memory: &Memory{Limit: new(int64(0))}, CPU: &CPU{Shares: new(uint64(0))}},
	} {
		if err := r.unchangeable(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
