package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// Files of the step's result.
const (
	ImageFile  = "image"
	ConfigFile = "config"
)

// Recipe is the kernel that a strategy's block asks for.
type Recipe struct {
	Series    string   // of Linux
	Fragments []string // on top of tinyconfig; names in kernel-configs/, or paths
}

// Step is the build step of the kernel, the same for every strategy. cc is the
// compiler's version.
func (r Recipe) Step(id string, def *builder.Definition, cc string) builder.Step {
	inputs := map[string]string{"arch": def.Arch, "cc": cc, "recipe": "1"}
	for _, f := range r.Fragments {
		inputs["fragment "+f] = fragmentDigest(def, f)
	}
	inputs["fragments"] = strings.Join(r.Fragments, " ")
	return builder.Step{ID: id, Kind: "custom/kernel", Title: "Linux kernel " + r.Series, Sources: []string{"linux"}, Inputs: inputs}
}

// fragmentDigest covers the symbols and not the comments: explaining a line
// better does not build a kernel.
func fragmentDigest(def *builder.Definition, name string) string {
	arch, err := ArchFor(def.Arch)
	if err != nil {
		return err.Error() // Validate reports it
	}
	frags, err := FindFragments(def.Root, arch, []string{name})
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, f := range frags {
		for _, s := range f.Symbols {
			fmt.Fprintln(&text, s.Name+"="+s.Value)
		}
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:])
}

// Plan describes the kernel's build out of tree, below work.
func (r Recipe) Plan(def *builder.Definition, work string, jobs int) (*Build, error) {
	arch, err := ArchFor(def.Arch)
	if err != nil {
		return nil, err
	}
	frags, err := FindFragments(def.Root, arch, r.Fragments)
	if err != nil {
		return nil, err
	}
	return &Build{Source: filepath.Join(work, "linux"), Out: filepath.Join(work, "linux-out"),
		Arch: arch, Fragments: frags, Jobs: jobs, Base: "tinyconfig"}, nil
}

// Build runs the step.
func (r Recipe) Build(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	b, err := r.Plan(req.Definition, req.Work, req.Jobs)
	if err != nil {
		return err
	}
	ev.Emit(builder.StepStarted{Title: "unpacking"})
	if err := source.Unpack(ctx, req.Sources["linux"].Path, b.Source, source.UnpackOptions{Strip: 1}); err != nil {
		return err
	}
	ev.Emit(builder.StepFinished{Title: "unpacking"})
	if err := b.Configure(ctx, ev); err != nil {
		return err
	}
	image, err := b.Image(ctx, ev)
	if err != nil {
		return err
	}
	if err := os.Rename(image, filepath.Join(req.Out, ImageFile)); err != nil {
		return err
	}
	return os.Rename(filepath.Join(b.Out, ".config"), filepath.Join(req.Out, ConfigFile))
}

// CheckFragments reports names that have no fragment, and fragments whose kernel
// could not get at the root that the definition asks for, at their place in the
// strategy's block.
func CheckFragments(def *builder.Definition, attribute string, names []string) (builder.Diagnostics, error) {
	arch, err := ArchFor(def.Arch)
	if err != nil {
		return nil, err
	}
	frags, err := FindFragments(def.Root, arch, names)
	d := builder.Diagnostic{Severity: builder.Error, Summary: "Unusable " + attribute, Path: []string{attribute}}
	var unknown *UnknownFragmentError
	if errors.As(err, &unknown) {
		d.Summary = "Unknown kernel fragment"
		d.Path = append(d.Path, strconv.Itoa(unknown.Index))
	}
	if err == nil {
		err = requestsRoot(frags, arch, RootOf(def))
		d.Summary = "The kernel could not get at its root"
	}
	if err == nil {
		return nil, nil
	}
	d.Detail = err.Error()
	return builder.Diagnostics{d}, nil
}
