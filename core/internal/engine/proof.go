package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// What the proof step publishes.
const (
	proofFile   = "proof.json"
	consoleFile = "console.log"
)

// prove boots the image, checks the app and powers it off. A proof that
// succeeded is kept: an image is proven once.
func (e *Engine) prove(ctx context.Context, made *images) (*vm.Proof, error) {
	if e.NoProof {
		return nil, nil
	}
	s, err := e.proofStep(ctx, made.entry.Key)
	if err != nil {
		return nil, err
	}
	entry, err := e.step(ctx, "boot proof", s, func(ctx context.Context, out, work string, ev ui.Step) error {
		check, err := e.check(made)
		if err != nil {
			return err
		}
		console, err := os.Create(filepath.Join(out, consoleFile))
		if err != nil {
			return err
		}
		defer console.Close()
		check.Config.Console = console
		proof, err := vm.Prove(ctx, check)
		if err != nil {
			return fmt.Errorf("the image of vm %q does not work: %w", e.VM.Name, err)
		}
		data, err := json.MarshalIndent(proof, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, proofFile), data, 0o644)
	})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(entry.Dir, proofFile))
	if err != nil {
		return nil, err
	}
	var proof vm.Proof
	return &proof, json.Unmarshal(data, &proof)
}

// proofStep depends on the image, on what is asked of it, and on QEMU.
func (e *Engine) proofStep(ctx context.Context, image string) (store.Step, error) {
	version, err := vm.Version(ctx, e.VM.Arch)
	return store.Step{Kind: "proof", Scope: e.VM.Name, Inputs: store.Inputs{
		"image":  image,
		"memory": fmt.Sprint(e.proofMemoryMiB()),
		"expect": strings.Join(e.VM.Proof.Expect, "\n"),
		"qemu":   version,
		"recipe": "3",
	}}, err
}

// proofMemoryMiB is the RAM of the proof: the budget, where there is one, so
// that an image that needs more fails.
func (e *Engine) proofMemoryMiB() int {
	memory := e.VM.Proof.Memory
	if budget := e.VM.Budget.Memory; budget > 0 {
		memory = min(memory, budget)
	}
	return int(memory >> 20)
}

// check is the proof that the definition asks for.
func (e *Engine) check(made *images) (vm.Check, error) {
	c := vm.Check{
		Config: vm.Config{
			Arch: e.VM.Arch, MemoryMiB: e.proofMemoryMiB(), CPUs: 1,
			// Counting makes the figures the same on every machine, and needs
			// no hardware virtualisation.
			Accel: "tcg", Count: true, Net: true,
		},
		Expect: e.VM.Proof.Expect, Timeout: e.VM.Proof.Timeout,
	}
	if e.console() {
		c.Eval, c.EvalResult = "1+1", "2"
	}
	return c, bundle(made, &c.Config)
}

// bundle points a configuration at the bundle's files.
func bundle(made *images, c *vm.Config) error {
	kernel, err := made.file("kernel")
	if err != nil {
		return err
	}
	b, err := BundleConfig(filepath.Dir(kernel), c.Arch)
	c.Kernel, c.Initrd, c.Cmdline = b.Kernel, b.Initrd, b.Cmdline
	return err
}

// BundleConfig is the machine that a bundle's directory describes.
func BundleConfig(dir, arch string) (vm.Config, error) {
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	return vm.Config{
		Arch: arch, Kernel: filepath.Join(dir, "kernel"), Initrd: filepath.Join(dir, "initrd"),
		Cmdline: strings.TrimSpace(string(cmdline)),
	}, err
}
