package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Package makes an artifact of the strategy's own, as another would make
// firmware, from the lean root filesystem and the kernel. Leave it and
// CapabilityPackage out when the host's formats are enough.
func (example) Package(ctx context.Context, req *builder.PackageRequest, ev builder.Events) error {
	name := req.Definition.VM + ".tgz"
	f, err := os.Create(filepath.Join(req.Out, name))
	if err != nil {
		return err
	}
	defer f.Close()
	zipped := gzip.NewWriter(f)
	archive := tar.NewWriter(zipped)
	for _, file := range []struct{ path, name string }{{req.Kernel, "kernel"}, {req.Rootfs, "rootfs.tar"}} {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("packing %s: %w", name, err)
		}
		if err := add(archive, file.path, file.name); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := zipped.Close(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	ev.Emit(builder.Artifact{Name: "archive", Path: name})
	return nil
}

// add puts a file into an archive. Time and owner stay zero: the same files
// give the same archive.
func add(archive *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: 0o644}); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}
