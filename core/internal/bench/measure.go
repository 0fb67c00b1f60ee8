package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// Options is how to measure.
type Options struct {
	MemoryMiB int  // RAM of the machine, except in the search for the least
	Runs      int  // boots whose wall time is taken, where that means something
	Least     bool // search for the smallest RAM
	UI        ui.UI

	// Done is what an earlier run on this machine has measured. An image that is
	// among it, and the same still, is not measured again.
	Done []report.Measured
}

// done is the earlier measurement of m, if it was made as the options say.
func (o Options) done(m *report.Measured) *report.Measured {
	for _, d := range o.Done {
		if d.Path == m.Path && d.Digest == m.Digest && d.Memory.GivenMiB == int64(o.MemoryMiB) &&
			(d.Memory.LeastMiB > 0) == o.Least && (d.Wall == nil || d.Wall.Runs == o.Runs) {
			return &d
		}
	}
	return nil
}

// leastStep is how exactly the smallest RAM is searched for, in MiB.
const leastStep = 2

// accelerator is the only one with which instructions can be counted.
const accelerator = "tcg"

// Measure measures the bundle at path: its directory, or build/<vm>.
func Measure(ctx context.Context, path string, o Options) (*report.Measured, error) {
	b, err := openBundle(path)
	if err != nil {
		return nil, err
	}
	m := &report.Measured{Name: b.name, Path: path, Arch: b.config.Arch}
	if m.Digest, err = b.digest(); err != nil {
		return nil, err
	}
	if done := o.done(m); done != nil {
		o.UI.Cached("bench", b.name+": measured before the interruption")
		return done, nil
	}
	if m.Bytes, err = b.bytes(); err != nil {
		return nil, err
	}
	if m.Built, err = builtFrom(filepath.Dir(b.config.Kernel)); err != nil {
		return nil, err
	}
	// Without a network card: its answers come when the host delivers them, and
	// the counts would differ from run to run.
	check := vm.Check{Config: b.config}
	check.MemoryMiB, check.Accel, check.Count = o.MemoryMiB, accelerator, true

	var took time.Duration
	err = measure(o.UI, b.name+": instructions", func() (err error) { took, err = counted(ctx, check, m); return err })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	err = measure(o.UI, b.name+": BEAM at work", func() error { return micro(ctx, check, took, m) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	err = measure(o.UI, b.name+": wall time", func() error { return wall(ctx, check, o.Runs, m) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if o.Least {
		err = measure(o.UI, b.name+": smallest RAM", func() error {
			least, err := vm.LeastMemory(ctx, check, leastStep, o.MemoryMiB, leastStep)
			m.Memory.LeastMiB = int64(least)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// measure shows one measurement as a step.
func measure(out ui.UI, title string, do func() error) error {
	step := out.Start("bench", title)
	if err := do(); err != nil {
		step.Fail(err)
		return err
	}
	step.Done("")
	return nil
}

// counted boots once and takes what is the same in every run, and how long it took.
func counted(ctx context.Context, check vm.Check, m *report.Measured) (time.Duration, error) {
	proof, err := vm.Prove(ctx, check)
	if err != nil {
		return 0, err
	}
	i := proof.Instructions
	m.Boot = report.Phases{Kernel: i.Init, Init: i.BEAM - i.Init, Beam: i.Ready - i.BEAM, Ready: i.Ready}
	m.Memory = report.MeasuredMemory{GivenMiB: int64(proof.MemoryMiB), TotalKiB: proof.MemTotalKiB,
		IdleKiB: proof.MemTotalKiB - proof.MemAvailableKiB}
	return proof.Wall, nil
}

// wall boots with hardware virtualisation; emulated seconds are the host's own.
func wall(ctx context.Context, check vm.Check, runs int, m *report.Measured) error {
	accel, why := vm.Accelerator(ctx, check.Arch)
	if accel == "tcg" {
		m.NoWall = why
		return nil
	}
	check.Accel, check.Count = accel, false
	var took []time.Duration
	for range runs {
		proof, err := vm.Prove(ctx, check)
		if err != nil {
			return err
		}
		took = append(took, proof.WallReady)
	}
	slices.Sort(took)
	m.Wall = &report.Wall{Accelerator: accel, Runs: runs,
		MedianMS: milliseconds(took[len(took)/2]), LeastMS: milliseconds(took[0]), MostMS: milliseconds(took[len(took)-1])}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// builtFrom reads what the manifest beside a bundle knows. A bundle that was copied
// elsewhere has none.
func builtFrom(dir string) (report.Built, error) {
	manifest, err := report.Read(filepath.Join(filepath.Dir(dir), report.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return report.Built{}, nil
	} else if err != nil {
		return report.Built{}, err
	}
	built := report.Built{Strategy: manifest.Strategy, Lean: manifest.Lean.Level, Versions: map[string]string{}}
	for _, source := range manifest.Sources {
		built.Versions[source.Name] = source.Version
	}
	return built, nil
}

// bundle is an image that can be booted.
type bundle struct {
	name   string
	config vm.Config
}

// openBundle finds the bundle at path or below it.
func openBundle(path string) (*bundle, error) {
	dir := path
	if _, err := os.Stat(filepath.Join(path, "bundle")); err == nil {
		dir = filepath.Join(path, "bundle")
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: not a bundle: it has no file cmdline; give the directory of a bundle, such as build/<vm>", path)
	} else if err != nil {
		return nil, err
	}
	name := filepath.Base(dir)
	if name == "bundle" {
		name = filepath.Base(filepath.Dir(dir))
	}
	b := &bundle{name: name, config: vm.Config{
		Kernel: filepath.Join(dir, "kernel"), Initrd: filepath.Join(dir, "initrd"), Cmdline: strings.TrimSpace(string(cmdline))}}
	b.config.Arch, err = image.KernelArch(b.config.Kernel)
	return b, err
}

// digest names all that is booted.
func (b *bundle) digest() (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\x00", b.config.Cmdline)
	for _, path := range []string{b.config.Kernel, b.config.Initrd} {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		n, err := io.Copy(hash, f)
		f.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "\x00%d\x00", n)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// bytes weighs what a user transfers.
func (b *bundle) bytes() (report.Bytes, error) {
	kernel, err := os.Stat(b.config.Kernel)
	if err != nil {
		return report.Bytes{}, err
	}
	root, err := os.Stat(b.config.Initrd)
	if err != nil {
		return report.Bytes{}, err
	}
	return report.Bytes{Download: kernel.Size() + root.Size(), Kernel: kernel.Size(), Root: root.Size()}, nil
}
