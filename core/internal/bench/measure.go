package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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
		if d.Path == m.Path && d.Digest == m.Digest && d.Memory.GivenMiB == m.Memory.GivenMiB &&
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

// Measure measures an image.
func Measure(ctx context.Context, img Image, o Options) (*report.Measured, error) {
	m := &report.Measured{Name: img.Name, Path: img.Path, Arch: img.Arch, Packages: img.Packages, Note: img.Note}
	if img.MemoryMiB == 0 {
		img.MemoryMiB = o.MemoryMiB
	}
	m.Memory.GivenMiB = int64(img.MemoryMiB)
	var err error
	if m.Digest, err = img.digest(); err != nil {
		return nil, err
	}
	if done := o.done(m); done != nil {
		o.UI.Cached("bench", img.Name+": measured before the interruption")
		return done, nil
	}
	if m.Bytes, err = img.bytes(); err != nil {
		return nil, err
	}
	m.Built = img.Built
	if m.Built.Root, err = img.root(); err != nil {
		return nil, err
	}
	if img.Disk != "" && img.NoBoot == "" {
		if err := vm.CountsDisks(); err != nil {
			m.Note = strings.TrimSpace(m.Note + " The time in which it waited for its disk counts as instructions, since QEMU cannot read at once: " + err.Error() + ".")
		}
	}
	for _, s := range img.measurements(o, m) {
		if err := measure(o.UI, img.Name+": "+s.title, func() error { return s.do(ctx) }); err != nil {
			return nil, fmt.Errorf("%s: %w", img.Path, err)
		}
	}
	return m, nil
}

// measurement is one of several.
type measurement struct {
	title string
	do    func(context.Context) error
}

// measurements are those that mean something of the image; why the others are left
// out is put into m.
func (img Image) measurements(o Options, m *report.Measured) []measurement {
	// Without a network card: its answers come when the host delivers them, and
	// the counts would differ from run to run.
	check := vm.Check{Config: img.Config, Ready: img.Ready, Kill: img.Kill}
	check.Accel, check.Count = accelerator, true
	if img.Kill {
		check.Timeout = 4 * vm.DefaultTimeout // that is for roots of some megabytes
	}
	var list []measurement
	if img.NoBoot != "" {
		if m.NoBoot = img.NoBoot; img.Ready == "" {
			return nil
		}
	} else {
		var took time.Duration
		list = append(list, measurement{"instructions", func(ctx context.Context) (err error) {
			took, err = counted(ctx, check, m)
			return err
		}})
		if m.NoMicro = img.NoMicro; m.NoMicro == "" {
			list = append(list, measurement{"BEAM at work", func(ctx context.Context) error { return micro(ctx, check, img.Boot, took, m) }})
		}
	}
	list = append(list, measurement{"wall time", func(ctx context.Context) error { return wall(ctx, check, o.Runs, m) }})
	if o.Least {
		list = append(list, measurement{"smallest RAM", func(ctx context.Context) error {
			least, err := vm.LeastMemory(ctx, check, leastStep, img.MemoryMiB, leastStep)
			m.Memory.LeastMiB = int64(least)
			return err
		}})
	}
	return list
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
