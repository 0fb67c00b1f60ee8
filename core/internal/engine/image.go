package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
	compressor, err := image.CompressorVersion(e.VM.Output.Compression)
	if err != nil {
		return nil, err
	}
	s := store.Step{Kind: "image", Inputs: store.Inputs{
		"lean":        l.entry.Key,
		"kernel":      m.entries[m.Kernel.Step].Key,
		"cmdline":     m.Cmdline,
		"formats":     strings.Join(e.VM.Output.Formats, " "),
		"compression": e.VM.Output.Compression + ", " + compressor,
		"memory":      fmt.Sprint(e.VM.Proof.Memory),
		"recipe":      "1",
	}}
	entry, err := e.step(ctx, "image", s, func(ctx context.Context, out, work string, ev ui.Step) error {
		tree, err := l.open()
		if err != nil {
			return err
		}
		spec := image.Spec{
			Tree: tree, Kernel: m.path(m.Kernel), Cmdline: m.Cmdline, Arch: e.VM.Arch,
			Compression: e.VM.Output.Compression, Name: e.VM.Name, MemoryMiB: int(e.VM.Proof.Memory >> 20),
		}
		var made images
		for _, format := range e.VM.Output.Formats {
			artifacts, err := image.Write(ctx, format, spec, filepath.Join(out, imagesDir), progressOf(ev))
			if err != nil {
				return err
			}
			made.Artifacts = append(made.Artifacts, artifacts...)
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

// progressOf shows how much of the root has been packed.
func progressOf(ev ui.Step) func(done, total int64) {
	return func(done, total int64) { ev.Emit(builder.Progress{Done: done, Total: total, Unit: "bytes"}) }
}
