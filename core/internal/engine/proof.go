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
	version, err := vm.Version(ctx, e.VM.Arch)
	if err != nil {
		return nil, err
	}
	s := store.Step{Kind: "proof", Inputs: store.Inputs{
		"image":  made.entry.Key,
		"memory": fmt.Sprint(e.VM.Proof.Memory),
		"expect": strings.Join(e.VM.Proof.Expect, "\n"),
		"qemu":   version,
		"recipe": "1",
	}}
	entry, err := e.step(ctx, "boot proof", s, func(ctx context.Context, out, work string, ev ui.Step) error {
		check, err := e.check(made, work)
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

// check is the proof that the definition asks for.
func (e *Engine) check(made *images, work string) (vm.Check, error) {
	c := vm.Check{
		Config: vm.Config{
			Arch: e.VM.Arch, MemoryMiB: int(e.VM.Proof.Memory >> 20), CPUs: 1,
			// Counting makes the figures the same on every machine, and needs
			// no hardware virtualisation.
			Accel: "tcg", Count: true, Net: true, Dir: work,
		},
		Expect: e.VM.Proof.Expect, Timeout: e.VM.Proof.Timeout,
	}
	if e.VM.App == nil {
		c.Eval, c.EvalResult = "1+1", "2"
	}
	return c, bundle(made, &c.Config)
}

// bundle points a configuration at the bundle's files.
func bundle(made *images, c *vm.Config) error {
	var err error
	if c.Kernel, err = made.file("kernel"); err != nil {
		return err
	}
	if c.Initrd, err = made.file("initrd"); err != nil {
		return err
	}
	path, err := made.file("cmdline")
	if err != nil {
		return err
	}
	cmdline, err := os.ReadFile(path)
	c.Cmdline = strings.TrimSpace(string(cmdline))
	return err
}
