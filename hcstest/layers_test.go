package hcstest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// tb collects the failures of a user's test.
type layersTB struct {
	errs    []string
	cleanup func()
}

func (tb *layersTB) Helper()          {}
func (tb *layersTB) Cleanup(f func()) { tb.cleanup = f }
func (tb *layersTB) Errorf(format string, args ...any) {
	tb.errs = append(tb.errs, fmt.Sprintf(format, args...))
}

// Each of these tests fails, as a user's test would.
func TestLayersFailTheTestThatMisusesThem(t *testing.T) {
	for name, c := range map[string]struct {
		use  func(s *hcstest.LayerStore, scratch, base string) error
		want string
	}{
		"left mounted": {func(s *hcstest.LayerStore, scratch, _ string) error {
			return s.Activate(scratch)
		}, "is mounted"},
		"activated twice": {func(s *hcstest.LayerStore, scratch, _ string) error {
			return errors.Join(s.Activate(scratch), s.Activate(scratch), s.Deactivate(scratch))
		}, "the scratch is active"},
		"prepared before it is active": {func(s *hcstest.LayerStore, scratch, base string) error {
			return s.Prepare(scratch, []string{base})
		}, "not active"},
		"deactivated before it is unprepared": {func(s *hcstest.LayerStore, scratch, base string) error {
			return errors.Join(s.Activate(scratch), s.Prepare(scratch, []string{base}), s.Deactivate(scratch))
		}, "is prepared"},
		"destroyed while it is active": {func(s *hcstest.LayerStore, scratch, _ string) error {
			return errors.Join(s.Activate(scratch), s.Destroy(scratch), s.Deactivate(scratch))
		}, "the scratch is active"},
		"destroyed below a scratch": {func(s *hcstest.LayerStore, scratch, base string) error {
			return errors.Join(s.Activate(scratch), s.Prepare(scratch, []string{base}), s.Destroy(base),
				s.Unprepare(scratch), s.Deactivate(scratch))
		}, "mounted by"},
		"expanded while it is active": {func(s *hcstest.LayerStore, scratch, _ string) error {
			return errors.Join(s.Activate(scratch), s.ExpandScratch(scratch, 1), s.Deactivate(scratch))
		}, "the scratch is active"},
	} {
		t.Run(name, func(t *testing.T) {
			tb := &layersTB{}
			s, base, scratch := hcstest.NewLayers(tb), t.TempDir(), filepath.Join(t.TempDir(), "scratch")
			if err := s.CreateScratch(scratch, []string{base}); err != nil {
				t.Fatal(err)
			}
			err := c.use(s, scratch, base)
			tb.cleanup()
			if len(tb.errs) != 1 || !strings.Contains(tb.errs[0], c.want) {
				t.Errorf("the test fails with %q, want %q; the calls: %v", tb.errs, c.want, err)
			}
		})
	}
}

func TestLayersAnswerWithTheCodesOfWindows(t *testing.T) {
	s, base := hcstest.NewLayers(t), t.TempDir()
	scratch, absent := filepath.Join(t.TempDir(), "scratch"), filepath.Join(base, "absent")
	if err := s.CreateScratch(scratch, []string{base}); err != nil {
		t.Fatal(err)
	}
	_, pathErr := s.MountPath(scratch)
	for _, c := range []struct {
		name string
		err  error
		want libcontainerd.Code
	}{
		{"scratch without layers", s.CreateScratch(absent, nil), libcontainerd.CodeInvalidParameter},
		{"scratch on nothing", s.CreateScratch(absent, []string{absent}), libcontainerd.CodePathNotFound},
		{"activate nothing", s.Activate(absent), libcontainerd.CodeFileNotFound},
		{"path of what is not mounted", pathErr, libcontainerd.CodeNotReady},
		{"unprepare what is not prepared", s.Unprepare(scratch), libcontainerd.CodeNotReady},
		{"deactivate what is not active", s.Deactivate(scratch), libcontainerd.CodeNotReady},
		{"destroy nothing", s.Destroy(absent), libcontainerd.CodePathNotFound},
		{"import onto nothing", s.Import(t.Context(), strings.NewReader(""), absent, []string{absent}), libcontainerd.CodePathNotFound},
		{"expand to nothing", s.ExpandScratch(scratch, 0), libcontainerd.CodeInvalidParameter},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
}

func TestEveryLayerCallMeetsFaults(t *testing.T) {
	s, base := hcstest.NewLayers(t), t.TempDir()
	for _, op := range hcstest.LayerOperations() {
		s.Inject(hcstest.Rule{Op: op, ID: base, Fault: hcstest.Fault{Err: libcontainerd.CodeBusy}})
	}
	_, pathErr := s.MountPath(base)
	for i, err := range []error{
		s.Import(t.Context(), strings.NewReader(""), base, nil), s.CreateScratch(base, nil), s.ExpandScratch(base, 1),
		s.Activate(base), s.Prepare(base, nil), pathErr, s.Unprepare(base), s.Deactivate(base), s.Destroy(base),
	} {
		if !errors.Is(err, libcontainerd.CodeBusy) || strings.Contains(err.Error(), base) {
			t.Errorf("%s: %v", hcstest.LayerOperations()[i], err)
		}
	}
	if n := len(s.Calls()); n != len(hcstest.LayerOperations()) {
		t.Errorf("%d calls", n)
	}
	if _, err := os.Stat(base); err != nil {
		t.Error(err)
	}
}
