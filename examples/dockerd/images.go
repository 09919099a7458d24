package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	imageapi "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-609fd248/libcontainerd/layers"
)

// image is what containers are made from.
type image struct {
	// Folder is the folder of the topmost layer in the store of a Docker engine.
	Folder string `json:"folder"`
	// Layers are the folders of all layers, topmost first; they take the place of
	// Folder.
	Layers layers.Layers `json:"layers"`
	// Config is what containers run unless they are told otherwise.
	Config layers.Config `json:"config"`

	name string // with its tag, as in "nanoserver:latest"
}

// id is the ID of the image: the digest of what is known of it.
func (i image) id() string {
	data, err := json.Marshal(i)
	if err != nil {
		data = nil // cannot be: strings only
	}
	sum := sha256.Sum256(append(data, i.name...))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// stack returns the folders of the layers, topmost first.
func (i image) stack() (layers.Layers, error) {
	if len(i.Layers) > 0 {
		return i.Layers, nil
	}
	return layers.Docker(i.Folder)
}

// catalog are the images by their names.
type catalog struct {
	images map[string]image
	// simulated is the folder in which any image can be found, because a simulated
	// host has no files; "": only what is in images.
	simulated string
}

// readCatalog reads a file that maps names to images: {"nanoserver": {"folder": …}}.
func readCatalog(path string) (catalog, error) {
	c := catalog{images: map[string]image{}}
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	var listed map[string]image
	if err := json.Unmarshal(data, &listed); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	for name, i := range listed {
		if i.name, err = imageName(name); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
		if i.Folder == "" && len(i.Layers) == 0 {
			return c, invalid(`%s: image %q has neither "folder" nor "layers"`, path, name)
		}
		c.images[i.name] = i
	}
	return c, nil
}

// imageName returns a name as Docker's users write it, with its tag.
func imageName(text string) (string, error) {
	named, err := reference.ParseDockerRef(text)
	if err != nil {
		return "", invalid("image %q: %v", text, err)
	}
	return reference.FamiliarString(named), nil
}

// find returns the image of a name or an ID.
func (c catalog) find(text string) (image, error) {
	for _, i := range c.images {
		if id := i.id(); text == id || len(text) >= 12 && strings.HasPrefix(strings.TrimPrefix(id, "sha256:"), text) {
			return i, nil
		}
	}
	name, err := imageName(text)
	if err != nil {
		return image{}, err
	}
	if i, ok := c.images[name]; ok {
		return i, nil
	}
	if c.simulated == "" {
		return image{}, notFound("No such image: %s", name)
	}
	sum := sha256.Sum256([]byte(name))
	layer := filepath.Join(c.simulated, hex.EncodeToString(sum[:]))
	if err := os.MkdirAll(layer, 0o700); err != nil {
		return image{}, err
	}
	return image{name: name, Layers: layers.Layers{layer}, Config: layers.Config{Cmd: []string{"cmd"}}}, nil
}

// knownImages are the images of the catalog and those that containers have, by name.
func (d *daemon) knownImages() []image {
	known := maps.Clone(d.images.images)
	for _, c := range d.all() {
		if i, err := d.images.find(c.snapshot().Image); err == nil {
			known[i.name] = i
		}
	}
	return slices.SortedFunc(maps.Values(known), func(a, b image) int { return cmp.Compare(a.name, b.name) })
}

// usersOf counts the containers of an image.
func (d *daemon) usersOf(i image) (n int64) {
	for _, c := range d.all() {
		if c.snapshot().ImageID == i.id() {
			n++
		}
	}
	return n
}

func (d *daemon) listImages(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r, "reference")
	if err != nil {
		return err
	}
	list := []imageapi.Summary{}
	for _, i := range d.knownImages() {
		if f.has("reference") && !f.any("reference", func(pattern string) bool { return matchesReference(pattern, i.name) }) {
			continue
		}
		list = append(list, imageapi.Summary{
			ID: i.id(), RepoTags: []string{i.name}, RepoDigests: []string{}, Containers: d.usersOf(i), SharedSize: -1,
		})
	}
	return reply(w, http.StatusOK, list)
}

func matchesReference(pattern, name string) bool {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return false
	}
	ok, err := reference.FamiliarMatch(pattern, ref)
	return ok && err == nil
}

// inspectImage answers /images/NAME/json, where NAME may have slashes.
func (d *daemon) inspectImage(w http.ResponseWriter, r *http.Request) error {
	name, ok := strings.CutSuffix(r.PathValue("path"), "/json")
	if !ok {
		return notServed(r)
	}
	i, err := d.images.find(name)
	if err != nil {
		return err
	}
	stack, err := i.stack()
	if err != nil {
		return err
	}
	config := &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{
		Entrypoint: i.Config.Entrypoint, Cmd: i.Config.Cmd, Env: i.Config.Env,
		WorkingDir: i.Config.WorkingDir, User: i.Config.User, ArgsEscaped: i.Config.ArgsEscaped, //nolint:staticcheck // images of Windows have it
	}}
	return reply(w, http.StatusOK, imageapi.InspectResponse{
		ID: i.id(), RepoTags: []string{i.name}, RepoDigests: []string{}, Config: config,
		Os: "windows", Architecture: "amd64", Created: time.Time{}.Format(time.RFC3339),
		RootFS: imageapi.RootFS{Type: "layers", Layers: stack},
	})
}

// pullImage answers a pull, which a client tries for an image that is not there.
func (d *daemon) pullImage(_ http.ResponseWriter, r *http.Request) error {
	name := r.FormValue("fromImage")
	if tag := r.FormValue("tag"); tag != "" {
		name += ":" + tag
	}
	return unsupported("pulling %s is not served: this daemon runs the images that its file of images names", name)
}
