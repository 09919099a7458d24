package layers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// maxDescriptors bounds how many images and indexes are looked at in a tar.
const maxDescriptors = 1000

// candidate is an image in a tar.
type candidate struct {
	names   []string
	id      string // digest of the configuration, 64 hexadecimal digits
	config  imageConfig
	version version
	layers  []blob // base first
}

// blob is a layer in a tar.
type blob struct {
	name   string // of the file
	digest string // of the file, 64 hexadecimal digits; empty if the tar does not say
	diffID string // of what is in it, 64 hexadecimal digits
}

// imageConfig is the part of an image's configuration that matters here.
type imageConfig struct {
	OS           string `json:"os"`
	OSVersion    string `json:"os.version"`
	Architecture string `json:"architecture"`
	Config       struct {
		Entrypoint, Cmd, Env []string
		WorkingDir, User     string
		ArgsEscaped          bool
	} `json:"config"`
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// candidates returns the Windows images in a tar of "docker save", or in an OCI
// layout. Recent versions of Docker write tars that are both.
func (a *archive) candidates() ([]*candidate, error) {
	var found []*candidate
	var err error
	switch {
	case a.has("manifest.json"):
		found, err = a.dockerImages()
	case a.has("index.json"):
		w := ociWalk{archive: a}
		err = w.index("index.json", "", nil)
		found = w.found
	default:
		return nil, invalid("the tar holds no image: it has neither the manifest.json of \"docker save\" nor the index.json of an OCI layout")
	}
	if err != nil {
		return nil, err
	}
	return windowsOnly(found)
}

func (a *archive) has(name string) bool {
	_, ok := a.find(name)
	return ok
}

// windowsOnly drops the images for other systems, and merges those that differ
// only in their names.
func windowsOnly(all []*candidate) ([]*candidate, error) {
	var kept []*candidate
	var others []string
	for _, c := range all {
		same := slices.IndexFunc(kept, func(k *candidate) bool { return k.id == c.id })
		switch {
		case c.config.OS != "windows":
			others = append(others, c.config.OS+"/"+c.config.Architecture)
		case same >= 0:
			kept[same].names = sorted(append(kept[same].names, c.names...))
		default:
			kept = append(kept, c)
		}
	}
	for _, c := range kept {
		if i := slices.IndexFunc(c.names, func(name string) bool { return !isName(name) }); i >= 0 {
			return nil, invalid("image name %q: want letters, digits and the characters ._-/:@", c.names[i])
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("the tar holds no Windows image, but %q: %w", sorted(others), errdefs.ErrFailedPrecondition)
	}
	return kept, nil
}

// isName reports whether a name has only the characters that names of images
// have. Names are shown to people.
func isName(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-/:@", r)
	}) < 0 && name != ""
}

// dockerImages reads the images of "docker save".
func (a *archive) dockerImages() ([]*candidate, error) {
	text, err := a.json("manifest.json")
	if err != nil {
		return nil, err
	}
	manifest, err := parseDockerManifest(text)
	if err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var found []*candidate
	for _, image := range manifest {
		text, err := a.json(image.Config)
		if err != nil {
			return nil, fmt.Errorf("configuration of image %q: %w", image.RepoTags, err)
		}
		c, err := newCandidate(text, digestInName(strings.TrimSuffix(image.Config, ".json")))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", image.Config, err)
		}
		c.names = sorted(image.RepoTags)
		for _, name := range image.Layers {
			c.layers = append(c.layers, blob{name: name, digest: digestInName(name)})
		}
		found = append(found, c)
	}
	return found, nil
}

type dockerManifest []struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func parseDockerManifest(text []byte) (dockerManifest, error) {
	var manifest dockerManifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, invalid("want the array that \"docker save\" writes: %w", err)
	}
	if len(manifest) > maxDescriptors {
		return nil, invalid("it lists %d images, %d are possible", len(manifest), maxDescriptors)
	}
	return manifest, nil
}

// digestInName returns the digest in the name of a file, empty if there is none.
// Docker names configurations and blobs in this way.
func digestInName(name string) string {
	base := path.Base(name)
	if strings.HasSuffix(path.Dir(name), "blobs/sha256") || path.Dir(name) == "." {
		if isDigest(base) {
			return base
		}
	}
	return ""
}

// ociWalk goes through the indexes and manifests of an OCI layout.
type ociWalk struct {
	archive *archive
	seen    int
	found   []*candidate
}

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	URLs        []string          `json:"urls"`
	Annotations map[string]string `json:"annotations"`
	Platform    *struct {
		OS string `json:"os"`
	} `json:"platform"`
}

// ociDocument is an index, which has Manifests, or a manifest, which has Config and
// Layers.
type ociDocument struct {
	Manifests []descriptor `json:"manifests"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
}

func parseOCIDocument(text []byte) (ociDocument, error) {
	var doc ociDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		return doc, invalid("want an OCI index or manifest: %w", err)
	}
	return doc, nil
}

// index reads an index or a manifest. digest is empty for the outermost index, of
// which nothing gives a digest.
func (w *ociWalk) index(name, digest string, names []string) error {
	if w.seen++; w.seen > maxDescriptors {
		return invalid("the tar has more than %d indexes and manifests", maxDescriptors)
	}
	text, err := w.archive.json(name)
	if err != nil {
		return err
	}
	if err := verify(text, digest); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	doc, err := parseOCIDocument(text)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	if doc.Config != nil {
		return w.manifest(doc, names)
	}
	for _, d := range doc.Manifests {
		if err := w.follow(d, names); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

// follow reads what a descriptor in an index points to. An index may list images
// that are not in the tar.
func (w *ociWalk) follow(d descriptor, names []string) error {
	if d.Platform != nil && d.Platform.OS != "windows" && d.Platform.OS != "" {
		return nil
	}
	name, hash, err := blobName(d.Digest)
	if err != nil {
		return err
	}
	if d.Platform != nil && !w.archive.has(name) {
		return nil
	}
	return w.index(name, hash, append(slices.Clone(names), nameOf(d.Annotations)...))
}

// nameOf returns the name that an annotation gives an image. Docker and
// containerd write the whole name into their own annotation, and only the tag
// into that of OCI.
func nameOf(annotations map[string]string) []string {
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		if name := annotations[key]; name != "" {
			return []string{name}
		}
	}
	return nil
}

func (w *ociWalk) manifest(doc ociDocument, names []string) error {
	name, hash, err := blobName(doc.Config.Digest)
	if err != nil {
		return err
	}
	text, err := w.archive.json(name)
	if err != nil {
		return fmt.Errorf("configuration of image %q: %w", names, err)
	}
	c, err := newCandidate(text, hash)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	c.names = sorted(names)
	for _, layer := range doc.Layers {
		name, hash, err := blobName(layer.Digest)
		if err != nil {
			return err
		}
		c.layers = append(c.layers, blob{name: name, digest: hash})
	}
	w.found = append(w.found, c)
	return nil
}

// blobName returns the file of a digest in a layout, and the hash in it.
func blobName(digest string) (name, hash string, err error) {
	hash, err = parseDigest(digest)
	return "blobs/sha256/" + hash, hash, err
}

// newCandidate reads the configuration of an image. Unless digest is empty, the
// configuration must have it.
func newCandidate(text []byte, digest string) (*candidate, error) {
	if err := verify(text, digest); err != nil {
		return nil, err
	}
	config, err := parseConfig(text)
	return &candidate{id: digestOf(text), config: config}, err
}

func parseConfig(text []byte) (imageConfig, error) {
	var config imageConfig
	if err := json.Unmarshal(text, &config); err != nil {
		return config, invalid("want the configuration of an image: %w", err)
	}
	return config, nil
}

// complete adds to a candidate that is a Windows image its version, and the diff
// IDs of its layers.
func (c *candidate) complete() error {
	if c.config.OSVersion == "" {
		return invalid("its configuration has no os.version, so that nothing says whether this host can run it")
	}
	var err error
	if c.version, err = parseVersion(c.config.OSVersion); err != nil {
		return fmt.Errorf("os.version: %w", err)
	}
	ids := c.config.RootFS.DiffIDs
	if len(ids) == 0 || len(ids) > maxLayers {
		return invalid("rootfs.diff_ids: has %d elements, want 1 to %d", len(ids), maxLayers)
	}
	if len(ids) != len(c.layers) {
		return invalid("rootfs.diff_ids: has %d elements, and the manifest %d layers", len(ids), len(c.layers))
	}
	for i := range ids {
		if c.layers[i].diffID, err = parseDigest(ids[i]); err != nil {
			return fmt.Errorf("rootfs.diff_ids[%d]: %w", i, err)
		}
	}
	return nil
}

// label names a candidate for a reader.
func (c *candidate) label() string {
	if len(c.names) > 0 {
		return strings.Join(c.names, ", ")
	}
	return c.id[:12]
}

// choose finds the image to import: the one with the given name, if any. Of
// several versions of Windows it takes the newest that the host runs.
func choose(all []*candidate, name string, host version, architecture string, isolation libcontainerd.Isolation) (*candidate, error) {
	named := all
	if name != "" {
		named = slices.DeleteFunc(slices.Clone(all), func(c *candidate) bool { return !slices.Contains(c.names, name) })
	}
	labels := labelsOf(named)
	switch {
	case len(named) == 0:
		return nil, fmt.Errorf("image %q is not in the tar, which holds %q: %w", name, labelsOf(all), errdefs.ErrNotFound)
	case name == "" && len(labels) > 1 && !allUnnamed(named):
		return nil, invalid("the tar holds the images %q: choose one, see WithImage", labels)
	}
	var fit []*candidate
	var refusals []error
	for _, c := range named {
		if err := c.suits(host, architecture, isolation); err != nil {
			refusals = append(refusals, fmt.Errorf("image %s: %w", c.label(), err))
			continue
		}
		fit = append(fit, c)
	}
	if len(fit) == 0 {
		return nil, joined(refusals)
	}
	return slices.MinFunc(fit, newest), nil
}

func (c *candidate) suits(host version, architecture string, isolation libcontainerd.Isolation) error {
	if err := c.complete(); err != nil {
		return err
	}
	if c.config.Architecture != architecture {
		return fmt.Errorf("it is made for %q, and this host is %q: %w", c.config.Architecture, architecture, errdefs.ErrFailedPrecondition)
	}
	return checkVersion(host, c.version, isolation)
}

func labelsOf(candidates []*candidate) []string {
	var labels []string
	for _, c := range candidates {
		labels = append(labels, c.label())
	}
	return sorted(labels)
}

// allUnnamed reports whether no image has a name. Then the images are one image
// for several versions of Windows.
func allUnnamed(candidates []*candidate) bool {
	return !slices.ContainsFunc(candidates, func(c *candidate) bool { return len(c.names) > 0 })
}

// verify returns an error unless text has the digest, or digest is empty.
func verify(text []byte, digest string) error {
	if digest == "" || digestOf(text) == digest {
		return nil
	}
	return fmt.Errorf("its digest is sha256:%s instead of sha256:%s: %w", digestOf(text), digest, errdefs.ErrDataLoss)
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// parseDigest returns the 64 hexadecimal digits of a digest.
func parseDigest(digest string) (string, error) {
	hash, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || !isDigest(hash) {
		return "", invalid("digest %q: want sha256: and 64 hexadecimal digits in lower case", digest)
	}
	return hash, nil
}

func isDigest(hash string) bool {
	return len(hash) == 2*sha256.Size && strings.Trim(hash, "0123456789abcdef") == ""
}

// sorted returns the elements of a list, sorted, each once.
func sorted(list []string) []string {
	list = slices.Sorted(slices.Values(list))
	return slices.Compact(list)
}
