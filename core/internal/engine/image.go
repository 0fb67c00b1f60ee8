package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
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
	Components []inspect.Share
	entry      *store.Entry
}

// bundle is the one among them, which is booted and weighed.
func (i *images) bundle() (bundle.Bundle, error) {
	return bundle.Find(filepath.Join(i.entry.Dir, imagesDir))
}

// writeImages writes the lean tree in every format.
func (e *Engine) writeImages(ctx context.Context, m *stepResults, l *leanResult) (*images, error) {
	s, err := e.imageStep(m, l.entry.Key)
	if errors.Is(err, exec.ErrNotFound) { // say what is missing in all, or install it
		if err := e.checkHost(ctx); err != nil {
			return nil, err
		}
		s, err = e.imageStep(m, l.entry.Key)
	}
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
			Root: e.VM.Output.Root, Compression: e.VM.Output.Compression, Name: e.VM.Name, MemoryMiB: int(e.VM.Proof.Memory >> 20),
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
		if made.Components, err = componentsOf(ctx, filepath.Join(out, imagesDir), l.Components); err != nil {
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

// componentsOf weighs the root of the bundle below dir, as analyze does.
func componentsOf(ctx context.Context, dir string, groups map[string][]string) ([]inspect.Share, error) {
	b, err := bundle.Find(dir)
	if err != nil {
		return nil, err
	}
	root, err := inspect.Open(ctx, b.RootPath(), inspect.DefaultLimits)
	if err != nil {
		return nil, err
	}
	shares, err := root.Shares(groups)
	return shares, errors.Join(err, root.Close())
}

// imageStep depends on the tree, the kernel and the program that packs.
func (e *Engine) imageStep(m *stepResults, lean string) (store.Step, error) {
	packer, err := image.PackerOf(e.VM.Output.Root, e.VM.Output.Compression)
	if err != nil {
		return store.Step{}, err
	}
	version, err := packer.Version()
	return store.Step{Kind: "image", Scope: e.VM.Name, Inputs: store.Inputs{
		"lean":        lean,
		"kernel":      m.entries[m.Kernel.Step].Key,
		"cmdline":     m.Cmdline,
		"formats":     strings.Join(e.VM.Output.Formats, " "),
		"root":        e.VM.Output.Root,
		"compression": e.VM.Output.Compression + ", " + version,
		"memory":      fmt.Sprint(e.VM.Proof.Memory),
		"package":     e.packagerKey(),
		"recipe":      "3",
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
