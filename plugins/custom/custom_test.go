package main

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/builder/buildertest"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

// root is the checkout, whose kernel-configs and overlays the tests use.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func contract(t *testing.T) buildertest.Case {
	return buildertest.Case{
		Definition: builder.Definition{
			VM: "vm", Arch: cc.HostArch(), Root: root(t), Elixir: "1.18", Hostname: "vm",
			OTP:    builder.OTP{Version: "27", Emulator: "interpreter", Link: "static"},
			Output: builder.Output{Root: "initramfs", Compression: "zstd"},
		},
		BadConfigs: []buildertest.BadConfig{
			{Config: []byte(`{"fragments": ["base", "nonesuch"]}`), WantPath: []string{"fragments", "1"}},
			{Config: []byte(`{"overlays": ["nonesuch"]}`), WantPath: []string{"overlays", "0"}},
			{Config: []byte(`{"fragments": ["virtio", "net"]}`), WantPath: []string{"fragments"}}, // which unpack no initramfs
		},
		Changes: []buildertest.Change{
			{Config: []byte(`{"fragments": ["base", "virtio"]}`), Steps: []string{stepKernel}},
			{Config: []byte(`{"kernel": "6.18"}`), Steps: []string{stepKernel}},
			{Config: []byte(`{"overlays": []}`), Steps: []string{stepMachine}},
			{Config: []byte(`{"cmdline": "quiet"}`), Steps: []string{stepMachine}},
		},
	}
}

func TestContract(t *testing.T) {
	t.Run("in-process", func(t *testing.T) { buildertest.Suite(t, buildertest.InProcess(custom{}), contract(t)) })
	t.Run("binary", func(t *testing.T) {
		buildertest.Suite(t, buildertest.Binary(buildertest.Compile(t, ".", "custom")), contract(t))
	})
}

func plan(t *testing.T, change func(*builder.Definition, map[string]any)) map[string]builder.Step {
	t.Helper()
	def := contract(t).Definition
	config := map[string]any{"kernel": "6.12", "fragments": []string{"base"}, "overlays": []string{"common"}, "busybox": true, "cmdline": ""}
	change(&def, config)
	var err error
	if def.Config, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	p, err := custom{}.Plan(context.Background(), &def)
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]builder.Step{}
	for _, s := range p.Steps {
		steps[s.ID] = s
	}
	return steps
}

func TestChangedEmulatorCompilesNoLibraryAgain(t *testing.T) {
	before := plan(t, func(*builder.Definition, map[string]any) {})
	for name, change := range map[string]func(*builder.Definition, map[string]any){
		"jit":     func(d *builder.Definition, _ map[string]any) { d.OTP.Emulator = "jit" },
		"dynamic": func(d *builder.Definition, _ map[string]any) { d.OTP.Link = "dynamic" },
	} {
		t.Run(name, func(t *testing.T) {
			after := plan(t, change)
			for _, id := range []string{stepOTP, stepElixir, stepKernel} {
				if !maps.Equal(before[id].Inputs, after[id].Inputs) {
					t.Errorf("%s would be built again: %v, %v", id, before[id].Inputs, after[id].Inputs)
				}
			}
			if maps.Equal(before[stepEmulator].Inputs, after[stepEmulator].Inputs) {
				t.Error("the emulator would not be built again")
			}
		})
	}
}

func TestWithoutBusyboxItIsNotBuilt(t *testing.T) {
	steps := plan(t, func(_ *builder.Definition, c map[string]any) { c["busybox"] = false })
	if _, ok := steps[stepBusybox]; ok {
		t.Error("there is a step busybox")
	}
	if slices.Contains(steps[stepMachine].Needs, stepBusybox) {
		t.Error("the machine needs busybox")
	}
}
