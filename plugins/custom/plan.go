package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/otp"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// The steps' ids.
const (
	stepKernel   = "kernel"
	stepBusybox  = "busybox"
	stepOTP      = "otp"
	stepElixir   = "elixir"
	stepEmulator = "emulator"
	stepInit     = "init"
	stepMachine  = "machine"
)

// Plan lists the longest chain first (OTP, then Elixir on it), so that on few
// cores nothing long is left to run alone at the end.
func (custom) Plan(ctx context.Context, def *builder.Definition) (*builder.Plan, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	cc, err := otp.CompilerVersion(ctx, compiler(def.Arch))
	if err != nil {
		return nil, err
	}
	hostCC, err := otp.CompilerVersion(ctx, "gcc")
	if err != nil {
		return nil, err
	}
	plan := &builder.Plan{
		Sources: []builder.Source{
			{Name: "erlang", Series: def.OTP.Version},
			{Name: "linux", Series: c.Kernel},
			{Name: "elixir", Series: def.Elixir},
		},
		Steps: []builder.Step{
			{ID: stepOTP, Title: "OTP " + def.OTP.Version + " for the build host", Sources: []string{"erlang"},
				Inputs: merge(map[string]string{"cc": hostCC}, otp.HostInputs())},
			kernelStep(def, c, cc),
			emulatorStep(ctx, def, cc),
			{ID: stepElixir, Title: "Elixir " + def.Elixir, Needs: []string{stepOTP}, Sources: []string{"elixir"},
				Inputs: map[string]string{"recipe": "2"}},
			{ID: stepInit, Title: "/init", Inputs: map[string]string{"source": digest(guest.Source()), "cc": cc, "compiler": initCompiler(def.Arch), "flags": strings.Join(initFlags, " ")}},
		},
	}
	if c.Busybox {
		plan.Sources = append(plan.Sources, builder.Source{Name: "busybox", Series: busyboxSeries})
		plan.Steps = append(plan.Steps, builder.Step{ID: stepBusybox, Title: "BusyBox " + busyboxSeries, Sources: []string{"busybox"},
			Inputs: map[string]string{"config": digest(guest.BusyBoxConfig()), "cc": cc, "compiler": initCompiler(def.Arch), "arch": def.Arch}})
	}
	machine, err := machineStep(ctx, def, c)
	if err != nil {
		return nil, err
	}
	for _, s := range plan.Steps {
		if s.ID != stepElixir {
			machine.Needs = append(machine.Needs, s.ID)
		}
	}
	machine.Needs = append(machine.Needs, stepElixir)
	plan.Steps = append(plan.Steps, machine)
	return plan, nil
}

// Build runs one step.
func (b custom) Build(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
	switch req.Step {
	case stepKernel:
		return nil, buildKernel(ctx, req, ev)
	case stepBusybox:
		return nil, buildBusybox(ctx, req, ev)
	case stepOTP:
		return nil, otp.Host{Source: req.Sources["erlang"].Path, Out: req.Out, Work: req.Work, Jobs: req.Jobs}.Build(ctx, ev)
	case stepElixir:
		return nil, otp.Elixir{Source: req.Sources["elixir"].Path, OTP: req.Needs[stepOTP], Out: req.Out, Work: req.Work, Jobs: req.Jobs}.Build(ctx, ev)
	case stepEmulator:
		e := emulators(req.Definition)
		e.Source, e.Out, e.Work, e.Jobs = req.Sources["erlang"].Path, req.Out, req.Work, req.Jobs
		e.OTP = req.Needs[stepOTP]
		return nil, e.Build(ctx, ev)
	case stepInit:
		return nil, buildInit(ctx, req, ev)
	case stepMachine:
		return assemble(ctx, req, ev)
	}
	return nil, fmt.Errorf("step %q: the custom builder has no such step", req.Step)
}

func kernelStep(def *builder.Definition, c config, cc string) builder.Step {
	inputs := map[string]string{"arch": def.Arch, "cc": cc, "recipe": "1"}
	for _, f := range c.Fragments {
		inputs["fragment "+f] = fragmentDigest(def, f)
	}
	inputs["fragments"] = strings.Join(c.Fragments, " ")
	return builder.Step{ID: stepKernel, Title: "Linux kernel " + c.Kernel, Sources: []string{"linux"}, Inputs: inputs}
}

// fragmentDigest covers the symbols and not the comments: explaining a line
// better does not build a kernel.
func fragmentDigest(def *builder.Definition, name string) string {
	arch, err := kernel.ArchFor(def.Arch)
	if err != nil {
		return err.Error() // Validate reports it
	}
	frags, err := kernel.FindFragments(def.Root, arch, []string{name})
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, f := range frags {
		for _, s := range f.Symbols {
			fmt.Fprintln(&text, s.Name+"="+s.Value)
		}
	}
	return digest([]byte(text.String()))
}

func emulatorStep(ctx context.Context, def *builder.Definition, cc string) builder.Step {
	s := builder.Step{ID: stepEmulator, Title: "BEAM emulator (" + def.OTP.Emulator + ", " + def.OTP.Link + ")", Sources: []string{"erlang"},
		Inputs: emulatorInputs(ctx, def, cc)}
	if crossTriplet(def.Arch) != "" {
		s.Needs = []string{stepOTP}
	}
	return s
}

func emulators(def *builder.Definition) otp.Emulators {
	return otp.Emulators{Triplet: crossTriplet(def.Arch), Emulator: def.OTP.Emulator, Link: def.OTP.Link}
}

// emulatorInputs holds the digests of the libraries that are linked in.
func emulatorInputs(ctx context.Context, def *builder.Definition, cc string) map[string]string {
	inputs := merge(map[string]string{"cc": cc, "arch": def.Arch}, emulators(def).Inputs())
	for _, lib := range []string{"libcrypto.a", "libtinfo.a", "libc.a"} {
		if path := libraryPath(ctx, compiler(def.Arch), lib); path != "" {
			inputs[lib] = fileIdentity(path)
		}
	}
	return inputs
}

// fileIdentity is the size and time of a file of the host's distribution, which
// is enough to see an upgrade and takes no reading.
func fileIdentity(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format("2006-01-02T15:04:05Z"))
}

// machineStep depends on every file of the overlays, and on the C library when
// it goes into the VM.
func machineStep(ctx context.Context, def *builder.Definition, c config) (builder.Step, error) {
	inputs := map[string]string{"recipe": "2", "overlays": strings.Join(c.Overlays, " "), "link": def.OTP.Link, "cmdline": c.Cmdline}
	dirs, err := rootfs.FindOverlays(def.Root, c.Overlays)
	if err != nil {
		return builder.Step{}, err
	}
	for i, dir := range dirs {
		d, err := overlayDigest(dir)
		if err != nil {
			return builder.Step{}, err
		}
		inputs["overlay "+c.Overlays[i]] = d
	}
	for _, name := range terminals {
		path, err := terminfo(name)
		if err != nil {
			return builder.Step{}, err
		}
		inputs["terminfo "+name] = fileIdentity(path)
	}
	if def.OTP.Link == "dynamic" {
		inputs["libc"] = fileIdentity(libraryPath(ctx, compiler(def.Arch), "libc.so.6"))
	}
	return builder.Step{ID: stepMachine, Title: "machine", Inputs: inputs}, nil
}

// overlayDigest covers what an overlay puts into the root: the tree that
// AddOverlay makes of it, as a tar.
func overlayDigest(dir string) (string, error) {
	tree := rootfs.New()
	if err := tree.AddOverlay(dir); err != nil {
		return "", err
	}
	h := sha256.New()
	if err := tree.WriteTar(h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func merge(into map[string]string, from map[string]string) map[string]string {
	maps.Copy(into, from)
	return into
}

// terminals are the terminal descriptions that go into the VM: what QEMU's
// serial console, a cloud's serial log and the Linux console are used with.
var terminals = []string{"linux", "vt220", "xterm"}

// terminfoDirs is where distributions keep compiled descriptions (terminfo(5)).
var terminfoDirs = []string{"/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo"}

func terminfo(name string) (string, error) {
	for _, dir := range terminfoDirs {
		path := filepath.Join(dir, name[:1], name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("terminal description %q: in none of %s; install ncurses-base", name, strings.Join(terminfoDirs, ", "))
}

// sorted returns the keys of a set in order.
func sorted(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
