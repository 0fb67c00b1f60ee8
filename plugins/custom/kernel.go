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

// kernelBuild describes the kernel's build out of tree, below work.
func kernelBuild(def *builder.Definition, work string, jobs int) (*kernel.Build, error) {
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
	return &kernel.Build{Source: filepath.Join(work, "linux"), Out: filepath.Join(work, "linux-out"),
		Arch: arch, Fragments: frags, Jobs: jobs, Base: "tinyconfig"}, nil
}

func buildKernel(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	b, err := kernelBuild(req.Definition, req.Work, req.Jobs)
	if err != nil {
		return err
	}
	if err := unpack(ctx, ev, req.Sources["linux"].Path, b.Source); err != nil {
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

func unpack(ctx context.Context, ev builder.Events, archive, dir string) error {
	ev.Emit(builder.StepStarted{Title: "unpacking"})
	defer ev.Emit(builder.StepFinished{Title: "unpacking"})
	return source.Unpack(ctx, archive, dir, source.UnpackOptions{Strip: 1})
}
