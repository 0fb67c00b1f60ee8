package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/otp"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// The steps' ids.
const (
	stepOTP     = "otp"
	stepElixir  = "elixir"
	stepKernel  = "kernel"
	stepInit    = "init"
	stepRoot    = "root"
	stepMachine = "machine"
)

// sourceAlpine is the source that Resolve answers for.
const sourceAlpine = "alpine"

// Plan: the app is compiled on the build host, with an OTP of the packages'
// series that is compiled here (core/otp), since Alpine's does not run on another
// C library or architecture; what it compiles runs on Alpine's.
func (alpine) Plan(ctx context.Context, def *builder.Definition) (*builder.Plan, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	version, err := otp.CompilerVersion(ctx, cc.Compiler(def.Arch))
	if err != nil {
		return nil, err
	}
	hostVersion, err := otp.CompilerVersion(ctx, "gcc")
	if err != nil {
		return nil, err
	}
	plan := &builder.Plan{Mirrors: c.mirrors(def), Steps: []builder.Step{guest.InitStep(stepInit, def, version)}}
	if !c.bringsRelease(def) {
		plan.Sources = append(plan.Sources, builder.Source{Name: "erlang", Series: def.OTP.Version}, builder.Source{Name: "elixir", Series: def.Elixir})
		plan.Steps = append(plan.Steps, otp.HostStep(stepOTP, def, hostVersion), otp.ElixirStep(stepElixir, stepOTP, def))
	}
	var root builder.Step
	switch transport, _ := c.localImage(); {
	case c.container():
		var images []builder.Source
		if root, images, err = containerStep(def, c); err != nil {
			return nil, err
		}
		plan.Sources = append(plan.Sources, images...)
	case c.Base == baseAlpine:
		plan.Sources = append(plan.Sources, builder.Source{Name: sourceAlpine, Series: c.Release, Selection: c.selection(def)})
	case transport == "":
		image, err := c.imageSource(def)
		if err != nil {
			return nil, err
		}
		plan.Sources = append(plan.Sources, image)
	}
	if !c.container() {
		if root, err = rootStep(ctx, def, c); err != nil {
			return nil, err
		}
	}
	plan.Steps = append(plan.Steps, root)
	if c.Kernel == kernelCustom {
		plan.Sources = append(plan.Sources, builder.Source{Name: "linux", Series: c.Linux})
		plan.Steps = append(plan.Steps, c.recipe().Step(stepKernel, def, version))
	}
	machine, err := machineStep(def, c)
	if err != nil {
		return nil, err
	}
	for _, s := range plan.Steps {
		machine.Needs = append(machine.Needs, s.ID)
	}
	plan.Steps = append(plan.Steps, machine)
	return plan, nil
}

// selection is what the lock file answers: architecture, OTP, packages and where
// they are from. Mirrors are no part of it: what they have is the same.
func (c config) selection(def *builder.Definition) string {
	words := []string{def.Arch, "otp~" + def.OTP.Version}
	if c.Kernel == kernelAlpine {
		words = append(words, kernelPackage)
	}
	packages := slices.Clone(c.Packages)
	slices.Sort(packages)
	words = append(words, slices.Compact(packages)...)
	for _, r := range c.Repositories {
		words = append(words, "from", r.URL)
	}
	return strings.Join(words, " ")
}

// bringsRelease says that the root has a release in it, and nothing is compiled.
func (c config) bringsRelease(def *builder.Definition) bool {
	return c.container() || c.Base == baseOCI && def.Console
}

func rootStep(ctx context.Context, def *builder.Definition, c config) (builder.Step, error) {
	if c.Base == baseOCI {
		return imageStep(ctx, def, c)
	}
	// The keys too: a package that was signed with one that is no longer trusted is
	// not installed.
	inputs := map[string]string{"recipe": "1", "arch": def.Arch, "kernel": c.Kernel}
	for _, s := range c.origins(def) {
		ring, err := readKeys(s.keys)
		if err != nil {
			return builder.Step{}, err
		}
		for name, data := range ring {
			inputs["key "+name] = digest(data)
		}
	}
	return builder.Step{ID: stepRoot, Title: "packages of Alpine " + c.Release, Sources: []string{sourceAlpine}, Inputs: inputs}, nil
}

func imageStep(ctx context.Context, def *builder.Definition, c config) (builder.Step, error) {
	step := builder.Step{ID: stepRoot, Title: "image " + c.Image, Inputs: map[string]string{
		"recipe": "2", "arch": def.Arch, "kernel": c.Kernel, "release": strconv.FormatBool(def.Console)}}
	identity, err := imageIdentity(ctx, def, c)
	if err != nil {
		return builder.Step{}, err
	}
	if identity == "" {
		step.Sources = []string{sourceImage}
	} else {
		step.Inputs["image"] = identity
	}
	return step, nil
}

func machineStep(def *builder.Definition, c config) (builder.Step, error) {
	inputs, err := rootfs.OverlayInputs(def.Root, c.Overlays)
	if err != nil {
		return builder.Step{}, err
	}
	maps.Copy(inputs, map[string]string{"recipe": "2", "cmdline": c.Cmdline, "kernel": c.Kernel, "compiler": nativeEnv(def.Arch)["CC"]})
	return builder.Step{ID: stepMachine, Title: "machine", Inputs: inputs}, nil
}

// Build runs one step.
func (alpine) Build(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
	switch req.Step {
	case stepOTP:
		return nil, otp.BuildHost(ctx, req, ev)
	case stepElixir:
		return nil, otp.BuildElixir(ctx, stepOTP, req, ev)
	case stepInit:
		return nil, guest.BuildInit(ctx, req, ev)
	case stepKernel:
		c, err := decode(req.Definition)
		if err != nil {
			return nil, err
		}
		return nil, c.recipe().Build(ctx, req, ev)
	case stepRoot:
		return nil, buildRoot(ctx, req, ev)
	case stepMachine:
		return assemble(ctx, req, ev)
	}
	return nil, fmt.Errorf("step %q: the alpine builder has no such step", req.Step)
}
