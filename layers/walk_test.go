package layers

import (
	"archive/tar"
	"path/filepath"
	"strings"
	"testing"
)

// Every name that the check accepts stays in its folder, as Windows reads it.
func FuzzLayer(f *testing.F) {
	for _, name := range []string{"Files/a", `Files/..\..\a`, "Files/.wh.a", "Files/a:b", "../a", "C:/a", "Files/. ./a", "Files/."} {
		f.Add(byte(tar.TypeReg), name, "", int64(1), byte(tar.TypeReg), name, "", int64(1<<62))
		f.Add(byte(tar.TypeSymlink), "Files/a", `C:\`, int64(0), byte(tar.TypeLink), "Files/b", name, int64(0))
	}
	f.Fuzz(func(t *testing.T, kind1 byte, name1, link1 string, size1 int64, kind2 byte, name2, link2 string, size2 int64) {
		const limit = 1 << 20
		headers := []*tar.Header{
			{Typeflag: kind1, Name: name1, Linkname: link1, Size: size1},
			{Typeflag: kind2, Name: name2, Linkname: link2, Size: size2},
		}
		w := layerWalk{left: limit, links: map[string]bool{}}
		total, through := int64(0), ""
		for _, h := range headers {
			if h.Size < 0 || w.entry(h) != nil { // archive/tar refuses such a size
				return
			}
			if h.Typeflag == tar.TypeReg {
				total += h.Size
			}
			names := []string{strings.TrimSuffix(h.Name, "/")}
			if h.Typeflag == tar.TypeLink {
				names = append(names, h.Linkname)
			}
			for _, name := range names {
				if !inside(name) || through != "" && strings.HasPrefix(strings.ToUpper(name), through) {
					t.Errorf("%q was let through", name)
				}
			}
			if h.Typeflag == tar.TypeSymlink {
				through = strings.ToUpper(strings.TrimSuffix(h.Name, "/")) + "/"
			}
		}
		if total > limit {
			t.Errorf("%d bytes were let through", total)
		}
	})
}

// inside checks names in another way: with separators, blanks and points as
// Windows reads them.
func inside(name string) bool {
	name = strings.ReplaceAll(strings.TrimSuffix(name, "/"), `\`, "/")
	for element := range strings.SplitSeq(name, "/") {
		if strings.TrimRight(element, " .") == "" && element != "" {
			return false
		}
	}
	return filepath.IsLocal(name) && len(name) > 4 && name[1] != ':'
}

func FuzzManifests(f *testing.F) {
	f.Add([]byte(`[{"Config":"a.json","RepoTags":["a:1"],"Layers":["b/layer.tar"]}]`))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:00","platform":{"os":"windows"},"annotations":{"a":"b"}}]}`))
	f.Add([]byte(`{"os":"windows","os.version":"10.0.20348.1","rootfs":{"diff_ids":["sha256:00"]},"config":{"Cmd":["a"]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if manifest, err := parseDockerManifest(text); err == nil && len(manifest) > maxDescriptors {
			t.Error("too many images")
		}
		if doc, err := parseOCIDocument(text); err == nil {
			for _, d := range doc.Manifests {
				if name, hash, err := blobName(d.Digest); err == nil && (!filepath.IsLocal(name) || !isDigest(hash)) {
					t.Errorf("blob %q", name)
				}
			}
		}
		config, err := parseConfig(text)
		if err != nil {
			return
		}
		c := candidate{config: config, layers: make([]blob, len(config.RootFS.DiffIDs))}
		if c.complete() != nil {
			return
		}
		for _, layer := range c.layers {
			if !isDigest(layer.diffID) {
				t.Errorf("diff ID %q", layer.diffID)
			}
		}
		if c.version.String() != mustParse(t, c.version.String()).String() {
			t.Errorf("version %v", c.version)
		}
	})
}

func mustParse(t *testing.T, text string) version {
	t.Helper()
	v, err := parseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
