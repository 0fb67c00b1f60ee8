package inspect

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// containerFiles are the files of a container image's archive or directory, by
// name without a leading slash.
type containerFiles map[string]source

// maxLayers is far above what overlayfs stacks, 500.
const maxLayers = 1000

// maxJSON is far above any manifest; registries take 4 MiB.
const maxJSON = 8 << 20

// containerFiles returns the files of an archive that has a container image in
// it, and nil for one that has not.
func (o *opener) containerFiles(s source) (containerFiles, error) {
	found := false
	err := o.eachTar(s, func(h *tar.Header, body source) error {
		switch tarName(h) {
		case "/manifest.json":
			var m []dockerManifest
			found = found || readJSON(body, &m) == nil && len(m) > 0 && m[0].Config != ""
		case "/oci-layout":
			found = true
		}
		return nil
	})
	if err != nil || !found {
		return nil, err
	}
	files := containerFiles{}
	links := map[string]string{} // docker once had them for layers that are the same
	err = o.eachTar(s, func(h *tar.Header, body source) error {
		name := strings.TrimPrefix(tarName(h), "/")
		switch h.Typeflag {
		case tar.TypeReg:
			files[name] = body
		case tar.TypeSymlink:
			links[name] = path.Join(path.Dir(name), h.Linkname)
		}
		return o.count(1, name)
	})
	for name, target := range links {
		if file, ok := files[target]; ok {
			files[name] = file.section(0, file.Size())
		}
	}
	return files, err
}

// openLayout opens a directory in the OCI image layout.
func (o *opener) openLayout(dir string) (*Image, error) {
	files := containerFiles{}
	var size int64
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := o.count(1, file); err != nil {
			return err
		}
		if len(files) == maxLayoutFiles {
			return fmt.Errorf("has more than %d files", maxLayoutFiles)
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		s, err := o.openFile(file)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files[filepath.ToSlash(name)] = s
		size += s.Size()
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := newRoot("oci", "headers")
	if err := o.container(r, files); err != nil {
		return nil, err
	}
	return r.image(size)
}

// maxLayoutFiles is how many files of a layout are open at once.
const maxLayoutFiles = 500

func readJSON(s source, into any) error {
	if s.Size() > maxJSON {
		return fmt.Errorf("has %d bytes, more than any manifest", s.Size())
	}
	data := make([]byte, s.Size())
	if err := s.full(data, 0); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// dockerManifest is an image in docker save's manifest.json.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// descriptor, ociIndex and ociManifest are what matters here of the OCI Image
// Format Specification 1.1: descriptor.md, image-index.md, manifest.md.
type descriptor struct {
	MediaType string
	Digest    string
	Platform  *struct{ OS, Architecture string }
}

type ociIndex struct {
	Manifests []descriptor
	Layers    []descriptor // of a manifest, which has no Manifests
	Config    descriptor   // likewise
}

// container reads a container image's layers, in order.
func (o *opener) container(r *root, files containerFiles) error {
	layers, err := files.layers(r)
	if err == nil {
		err = files.config(r)
	}
	if err != nil {
		return err
	}
	if len(layers) > maxLayers {
		return fmt.Errorf("has %d layers, more than %d", len(layers), maxLayers)
	}
	used := map[string]bool{}
	for _, name := range layers {
		s, ok := files[name]
		if !ok {
			return fmt.Errorf("its manifest names the layer %s, which is missing", name)
		}
		if used[name] { // stored once
			s.on = func(int64) int64 { return 0 }
		}
		used[name] = true
		if err := o.layer(r, s); err != nil {
			return fmt.Errorf("layer %s: %w", name, err)
		}
	}
	for name, s := range files {
		if !used[name] {
			r.rest["manifests and other files"] += s.all()
		}
	}
	return nil
}

// layers returns the names of the layers, the lowest first.
func (files containerFiles) layers(r *root) ([]string, error) {
	if manifest, ok := files["manifest.json"]; ok {
		r.format = "docker"
		var images []dockerManifest
		if err := readJSON(manifest, &images); err != nil {
			return nil, fmt.Errorf("manifest.json: %w", err)
		}
		if len(images) != 1 {
			return nil, fmt.Errorf("holds %d images: save the one that is meant", len(images))
		}
		layers := slices.Clone(images[0].Layers)
		for i := range layers {
			layers[i] = path.Clean(layers[i])
		}
		r.configFile = path.Clean(images[0].Config)
		return layers, nil
	}
	r.format = "oci"
	return files.ociLayers(r, "index.json", 0)
}

// ociLayers reads an index, the chosen platform's manifest in it, or a manifest.
func (files containerFiles) ociLayers(r *root, name string, depth int) ([]string, error) {
	file, ok := files[name]
	if !ok {
		return nil, fmt.Errorf("%s is missing", name)
	}
	var index ociIndex
	if err := readJSON(file, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(index.Manifests) > 0 {
		if depth == 4 {
			return nil, errors.New("its indexes are in each other, five deep")
		}
		d, err := choose(index.Manifests)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if name, err = blob(d); err != nil {
			return nil, err
		}
		return files.ociLayers(r, name, depth+1)
	}
	var layers []string
	for _, d := range index.Layers {
		layer, err := blob(d)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	if len(layers) == 0 {
		return nil, fmt.Errorf("%s: has no layers", name)
	}
	if index.Config.Digest != "" {
		var err error
		if r.configFile, err = blob(index.Config); err != nil {
			return nil, err
		}
	}
	return layers, nil
}

// choose picks the manifest for Linux on this host's architecture, or else the
// only one that could be meant.
func choose(manifests []descriptor) (descriptor, error) {
	var images []descriptor
	var platforms []string
	for _, d := range manifests {
		p := d.Platform
		switch {
		case p == nil:
			platforms = append(platforms, "any")
		case p.OS == "unknown": // an attestation
			continue
		case p.OS == "linux" && p.Architecture == runtime.GOARCH:
			return d, nil
		default:
			platforms = append(platforms, p.OS+"/"+p.Architecture)
		}
		images = append(images, d)
	}
	if len(images) != 1 {
		return descriptor{}, fmt.Errorf("none of its %d images (%s) is for linux/%s: save the one that is meant", len(images), strings.Join(platforms, ", "), runtime.GOARCH)
	}
	return images[0], nil
}

var digest = regexp.MustCompile(`^([a-z0-9]+):([a-zA-Z0-9]{32,128})$`)

// blob is the name of the file that d describes.
func blob(d descriptor) (string, error) {
	m := digest.FindStringSubmatch(d.Digest)
	if m == nil {
		return "", fmt.Errorf("%.100q is no digest", d.Digest)
	}
	return path.Join("blobs", m[1], m[2]), nil
}

func isLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "oci-layout"))
	return err == nil
}
