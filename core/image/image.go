package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Spec is what an image is made of.
type Spec struct {
	Tree        *rootfs.Tree
	Kernel      string // path of the kernel image: bzImage on x86_64, Image on aarch64
	Cmdline     string // kernel command line, without the console
	Arch        string // "x86_64" or "aarch64"
	Root        string // what the root is in: bundle.Initramfs or bundle.Disk
	Compression string // of the root: "zstd" or "xz"
	Name        string // of the VM, for people
	MemoryMiB   int    // RAM that the bundle's script gives it
}

// Artifact is a file of an image.
type Artifact struct {
	Format string
	Path   string // relative to the directory that Write was given
	SHA256 string
	Bytes  int64
}

// writer writes one format into dir, which is empty, and returns the names of
// its files.
type writer func(ctx context.Context, spec Spec, dir string, progress func(done, total int64)) ([]string, error)

var formats = map[string]writer{bundle.Format: writeBundle}

// Formats are the names that Write knows.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Write writes spec into out/<format>, which must not exist, and returns what it
// made. The directory appears when it is complete. Progress, which may be nil,
// is called with bytes of the uncompressed root.
func Write(ctx context.Context, format string, spec Spec, out string, progress func(done, total int64)) ([]Artifact, error) {
	write, ok := formats[format]
	if !ok {
		return nil, fmt.Errorf("there is no image format %q; known are %s", format, strings.Join(Formats(), ", "))
	}
	if err := CheckKernel(spec.Kernel, spec.Arch); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	final := filepath.Join(out, format)
	if _, err := os.Lstat(final); err == nil {
		return nil, fmt.Errorf("%s exists already: remove it first", final)
	}
	temp, err := os.MkdirTemp(out, "."+format+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	names, err := write(ctx, spec, temp, progress)
	if err != nil {
		return nil, fmt.Errorf("image format %s: %w", format, err)
	}
	var artifacts []Artifact
	for _, name := range names {
		a, err := describe(format, temp, name)
		if err != nil {
			return nil, err
		}
		artifacts = append(artifacts, a)
	}
	if err := os.Chmod(temp, 0o755); err != nil { // MkdirTemp's is 0700
		return nil, err
	}
	return artifacts, os.Rename(temp, final)
}

func describe(format, dir, name string) (Artifact, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return Artifact{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return Artifact{
		Format: format,
		Path:   filepath.Join(format, name),
		SHA256: hex.EncodeToString(h.Sum(nil)),
		Bytes:  n,
	}, err
}
