package layers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// ops are the calls of a store, the oldest first.
func ops(store *hcstest.LayerStore) []hcstest.Op {
	var list []hcstest.Op
	for _, call := range store.Calls() {
		list = append(list, call.Op)
	}
	return list
}

func TestMountGivesWhatASpecWants(t *testing.T) {
	store := hcstest.NewLayers(t)
	all := stack(t, "top", "base")
	scratch := filepath.Join(t.TempDir(), "scratches", "web")
	m, err := layers.Mount(t.Context(), all, scratch, layers.WithDriver(store), layers.WithContainer("web"))
	if err != nil {
		t.Fatal(err)
	}
	var spec libcontainerd.Spec
	m.Apply(&spec)
	if !strings.HasPrefix(spec.Root.Path, `\\?\Volume{`) || !strings.HasSuffix(spec.Root.Path, "}") {
		t.Errorf("root %q", spec.Root.Path)
	}
	if spec.Windows.LayerFolder != scratch || m.Container != "web" || m.Keep {
		t.Errorf("%+v, %+v", spec.Windows, m)
	}
	if diff := cmp.Diff([]string(all), spec.Windows.LayerPaths); diff != "" {
		t.Error(diff)
	}
	if got := store.Mounted(); !slices.Equal(got, []string{scratch}) {
		t.Errorf("mounted: %v", got)
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}
	empty(t, filepath.Dir(scratch))
	want := []hcstest.Op{
		hcstest.OpCreateScratch, hcstest.OpActivate, hcstest.OpPrepare, hcstest.OpMountPath,
		hcstest.OpUnprepare, hcstest.OpDeactivate, hcstest.OpDestroy,
	}
	if diff := cmp.Diff(want, ops(store)); diff != "" {
		t.Error(diff)
	}
}

func TestMountKeepsAScratchThatWasThere(t *testing.T) {
	store := hcstest.NewLayers(t)
	all := stack(t, "base")
	scratch := filepath.Join(t.TempDir(), "web")
	for i := range 2 {
		m, err := layers.Mount(t.Context(), all, scratch, layers.WithDriver(store), layers.WithKeptScratch())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(scratch, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := m.Unmount(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m, err := layers.Mount(t.Context(), all, scratch, layers.WithDriver(store))
	if err != nil {
		t.Fatal(err)
	}
	if !m.Keep || len(store.Calls(hcstest.OpCreateScratch)) != 1 {
		t.Errorf("keep %v, calls %v", m.Keep, ops(store))
	}
	m.Keep = false
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	empty(t, filepath.Dir(scratch))
}

func TestMountForHyperVMountsNothingOnTheHost(t *testing.T) {
	store := hcstest.NewLayers(t)
	scratch := filepath.Join(t.TempDir(), "web")
	m, err := layers.Mount(t.Context(), stack(t, "base"), scratch, layers.WithDriver(store), layers.WithHyperV())
	if err != nil {
		t.Fatal(err)
	}
	if m.Root != "" || len(store.Mounted()) != 0 {
		t.Errorf("root %q, mounted %v", m.Root, store.Mounted())
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []hcstest.Op{hcstest.OpCreateScratch, hcstest.OpDestroy}
	if diff := cmp.Diff(want, ops(store)); diff != "" {
		t.Error(diff)
	}
	empty(t, filepath.Dir(scratch))
}

func TestMountTriesAgainWhatIsNotReady(t *testing.T) {
	for name, op := range map[string]hcstest.Op{"activate": hcstest.OpActivate, "prepare": hcstest.OpPrepare, "path": hcstest.OpMountPath} {
		for _, code := range []libcontainerd.Code{libcontainerd.CodeNotReady, 1167} {
			for failures := 3; failures <= 5; failures++ {
				t.Run(fmt.Sprintf("%s %d %d", name, code, failures), func(t *testing.T) {
					testRepetition(t, op, code, failures)
				})
			}
		}
	}
}

func testRepetition(t *testing.T, op hcstest.Op, code libcontainerd.Code, failures int) {
	t.Helper()
	all, folder := stack(t, "base"), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := hcstest.NewLayers(t)
		store.Fail(op, "", slices.Repeat([]error{code}, failures)...)
		begin := time.Now()
		m, err := layers.Mount(t.Context(), all, filepath.Join(folder, "web"), layers.WithDriver(store))
		if failures == 5 {
			wantError(t, err, code)
			if time.Since(begin) != 400*time.Millisecond {
				t.Errorf("gave up after %v", time.Since(begin))
			}
			empty(t, folder)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if took, want := time.Since(begin), time.Duration(failures)*100*time.Millisecond; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
		if err := m.Unmount(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMountThatFailsLeavesNothing(t *testing.T) {
	for _, op := range []hcstest.Op{
		hcstest.OpCreateScratch, hcstest.OpExpandScratch, hcstest.OpActivate, hcstest.OpPrepare, hcstest.OpMountPath,
	} {
		t.Run(string(op), func(t *testing.T) {
			store, folder := hcstest.NewLayers(t), t.TempDir()
			for _, done := range []bool{false, op == hcstest.OpCreateScratch} {
				in := store.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Err: libcontainerd.CodeAccessDenied, Done: done}})
				_, err := layers.Mount(t.Context(), stack(t, "base"), filepath.Join(folder, "web"),
					layers.WithDriver(store), layers.WithScratchSize(30<<30))
				wantError(t, err, libcontainerd.CodeAccessDenied, "web")
				empty(t, folder)
				if left := store.Mounted(); len(left) > 0 {
					t.Errorf("mounted: %v", left)
				}
				in.Release()
			}
		})
	}
}

// What cannot be undone is in the error and in the record, and can be released
// later.
func TestMountThatCannotBeUndoneIsListed(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpDeactivate, hcstest.OpDestroy} {
		t.Run(string(op), func(t *testing.T) {
			store, folder := hcstest.NewLayers(t), t.TempDir()
			scratch := filepath.Join(folder, "web")
			store.Fail(hcstest.OpPrepare, "", libcontainerd.CodeInvalidLayer)
			store.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Err: libcontainerd.CodeInvalidParameter}})
			_, err := layers.Mount(t.Context(), stack(t, "base"), scratch, layers.WithDriver(store))
			wantError(t, err, libcontainerd.CodeInvalidLayer, "could not be undone")
			wantError(t, err, libcontainerd.CodeInvalidParameter)
			if list := listed(t, folder); len(list) != 1 || list[0].InUse || list[0].Scratch != scratch {
				t.Fatalf("listed: %+v", list)
			}
			store.Heal()
			if err := layers.Release(t.Context(), scratch, layers.WithDriver(store)); err != nil {
				t.Fatal(err)
			}
			empty(t, folder)
		})
	}
}

func listed(t *testing.T, folder string) []layers.MountInfo {
	t.Helper()
	list, err := layers.List(folder)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestMountRefusesBadInput(t *testing.T) {
	store := hcstest.NewLayers(t)
	good := stack(t, "top", "base")
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "diary.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		layers  layers.Layers
		scratch string
		options []layers.MountOption
		kind    error
		says    string
	}{
		"no layers":             {nil, "s", nil, errdefs.ErrInvalidArgument, "layers: is empty"},
		"a layer that is gone":  {layers.Layers{good[0] + "x"}, "s", nil, errdefs.ErrNotFound, "layers[0]"},
		"a relative layer":      {layers.Layers{"base"}, "s", nil, errdefs.ErrInvalidArgument, "layers[0]"},
		"layers of one name":    {layers.Layers{good[0], stack(t, "top")[0]}, "s", nil, errdefs.ErrInvalidArgument, "layers[1]"},
		"no scratch":            {good, "", nil, errdefs.ErrInvalidArgument, "scratch"},
		"a disk as scratch":     {good, "/", nil, errdefs.ErrInvalidArgument, "scratch"},
		"a folder with content": {good, full, nil, errdefs.ErrInvalidArgument, "diary.txt"},
		"a file as scratch":     {good, filepath.Join(full, "diary.txt"), nil, errdefs.ErrInvalidArgument, "scratch"},
		"no driver":             {good, "s", []layers.MountOption{layers.WithDriver(nil)}, errdefs.ErrInvalidArgument, "driver: is nil"},
		"a small scratch":       {good, "s", []layers.MountOption{layers.WithScratchSize(1)}, errdefs.ErrInvalidArgument, "scratch size"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if c.scratch == "s" {
				c.scratch = filepath.Join(folder, "s")
			}
			_, err := layers.Mount(t.Context(), c.layers, c.scratch, slices.Insert(c.options, 0, layers.MountOption(layers.WithDriver(store)))...)
			wantError(t, err, c.kind, c.says)
			empty(t, folder)
		})
	}
	if len(store.Calls()) > 0 {
		t.Errorf("calls: %v", ops(store))
	}
}

func TestMountOfAScratchThatIsMounted(t *testing.T) {
	store := hcstest.NewLayers(t)
	all, scratch := stack(t, "base"), filepath.Join(t.TempDir(), "web")
	m, err := layers.Mount(t.Context(), all, scratch, layers.WithDriver(store))
	if err != nil {
		t.Fatal(err)
	}
	_, err = layers.Mount(t.Context(), all, scratch, layers.WithDriver(store))
	wantError(t, err, errdefs.ErrAlreadyExists, "mounted already")
	_, err = layers.Open(scratch, layers.WithDriver(store))
	wantError(t, err, errdefs.ErrFailedPrecondition, "still runs")
	err = layers.Release(t.Context(), scratch, layers.WithDriver(store))
	wantError(t, err, errdefs.ErrFailedPrecondition, "still runs")
	if list := listed(t, filepath.Dir(scratch)); len(list) != 1 || !list[0].InUse {
		t.Errorf("listed: %+v", list)
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestUnmountGoesOnWhereItStopped(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpUnprepare, hcstest.OpDeactivate, hcstest.OpDestroy} {
		t.Run(string(op), func(t *testing.T) {
			store, folder := hcstest.NewLayers(t), t.TempDir()
			m, err := layers.Mount(t.Context(), stack(t, "base"), filepath.Join(folder, "web"), layers.WithDriver(store))
			if err != nil {
				t.Fatal(err)
			}
			store.Fail(op, "", libcontainerd.CodeInvalidParameter)
			wantError(t, m.Unmount(t.Context()), libcontainerd.CodeInvalidParameter, "unmount", "web")
			if len(listed(t, folder)) != 1 {
				t.Error("it is not recorded any more")
			}
			if err := m.Unmount(t.Context()); err != nil {
				t.Fatal(err)
			}
			empty(t, folder)
			for _, each := range []hcstest.Op{hcstest.OpUnprepare, hcstest.OpDeactivate, hcstest.OpDestroy} {
				want := 1
				if each == op {
					want = 2
				}
				if got := len(store.Calls(each)); got != want {
					t.Errorf("%s was called %d times", each, got)
				}
			}
		})
	}
}

func TestUnmountTriesAgainWhatIsBusy(t *testing.T) {
	all, folder := stack(t, "base"), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := hcstest.NewLayers(t)
		m, err := layers.Mount(t.Context(), all, filepath.Join(folder, "web"), layers.WithDriver(store))
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []hcstest.Op{hcstest.OpUnprepare, hcstest.OpDeactivate, hcstest.OpDestroy} {
			store.Fail(op, "", libcontainerd.CodeSharingViolation, libcontainerd.CodeAccessDenied)
		}
		if err := m.Unmount(t.Context()); err != nil {
			t.Fatal(err)
		}
		empty(t, folder)
	})
}

// Mount stops waiting for a call that hangs, and undoes it when it answers.
func TestMountThatHangsIsGivenUpAndUndone(t *testing.T) {
	all, folder := stack(t, "base"), t.TempDir()
	for _, op := range []hcstest.Op{hcstest.OpCreateScratch, hcstest.OpActivate, hcstest.OpPrepare, hcstest.OpMountPath} {
		synctest.Test(t, func(t *testing.T) {
			store := hcstest.NewLayers(t)
			in := store.Hang(op, "")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			_, err := layers.Mount(ctx, all, filepath.Join(folder, "web"), layers.WithDriver(store))
			wantError(t, err, context.DeadlineExceeded, "has not answered for 30s")
			if took := time.Since(begin); took != 31*time.Second {
				t.Errorf("%s: took %v", op, took)
			}
			in.Release()
			synctest.Wait()
			empty(t, folder)
			if left := store.Mounted(); len(left) > 0 {
				t.Errorf("mounted: %v", left)
			}
		})
	}
}

// A call that is slow is waited for, so that nothing is mounted when Mount returns.
func TestMountThatIsCancelledUndoesBeforeItReturns(t *testing.T) {
	all, folder := stack(t, "base"), t.TempDir()
	for _, op := range []hcstest.Op{hcstest.OpCreateScratch, hcstest.OpActivate, hcstest.OpPrepare, hcstest.OpMountPath} {
		synctest.Test(t, func(t *testing.T) {
			store := hcstest.NewLayers(t)
			store.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Delay: 10 * time.Second}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := layers.Mount(ctx, all, filepath.Join(folder, "web"), layers.WithDriver(store))
			wantError(t, err, context.DeadlineExceeded, "web")
			empty(t, folder)
			if left := store.Mounted(); len(left) > 0 {
				t.Errorf("mounted: %v", left)
			}
		})
	}
}

func TestUnmountThatHangsIsGivenUpAndCanBeRepeated(t *testing.T) {
	all, folder := stack(t, "base"), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := hcstest.NewLayers(t)
		m, err := layers.Mount(t.Context(), all, filepath.Join(folder, "web"), layers.WithDriver(store))
		if err != nil {
			t.Fatal(err)
		}
		in := store.Hang(hcstest.OpUnprepare, "")
		for range 2 { // the second one waits for the first
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			wantError(t, m.Unmount(ctx), context.DeadlineExceeded)
			cancel()
		}
		in.Release()
		if err := m.Unmount(t.Context()); err != nil {
			t.Fatal(err)
		}
		empty(t, folder)
	})
}

// An engine that died left a mount: its record is not locked.
func leftBehind(t *testing.T, store *hcstest.LayerStore, all layers.Layers, scratch string, options ...layers.MountOption) {
	t.Helper()
	for _, op := range []hcstest.Op{hcstest.OpUnprepare, hcstest.OpDeactivate} {
		defer store.Inject(hcstest.Rule{Op: op, Fault: hcstest.Fault{Err: libcontainerd.CodeInvalidParameter}}).Release()
	}
	m, err := layers.Mount(t.Context(), all, scratch, append(options, layers.WithDriver(store))...)
	if err != nil {
		t.Fatal(err)
	}
	layers.Abandon(m)
}

func TestOpenTakesOverWhatAnotherProcessMounted(t *testing.T) {
	for _, options := range [][]layers.MountOption{nil, {layers.WithHyperV()}, {layers.WithKeptScratch()}} {
		store := hcstest.NewLayers(t)
		all, scratch := stack(t, "top", "base"), filepath.Join(t.TempDir(), "web")
		leftBehind(t, store, all, scratch, append(options, layers.WithContainer("web"))...)
		info := listed(t, filepath.Dir(scratch))
		if len(info) != 1 || info[0].InUse || info[0].Container != "web" || info[0].Since.IsZero() || !slices.Equal(info[0].Layers, all) {
			t.Fatalf("listed: %+v", info)
		}
		m, err := layers.Open(scratch, layers.WithDriver(store))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.Layers, all) || m.Container != "web" || m.Keep != info[0].Keep || (m.Root == "") != info[0].HyperV {
			t.Errorf("%+v", m)
		}
		if !listed(t, filepath.Dir(scratch))[0].InUse {
			t.Error("it is not in use after it was opened")
		}
		if err := m.Unmount(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !m.Keep {
			empty(t, filepath.Dir(scratch))
		}
		absent(t, scratch+".mount.json")
	}
}

func TestOpenAfterARestartOfTheHost(t *testing.T) {
	store := hcstest.NewLayers(t)
	scratch := filepath.Join(t.TempDir(), "web")
	leftBehind(t, store, stack(t, "base"), scratch)
	store.Restart()
	_, err := layers.Open(scratch, layers.WithDriver(store))
	wantError(t, err, libcontainerd.CodeNotReady)
	if err := layers.Release(t.Context(), scratch, layers.WithDriver(store)); err != nil {
		t.Fatal(err)
	}
	empty(t, filepath.Dir(scratch))
}

func TestOpenAndReleaseOfWhatIsNotMounted(t *testing.T) {
	store := hcstest.NewLayers(t)
	scratch := filepath.Join(t.TempDir(), "web")
	_, err := layers.Open(scratch, layers.WithDriver(store))
	wantError(t, err, errdefs.ErrNotFound, "not mounted")
	wantError(t, layers.Release(t.Context(), scratch, layers.WithDriver(store)), errdefs.ErrNotFound, "not mounted")
	if list := listed(t, filepath.Join(scratch, "absent")); list != nil {
		t.Errorf("listed: %v", list)
	}
}

// A process that dies between two steps leaves what these steps did.
func TestReleaseFromEveryStep(t *testing.T) {
	for _, op := range []hcstest.Op{hcstest.OpCreateScratch, hcstest.OpActivate, hcstest.OpPrepare, hcstest.OpMountPath} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %v", op, done), func(t *testing.T) {
				store, folder := hcstest.NewLayers(t), t.TempDir()
				scratch := filepath.Join(folder, "web")
				// From here on the process is dead: its calls have no effect.
				died := errors.New("died")
				store.OnCall(op, func(hcstest.Call) *hcstest.Fault {
					for _, undo := range []hcstest.Op{hcstest.OpUnprepare, hcstest.OpDeactivate, hcstest.OpDestroy} {
						store.Inject(hcstest.Rule{Op: undo, Fault: hcstest.Fault{Err: died}})
					}
					return &hcstest.Fault{Err: died, Done: done}
				})
				_, err := layers.Mount(t.Context(), stack(t, "base"), scratch, layers.WithDriver(store))
				wantError(t, err, died)
				store.Heal()
				for _, left := range listed(t, folder) {
					if err := layers.Release(t.Context(), left.Scratch, layers.WithDriver(store)); err != nil {
						t.Fatal(err)
					}
				}
				empty(t, folder)
			})
		}
	}
}

// A process that died while it wrote the record had done nothing yet.
func TestReleaseOfARecordThatIsIncomplete(t *testing.T) {
	store, folder := hcstest.NewLayers(t), t.TempDir()
	scratch := filepath.Join(folder, "web")
	for _, text := range []string{"", `{"layers":["C`} {
		if err := os.WriteFile(scratch+".mount.json", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if list := listed(t, folder); len(list) != 1 || list[0].InUse {
			t.Errorf("listed: %+v", list)
		}
		if err := layers.Release(t.Context(), scratch, layers.WithDriver(store)); err != nil {
			t.Fatal(err)
		}
		empty(t, folder)
	}
}

func TestReleaseSaysWhatItCannotUndo(t *testing.T) {
	store, folder := hcstest.NewLayers(t), t.TempDir()
	scratch := filepath.Join(folder, "web")
	leftBehind(t, store, stack(t, "base"), scratch)
	store.Inject(hcstest.Rule{Op: hcstest.OpDeactivate, Times: 1, Fault: hcstest.Fault{Err: libcontainerd.CodeInvalidLayer}})
	wantError(t, layers.Release(t.Context(), scratch, layers.WithDriver(store)), libcontainerd.CodeInvalidLayer, "release")
	if err := layers.Release(t.Context(), scratch, layers.WithDriver(store)); err != nil {
		t.Fatal(err)
	}
	empty(t, folder)
}

// Whatever happens at the same time, each scratch is mounted and unmounted once.
func TestMountsConcurrently(t *testing.T) {
	store, folder := hcstest.NewLayers(t), t.TempDir()
	all := stack(t, "base")
	var work sync.WaitGroup
	for i := range 8 {
		for range 3 {
			work.Go(func() {
				scratch := filepath.Join(folder, fmt.Sprint("web", i))
				m, err := layers.Mount(t.Context(), all, scratch, layers.WithDriver(store))
				if err != nil {
					if !errdefs.IsAlreadyExists(err) && !errors.Is(err, errdefs.ErrInvalidArgument) {
						t.Error(err)
					}
					return
				}
				if _, err := layers.List(folder); err != nil {
					t.Error(err)
				}
				if err := layers.Release(t.Context(), scratch, layers.WithDriver(store)); !errdefs.IsFailedPrecondition(err) {
					t.Errorf("released in use: %v", err)
				}
				if err := m.Unmount(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	work.Wait()
	empty(t, folder)
}

func TestWithoutADriver(t *testing.T) {
	if layers.HostHasDriver {
		t.Skip("Windows has one")
	}
	_, err := layers.Mount(t.Context(), stack(t, "base"), filepath.Join(t.TempDir(), "web"))
	wantError(t, err, errdefs.ErrNotImplemented, "WithDriver")
	_, err = layers.Import(t.Context(), strings.NewReader(""), filepath.Join(t.TempDir(), "store"))
	wantError(t, err, errdefs.ErrNotImplemented, "WithDriver")
}

// A process that releases all mounts never releases one that is being made.
func TestMountWhileOthersRelease(t *testing.T) {
	store, folder := hcstest.NewLayers(t), t.TempDir()
	all, scratch := stack(t, "base"), filepath.Join(folder, "web")
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				err := layers.Release(t.Context(), scratch, layers.WithDriver(store))
				if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err) {
					t.Error(err)
				}
			}
		}
	})
	for range 20 {
		m, err := layers.Mount(t.Context(), all, scratch, layers.WithDriver(store))
		if errdefs.IsNotFound(err) || errdefs.IsAlreadyExists(err) || errdefs.IsFailedPrecondition(err) {
			continue // the other was faster
		}
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(store.Mounted(), []string{scratch}) {
			t.Error("it was released while it is in use")
		}
		if err := m.Unmount(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	work.Wait()
	empty(t, folder)
}

// Windows makes the id of a layer from the last element of its path.
func TestMountCleansThePathsOfLayers(t *testing.T) {
	store, all := hcstest.NewLayers(t), stack(t, "base")
	m, err := layers.Mount(t.Context(), layers.Layers{all[0] + string(filepath.Separator)}, filepath.Join(t.TempDir(), "web"), layers.WithDriver(store))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Layers, all) {
		t.Errorf("layers: %v", m.Layers)
	}
	if err := m.Unmount(t.Context()); err != nil {
		t.Fatal(err)
	}
}
