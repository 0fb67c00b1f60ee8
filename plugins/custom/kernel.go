package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// Files of the kernel step.
const (
	kernelImage  = "image"
	kernelConfig = "config"
)

// kernelBuild unpacks the source and describes its build out of tree.
func kernelBuild(ctx context.Context, def *builder.Definition, archive, work string, jobs int, ev builder.Events) (*kernel.Build, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	arch, err := kernel.ArchFor(def.Arch)
	if err != nil {
		return nil, err
	}
	frags, err := kernel.FindFragments(def.Root, arch, c.Fragments)
	if err != nil {
		return nil, err
	}
	src := filepath.Join(work, "linux")
	ev.Emit(builder.StepStarted{Title: "unpacking"})
	if err := source.Unpack(ctx, archive, src, source.UnpackOptions{StripComponents: 1}); err != nil {
		return nil, err
	}
	ev.Emit(builder.StepFinished{Title: "unpacking"})
	return &kernel.Build{Source: src, Out: filepath.Join(work, "out"), Arch: arch, Fragments: frags, Jobs: jobs, Base: "tinyconfig"}, nil
}

func buildKernel(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	b, err := kernelBuild(ctx, req.Definition, req.Sources["linux"].Path, req.Work, req.Jobs, ev)
	if err != nil {
		return err
	}
	if err := b.Configure(ctx, ev); err != nil {
		return err
	}
	image, err := b.Image(ctx, ev)
	if err != nil {
		return err
	}
	if err := os.Rename(image, filepath.Join(req.Out, kernelImage)); err != nil {
		return err
	}
	return os.Rename(filepath.Join(b.Out, ".config"), filepath.Join(req.Out, kernelConfig))
}
