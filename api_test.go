package libcontainerd_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// api.txt has the exported API of every public package, a line for each name, so
// that a change of it is seen in a diff. It is the same on every system.
func TestExportedAPIIsAsRecorded(t *testing.T) {
	got := exportedAPI(t, "windows")
	if *update {
		if err := os.WriteFile("api.txt", []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("api.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the exported API has changed (-api.txt +code). Say so in CHANGELOG.md, then make golden.\n%s", diff)
	}
	if diff := cmp.Diff(got, exportedAPI(t, "linux")); diff != "" {
		t.Errorf("the exported API differs (-windows +linux):\n%s", diff)
	}
}

func exportedAPI(t *testing.T, goos string) string {
	t.Helper()
	var lines []string
	for _, dir := range publicPackages(t) {
		a := &api{files: token.NewFileSet()}
		for _, file := range a.parse(t, dir, goos) {
			for _, decl := range file.Decls {
				a.addDecl(decl)
			}
		}
		for _, line := range a.lines {
			lines = append(lines, packageName(dir)+": "+line+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func packageName(dir string) string {
	if dir == "." {
		return "libcontainerd"
	}
	return filepath.ToSlash(dir)
}

// publicPackages are the folders of the module that others can import from.
func publicPackages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		switch entry.Name() {
		case ".git", "build", "cmd", "examples", "internal", "testdata":
			return filepath.SkipDir
		}
		if sources, err := filepath.Glob(filepath.Join(path, "*.go")); err != nil || len(sources) > 0 {
			dirs = append(dirs, path)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// api collects the exported names of a package.
type api struct {
	files *token.FileSet
	lines []string
}

// parse reads what is compiled for a system, without the tests.
func (a *api) parse(t *testing.T, dir, goos string) []*ast.File {
	t.Helper()
	system := build.Default
	system.GOOS, system.GOARCH = goos, "amd64"
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, source := range sources {
		compiled, err := system.MatchFile(dir, filepath.Base(source))
		if err != nil {
			t.Fatal(err)
		}
		if !compiled || strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(a.files, source, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

func (a *api) add(format string, args ...any) {
	a.lines = append(a.lines, fmt.Sprintf(format, args...))
}

// text is a piece of source in one line.
func (a *api) text(node any) string {
	var b bytes.Buffer
	if err := format.Node(&b, a.files, node); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func (a *api) addDecl(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if !d.Name.IsExported() || d.Recv != nil && !ast.IsExported(receiver(d.Recv.List[0].Type)) {
			return
		}
		d.Body = nil
		a.add("%s", a.text(d))
	case *ast.GenDecl:
		var kind ast.Expr // of the constants in a group that do not repeat it
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				a.addType(s)
			case *ast.ValueSpec:
				if s.Type != nil || len(s.Values) > 0 {
					kind = s.Type
				}
				a.addValues(d.Tok, s, kind)
			}
		}
	}
}

// receiver is the name of a receiver's type.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

func (a *api) addValues(tok token.Token, s *ast.ValueSpec, kind ast.Expr) {
	for i, name := range s.Names {
		if !name.IsExported() {
			continue
		}
		line := tok.String() + " " + name.Name
		if kind != nil {
			line += " " + a.text(kind)
		}
		if tok == token.CONST && i < len(s.Values) {
			line += " = " + a.text(s.Values[i])
		}
		a.add("%s", line)
	}
}

func (a *api) addType(s *ast.TypeSpec) {
	if !s.Name.IsExported() {
		return
	}
	name := "type " + s.Name.Name
	if s.TypeParams != nil {
		name += "[" + a.fields(s.TypeParams) + "]"
	}
	switch t := s.Type.(type) {
	case *ast.StructType:
		a.add("%s struct", name)
		a.addMembers(name+" struct", t.Fields)
	case *ast.InterfaceType:
		a.add("%s interface", name)
		a.addMembers(name+" interface", t.Methods)
	default:
		if s.Assign.IsValid() {
			name += " ="
		}
		a.add("%s %s", name, a.text(t))
	}
}

func (a *api) fields(list *ast.FieldList) string {
	var parts []string
	for _, field := range list.List {
		for _, name := range field.Names {
			parts = append(parts, name.Name+" "+a.text(field.Type))
		}
	}
	return strings.Join(parts, ", ")
}

// addMembers adds the exported fields or methods of a type, what it embeds, and
// whether it has others, which keep strangers from implementing an interface.
func (a *api) addMembers(owner string, list *ast.FieldList) {
	hidden := false
	for _, field := range list.List {
		rest := a.text(field.Type)
		if method, ok := field.Type.(*ast.FuncType); ok && len(field.Names) > 0 && strings.HasSuffix(owner, "interface") {
			rest = strings.TrimPrefix(a.text(method), "func")
		} else if len(field.Names) > 0 {
			rest = " " + rest
		}
		if field.Tag != nil {
			rest += " " + field.Tag.Value
		}
		if len(field.Names) == 0 {
			a.add("%s, embeds %s", owner, rest)
		}
		for _, name := range field.Names {
			if !name.IsExported() {
				hidden = true
				continue
			}
			a.add("%s, %s%s", owner, name.Name, rest)
		}
	}
	if hidden && strings.HasSuffix(owner, "interface") {
		a.add("%s, unexported methods", owner)
	}
}
