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
	"github.com/somebloke1/elixir-lean-lab/core/cc"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
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
	version, err := otp.CompilerVersion(ctx, cc.Compiler(def.Arch))
	if err != nil {
		return nil, err
	}
	hostVersion, err := otp.CompilerVersion(ctx, "gcc")
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
			otp.HostStep(stepOTP, def, hostVersion),
			c.kernel().Step(stepKernel, def, version),
			emulatorStep(ctx, def, version),
			otp.ElixirStep(stepElixir, stepOTP, def),
			guest.InitStep(stepInit, def, version),
		},
	}
	if c.Busybox {
		plan.Sources = append(plan.Sources, builder.Source{Name: "busybox", Series: busyboxSeries})
		plan.Steps = append(plan.Steps, builder.Step{ID: stepBusybox, Title: "BusyBox " + busyboxSeries, Sources: []string{"busybox"},
			Inputs: map[string]string{"config": digest(guest.BusyBoxConfig()), "cc": version, "compiler": cc.MuslCompiler(def.Arch), "arch": def.Arch}})
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
		c, err := decode(req.Definition)
		if err != nil {
			return nil, err
		}
		return nil, c.kernel().Build(ctx, req, ev)
	case stepBusybox:
		return nil, buildBusybox(ctx, req, ev)
	case stepOTP:
		return nil, otp.BuildHost(ctx, req, ev)
	case stepElixir:
		return nil, otp.BuildElixir(ctx, stepOTP, req, ev)
	case stepEmulator:
		e := emulators(req.Definition)
		e.Source, e.Out, e.Work, e.Jobs = req.Sources["erlang"].Path, req.Out, req.Work, req.Jobs
		e.OTP = req.Needs[stepOTP]
		return nil, e.Build(ctx, ev)
	case stepInit:
		return nil, guest.BuildInit(ctx, req, ev)
	case stepMachine:
		return assemble(ctx, req, ev)
	}
	return nil, fmt.Errorf("step %q: the custom builder has no such step", req.Step)
}

func emulatorStep(ctx context.Context, def *builder.Definition, version string) builder.Step {
	s := builder.Step{ID: stepEmulator, Title: "BEAM emulator (" + def.OTP.Emulator + ", " + def.OTP.Link + ")", Sources: []string{"erlang"},
		Inputs: emulatorInputs(ctx, def, version)}
	if cc.CrossTriplet(def.Arch) != "" {
		s.Needs = []string{stepOTP}
	}
	return s
}

func emulators(def *builder.Definition) otp.Emulators {
	return otp.Emulators{Triplet: cc.CrossTriplet(def.Arch), Emulator: def.OTP.Emulator, Link: def.OTP.Link}
}

// emulatorInputs holds the digests of the libraries that are linked in.
func emulatorInputs(ctx context.Context, def *builder.Definition, version string) map[string]string {
	inputs := merge(map[string]string{"cc": version, "arch": def.Arch}, emulators(def).Inputs())
	for _, lib := range []string{"libcrypto.a", "libtinfo.a", "libc.a"} {
		if path := cc.LibraryPath(ctx, cc.Compiler(def.Arch), lib); path != "" {
			inputs[lib] = cc.FileIdentity(path)
		}
	}
	return inputs
}

// machineStep depends on every file of the overlays, and on the C library when
// it goes into the VM.
func machineStep(ctx context.Context, def *builder.Definition, c config) (builder.Step, error) {
	inputs, err := rootfs.OverlayInputs(def.Root, c.Overlays)
	if err != nil {
		return builder.Step{}, err
	}
	maps.Copy(inputs, map[string]string{"recipe": "2", "link": def.OTP.Link, "cmdline": c.Cmdline})
	for _, name := range terminals {
		path, err := terminfo(name)
		if err != nil {
			return builder.Step{}, err
		}
		inputs["terminfo "+name] = cc.FileIdentity(path)
	}
	if def.OTP.Link == "dynamic" {
		inputs["libc"] = cc.FileIdentity(cc.LibraryPath(ctx, cc.Compiler(def.Arch), "libc.so.6"))
	}
	return builder.Step{ID: stepMachine, Title: "machine", Inputs: inputs}, nil
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
