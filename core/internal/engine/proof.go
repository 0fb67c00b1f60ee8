package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/internal/verify"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// What the proof step publishes.
const (
	proofFile   = "proof.json"
	consoleFile = "console.log"
)

// prove boots the image, checks the app and powers it off. A proof that
// succeeded is kept: an image is proven once.
//
// What is counted is the same boot whatever is asked. Requests and code come in a
// second one, in which nothing is counted: guest time would run ahead of their
// answers there, as idle time is skipped, and an evaluator adds to what is counted.
func (e *Engine) prove(ctx context.Context, made *images) (*vm.Proof, error) {
	if e.NoProof {
		return nil, nil
	}
	s, err := e.proofStep(ctx, made.entry.Key)
	if err != nil {
		return nil, err
	}
	entry, err := e.step(ctx, "boot proof", s, func(ctx context.Context, out, work string, ev ui.Step) error {
		counted, err := e.counted(made)
		if err != nil {
			return err
		}
		if why := vm.CountsDisks(); why != nil && counted.Disk != "" {
			e.UI.Message("warning", "the time in which the VM waits for its disk counts as instructions, since QEMU cannot read at once: "+why.Error())
		}
		console, err := os.Create(filepath.Join(out, consoleFile))
		if err != nil {
			return err
		}
		defer console.Close()
		counted.Config.Console = console
		proof, err := vm.Prove(ctx, counted)
		if err == nil {
			counted.Config.Console = nil
			err = e.ask(ctx, counted.Config, work, ev)
		}
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
	checks := e.VM.Proof.Checks
	inputs := store.Inputs{
		"image":  image,
		"memory": fmt.Sprint(e.proofMemoryMiB()),
		"expect": strings.Join(checks.Expect, "\n"),
		"qemu":   version,
		"recipe": "3",
	}
	for i, h := range checks.HTTP {
		inputs[fmt.Sprintf("http %d", i)] = h.String()
	}
	for i, c := range checks.Eval {
		inputs[fmt.Sprintf("eval %d", i)] = fmt.Sprintf("%q is %q", c.Code, c.Result)
	}
	if checks.Exit != "" {
		inputs["exit"] = checks.Exit
	}
	return store.Step{Kind: "proof", Scope: e.VM.Name, Inputs: inputs}, err
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

// counted is the boot that the definition asks for.
func (e *Engine) counted(made *images) (vm.Check, error) {
	b, err := made.bundle()
	if err != nil {
		return vm.Check{}, err
	}
	config, err := vm.OfBundle(b, e.VM.Arch)
	if err != nil {
		return vm.Check{}, err
	}
	config.MemoryMiB, config.CPUs, config.Net = e.proofMemoryMiB(), 1, true
	// Counting makes the figures the same on every machine, and needs no hardware
	// virtualisation.
	config.Accel, config.Count = "tcg", true
	c := vm.Check{Config: config, Expect: e.VM.Proof.Checks.Expect,
		Ends: e.VM.Proof.Checks.Exit == check.ExitClean, Timeout: e.VM.Proof.Timeout}
	if e.console() {
		c.Eval, c.EvalResult = "1+1", "2"
	}
	return c, nil
}

// ask makes those checks that need a VM which runs with the host's clock.
func (e *Engine) ask(ctx context.Context, cfg vm.Config, work string, show ui.Step) error {
	asked := check.Set{HTTP: e.VM.Proof.Checks.HTTP, Eval: e.VM.Proof.Checks.Eval}
	if asked.Empty() {
		return nil
	}
	dir := filepath.Join(work, "vm")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	cfg.Count = false
	started, err := verify.Start(ctx, vm.Check{Config: cfg, Timeout: e.VM.Proof.Timeout}, dir, asked)
	if err != nil {
		return err
	}
	defer started.Kill()
	result, err := started.Run(ctx, e.VM.Name, show)
	if err != nil {
		return err
	}
	return result.Err()
}
