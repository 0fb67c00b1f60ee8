package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// sourceImage is the source of base = "oci" that lies in a registry.
const sourceImage = "image"

// Where an image is, as containers-transports(5) writes it.
const (
	archiveDocker = "docker-archive:" // a file that docker save wrote
	archiveOCI    = "oci-archive:"    // a layout in a tar
	layoutOCI     = "oci:"            // a layout's directory
	daemonDocker  = "docker-daemon:"  // an image of the Docker daemon's
)

// local is the path or name after one of these words, with the word; empty for a
// registry's.
func (c config) localImage() (transport, rest string) {
	for _, t := range []string{archiveDocker, archiveOCI, daemonDocker, layoutOCI} {
		if rest, ok := strings.CutPrefix(c.Image, t); ok {
			return t, rest
		}
	}
	return "", ""
}

// checkImage says what is wrong with the image's name.
func checkImage(def *builder.Definition, c config) string {
	if c.Image == "" {
		return "Name the image: image = \"docker.io/hexpm/elixir:…\"."
	}
	switch transport, rest := c.localImage(); transport {
	case "":
		_, err := parseReference(c.Image)
		if err != nil {
			return err.Error()
		}
	case daemonDocker:
		if rest == "" {
			return "docker-daemon: wants an image's name or id behind it."
		}
	default:
		if _, err := os.Stat(within(def.Root, rest)); err != nil {
			return err.Error()
		}
	}
	return ""
}

// parseReference wants all of a name: which registry a short one is of differs
// from host to host, and what latest is from day to day.
func parseReference(image string) (name.Reference, error) {
	first, rest, _ := strings.Cut(image, "/")
	if rest == "" || !strings.ContainsAny(first, ".:") && first != "localhost" {
		if rest == "" {
			image = "library/" + image
		}
		return nil, fmt.Errorf("%q does not say which registry: write docker.io/%s", strings.TrimPrefix(image, "library/"), image)
	}
	if !strings.ContainsAny(rest, ":@") {
		return nil, fmt.Errorf("%q has no tag: write %s:TAG", image, image)
	}
	ref, err := name.ParseReference(image, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("%q is no image's name: lower-case letters, digits and ./_- in REGISTRY/NAME:TAG, or @sha256: and a digest", image)
	}
	return ref, nil
}

// imageSource is the source for an image in a registry.
func (c config) imageSource(def *builder.Definition) (builder.Source, error) {
	ref, err := parseReference(c.Image)
	if err != nil {
		return builder.Source{}, err
	}
	return referenceSource(sourceImage, c.Image, ref, def.Arch), nil
}

// platform is an architecture as images name it.
func platform(arch string) string { return "linux/" + goarch(arch) }

func goarch(arch string) string {
	return map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch]
}

// wantedImage is an image to resolve, and who names it.
type wantedImage struct {
	ref   string
	where string   // "Dockerfile:3: ", or nothing
	path  []string // in the strategy's block
}

// wanted is the image that a source stands for.
func (c config) wanted(req *builder.ResolveRequest) (wantedImage, error) {
	if !c.container() {
		return wantedImage{ref: c.Image, path: []string{"image"}}, nil
	}
	ref, _, _ := strings.Cut(req.Source.Selection, " ")
	d, _, err := c.readDockerfile(req.Definition)
	if err != nil {
		return wantedImage{}, err
	}
	w := wantedImage{ref: ref, path: []string{"dockerfile"}}
	for _, image := range d.images {
		if image.ref == ref {
			w.where = fmt.Sprintf("%s:%d: ", d.path, image.line)
		}
	}
	return w, nil
}

// resolveImage answers which files an image consists of: the index that its name
// stands for, the manifest for the platform, its configuration and layers. All but
// the first are known by their digests.
func resolveImage(req *builder.ResolveRequest, w wantedImage) (*builder.Resolution, error) {
	ref, err := parseReference(w.ref)
	if err != nil {
		return nil, err
	}
	repository := "oci://" + ref.Context().Name()
	sum := sha256.Sum256([]byte(w.ref))
	top := builder.RemoteFile{Name: "image-" + hex.EncodeToString(sum[:8]) + ".json", URL: repository + "/manifests/" + ref.Identifier()}
	if digest, ok := strings.CutPrefix(ref.Identifier(), "sha256:"); ok {
		top.SHA256 = digest
	}
	files := []builder.RemoteFile{top}
	if !all(files, req.Fetched) {
		return &builder.Resolution{Files: files}, nil
	}
	var index v1.IndexManifest
	if err := readJSON(req.Fetched[top.Name], &index); err != nil {
		return nil, fmt.Errorf("%s: %w", w.ref, err)
	}
	manifestFile := top
	if len(index.Manifests) > 0 {
		chosen, d := choosePlatform(w, index.Manifests, req.Definition.Arch)
		if d != nil {
			return &builder.Resolution{Diagnostics: builder.Diagnostics{*d}}, nil
		}
		manifestFile = builder.RemoteFile{Name: "manifest-" + chosen.Digest.Hex + ".json", URL: repository + "/manifests/" + chosen.Digest.String(),
			SHA256: chosen.Digest.Hex, Bytes: chosen.Size}
		if files = append(files, manifestFile); !all(files, req.Fetched) {
			return &builder.Resolution{Files: files}, nil
		}
	}
	parts, err := imageParts(repository, req.Fetched[manifestFile.Name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.ref, err)
	}
	if files = append(files, parts...); !all(files, req.Fetched) {
		return &builder.Resolution{Files: files}, nil
	}
	var conf v1.ConfigFile
	if err := readJSON(req.Fetched[parts[0].Name], &conf); err != nil {
		return nil, fmt.Errorf("%s: its configuration: %w", w.ref, err)
	}
	if conf.Architecture != goarch(req.Definition.Arch) || conf.OS != "linux" {
		return &builder.Resolution{Diagnostics: builder.Diagnostics{otherPlatform(w, req.Definition.Arch, conf.OS+"/"+conf.Architecture)}}, nil
	}
	// By its digest the manifest is there also when the tag has moved on.
	hex, err := fileDigest(req.Fetched[manifestFile.Name])
	manifestFile.URL = repository + "/manifests/sha256:" + hex
	return &builder.Resolution{Files: append([]builder.RemoteFile{manifestFile}, parts...), Done: true}, err
}

// choosePlatform picks the manifest for an architecture.
func choosePlatform(w wantedImage, manifests []v1.Descriptor, arch string) (v1.Descriptor, *builder.Diagnostic) {
	var has []string
	for _, m := range manifests {
		if m.Platform == nil || m.Platform.OS == "unknown" { // an attestation
			continue
		}
		if m.Platform.OS == "linux" && m.Platform.Architecture == goarch(arch) && m.Digest.Algorithm == "sha256" {
			return m, nil
		}
		has = append(has, m.Platform.String())
	}
	d := otherPlatform(w, arch, strings.Join(has, ", "))
	return v1.Descriptor{}, &d
}

func otherPlatform(w wantedImage, arch, has string) builder.Diagnostic {
	return builder.Diagnostic{Summary: "The image is for another architecture",
		Detail: fmt.Sprintf("%s%s is there for %s; the definition asks for %s, which is %s. Change arch, or take another image.", w.where, w.ref, has, arch, platform(arch)),
		Path:   w.path}
}

// imageParts are the configuration and the layers that a manifest names.
func imageParts(repository, file string) ([]builder.RemoteFile, error) {
	var m v1.Manifest
	if err := readJSON(file, &m); err != nil {
		return nil, err
	}
	if len(m.Layers) == 0 {
		return nil, fmt.Errorf("it is of media type %q and has no layers: no container image", m.MediaType)
	}
	var files []builder.RemoteFile
	seen := map[string]bool{}
	for i, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Digest.Algorithm != "sha256" {
			return nil, fmt.Errorf("it names a part by the digest %s: sha256 is known", d.Digest)
		}
		if !d.MediaType.IsDistributable() {
			return nil, fmt.Errorf("its layer %s is not in the registry (%s)", d.Digest, d.MediaType)
		}
		name := d.Digest.Hex + ".layer"
		if i == 0 {
			name = "config-" + d.Digest.Hex + ".json"
		}
		if seen[name] {
			continue // one layer twice
		}
		seen[name] = true
		files = append(files, builder.RemoteFile{Name: name, URL: repository + "/blobs/" + d.Digest.String(), SHA256: d.Digest.Hex, Bytes: d.Size})
	}
	return files, nil
}

// maxManifest is what registries take at most (OCI Distribution Specification,
// "Pushing Manifests").
const maxManifest = 4 << 20

func readJSON(file string, into any) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > maxManifest {
		return fmt.Errorf("%d bytes are no manifest", info.Size())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// imageIdentity is what a step depends on of an image that is in no registry.
func imageIdentity(ctx context.Context, def *builder.Definition, c config) (string, error) {
	transport, rest := c.localImage()
	switch transport {
	case "":
		return "", nil
	case daemonDocker:
		return daemonImageID(ctx, rest)
	case layoutOCI:
		data, err := os.ReadFile(within(def.Root, rest) + "/index.json")
		return digest(data), err
	}
	return fileDigest(within(def.Root, rest))
}
