package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// Files of the busybox step.
const (
	busyboxProgram = "busybox"
	busyboxLinks   = "busybox.links" // one path a line, made by its makefile
)

// busyboxBuild describes BusyBox's build out of tree, below work.
func busyboxBuild(def *builder.Definition, config, work string, jobs int) (*kernel.Build, error) {
	arch, err := kernel.ArchFor(def.Arch)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	frag, err := kernel.ParseFragment(config, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	vars, err := staticLibc(arch, work)
	if err != nil {
		return nil, err
	}
	return &kernel.Build{Source: filepath.Join(work, "busybox"), Out: filepath.Join(work, "busybox-out"), Vars: vars, Arch: arch.BusyBox(),
		Fragments: []*kernel.Fragment{frag}, Jobs: jobs, Base: "allnoconfig"}, nil
}

// staticLibc links against musl where the host has it for the target: a static
// BusyBox is then a third as large as with glibc. musl-gcc compiles for the
// build host only.
func staticLibc(arch kernel.Arch, work string) ([]string, error) {
	if arch.Cross != "" {
		return nil, nil
	}
	return kernel.MuslVars(filepath.Join(work, "musl-include"), arch)
}

func buildBusybox(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	config := filepath.Join(req.Work, "busybox.config")
	if err := os.WriteFile(config, guest.BusyBoxConfig(), 0o644); err != nil {
		return err
	}
	b, err := busyboxBuild(req.Definition, config, req.Work, req.Jobs)
	if err != nil {
		return err
	}
	ev.Emit(builder.StepStarted{Title: "unpacking"})
	if err := source.Unpack(ctx, req.Sources["busybox"].Path, b.Source, source.UnpackOptions{Strip: 1}); err != nil {
		return err
	}
	ev.Emit(builder.StepFinished{Title: "unpacking"})
	if err := b.Configure(ctx, ev); err != nil {
		return err
	}
	program, err := b.Image(ctx, ev)
	if err != nil {
		return err
	}
	links := exec.Command("make", "-C", b.Out, busyboxLinks)
	if err := builder.Run(ctx, ev, links); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(b.Out, busyboxLinks), filepath.Join(req.Out, busyboxLinks)); err != nil {
		return err
	}
	return os.Rename(program, filepath.Join(req.Out, busyboxProgram))
}
