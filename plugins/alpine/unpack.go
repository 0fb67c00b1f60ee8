package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
)

// openImage is the image's root: its layers, one over the other. It is read by
// core/inspect and not by go-containerregistry's mutate.Extract, which writes the
// upper layers first: there a hard link to a file of a lower layer comes before
// the file.
func openImage(ctx context.Context, req *builder.BuildRequest, c config, ev builder.Events) (*inspect.Image, error) {
	transport, rest := c.localImage()
	file := within(req.Definition.Root, rest)
	switch transport {
	case "":
		file = filepath.Join(req.Work, "image")
		if err := writeLayout(file, req.Sources[sourceImage]); err != nil {
			return nil, err
		}
	case daemonDocker:
		file = filepath.Join(req.Work, "image.tar")
		if err := builder.Run(ctx, ev, exec.Command("docker", "save", "-o", file, rest)); err != nil {
			return nil, err
		}
	}
	img, err := inspect.Open(ctx, file, inspect.DefaultLimits)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", c.Image, err)
	}
	return img, nil
}

// writeLayout puts the files of an image where the OCI image layout has them.
func writeLayout(dir string, set builder.FetchedSource) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	var manifest v1.Descriptor
	for _, f := range set.Files {
		if err := linkOrCopy(f.Path, filepath.Join(blobs, f.SHA256)); err != nil {
			return err
		}
		if strings.HasPrefix(f.Name, "manifest-") || strings.HasPrefix(f.Name, "image-") {
			manifest = v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: v1.Hash{Algorithm: "sha256", Hex: f.SHA256}}
		}
	}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{manifest}})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

// linkOrCopy is for a file that is read only. The cache may be on another file
// system.
func linkOrCopy(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// daemonImageID asks the Docker daemon for an image's digest.
func daemonImageID(ctx context.Context, image string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", "image", "inspect", "--format", "{{.Id}}", image)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("docker image inspect %s: %s", image, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("docker image inspect %s: %w", image, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func fileDigest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
