package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
)

// What the image step publishes.
const (
	imagesDir  = "files" // the artifacts, as they go to build/<vm>
	imagesFile = "artifacts.json"
)

// images are the published formats.
type images struct {
	Artifacts  []image.Artifact
	Components []image.Component
	entry      *store.Entry
}

// file is the path of one artifact's file by its base name.
func (i *images) file(name string) (string, error) {
	for _, a := range i.Artifacts {
		if filepath.Base(a.Path) == name {
			return filepath.Join(i.entry.Dir, imagesDir, a.Path), nil
		}
	}
	return "", fmt.Errorf("%s: no %s among the artifacts; the bundle format makes it", i.entry.Dir, name)
}

// writeImages writes the lean tree in every format.
func (e *Engine) writeImages(ctx context.Context, m *stepResults, l *leanResult) (*images, error) {
	s, err := e.imageStep(m, l.entry.Key)
	if err != nil {
		return nil, err
	}
	entry, err := e.step(ctx, "image", s, func(ctx context.Context, out, work string, ev ui.Step) error {
		tree, err := l.open()
		if err != nil {
			return err
		}
		spec := image.Spec{
			Tree: tree, Kernel: m.path(m.Kernel), Cmdline: m.Cmdline, Arch: e.VM.Arch,
			Compression: e.VM.Output.Compression, Name: e.VM.Name, MemoryMiB: int(e.VM.Proof.Memory >> 20),
		}
		if err := os.Mkdir(filepath.Join(out, imagesDir), 0o755); err != nil {
			return err
		}
		var made images
		for _, format := range e.VM.Output.Formats {
			artifacts, err := image.Write(ctx, format, spec, filepath.Join(out, imagesDir), progressOf(ev))
			if err != nil {
				return err
			}
			made.Artifacts = append(made.Artifacts, artifacts...)
		}
		if err := e.packageOwn(ctx, m, l, &made, out, work, ev); err != nil {
			return err
		}
		if made.Components, err = image.PackedSizes(ctx, tree, filepath.Join(out, imagesDir, "bundle", "initrd"), l.Components, e.VM.Output.Compression); err != nil {
			return err
		}
		data, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, imagesFile), data, 0o644)
	})
	if err != nil {
		return nil, err
	}
	made := &images{entry: entry}
	data, err := os.ReadFile(filepath.Join(entry.Dir, imagesFile))
	if err != nil {
		return nil, err
	}
	return made, json.Unmarshal(data, made)
}

// imageStep depends on the tree, the kernel and the compressor.
func (e *Engine) imageStep(m *stepResults, lean string) (store.Step, error) {
	compressor, err := image.CompressorVersion(e.VM.Output.Compression)
	return store.Step{Kind: "image", Scope: e.VM.Name, Inputs: store.Inputs{
		"lean":        lean,
		"kernel":      m.entries[m.Kernel.Step].Key,
		"cmdline":     m.Cmdline,
		"formats":     strings.Join(e.VM.Output.Formats, " "),
		"compression": e.VM.Output.Compression + ", " + compressor,
		"memory":      fmt.Sprint(e.VM.Proof.Memory),
		"package":     e.packagerKey(),
		"recipe":      "2",
	}}, err
}

// progressOf shows how much of the root has been packed.
func progressOf(ev ui.Step) func(done, total int64) {
	return func(done, total int64) { ev.Emit(builder.Progress{Done: done, Total: total, Unit: "bytes"}) }
}

// packagerKey is what the strategy's own artifacts depend on beyond the tree:
// the plugin itself. Empty when it makes none.
func (e *Engine) packagerKey() string {
	if !slices.Contains(e.desc.Capabilities, builder.CapabilityPackage) {
		return ""
	}
	return e.desc.Name + " " + e.desc.Version + " " + string(e.def.Config)
}

// packageOwn has the strategy make artifacts of its own kind, such as firmware,
// in a directory of its name.
func (e *Engine) packageOwn(ctx context.Context, m *stepResults, l *leanResult, made *images, out, work string, ev ui.Step) error {
	if e.packagerKey() == "" {
		return nil
	}
	dir := filepath.Join(out, imagesDir, e.VM.Strategy)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	req := &builder.PackageRequest{Definition: e.def, Machine: &m.Machine, Rootfs: filepath.Join(l.entry.Dir, leanTar),
		Kernel: m.path(m.Kernel), Out: dir, Work: work}
	if err := e.plugin.Package(ctx, req, ev); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(filepath.Join(out, imagesDir), path)
		if err != nil {
			return err
		}
		digest, err := store.DigestFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		made.Artifacts = append(made.Artifacts, image.Artifact{Format: e.VM.Strategy, Path: rel, SHA256: digest, Bytes: info.Size()})
		return nil
	})
}
