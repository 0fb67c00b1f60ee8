package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
	"github.com/somebloke1/elixir-lean-lab/core/internal/evaluator"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// VM is one that was started to be checked.
type VM struct {
	*vm.Served
	dir     string
	checks  check.Set
	hosts   map[int]string // where a port of the guest is reached
	timeout time.Duration  // for each check

	watched *vm.Watched
	why     string // nothing more can be checked
}

// Start starts a machine, paused, with a network card and what else the checks
// need. dir is a directory that only the user can enter; what is in it afterwards
// is the console's log and sockets. The caller must call Kill.
func Start(ctx context.Context, cfg vm.Config, dir string, checks check.Set, timeout time.Duration) (*VM, error) {
	v := &VM{dir: dir, checks: checks, timeout: timeout}
	cfg.CPUs, cfg.Net = 1, true
	var err error
	if v.hosts, err = forward(checks.HTTP, &cfg); err != nil {
		return nil, err
	}
	if len(checks.Eval) > 0 {
		initrd, err := withEvaluator(&cfg, dir)
		if err != nil {
			return nil, fmt.Errorf("nothing can be evaluated in the VM: %w", err)
		}
		defer os.Remove(initrd) // QEMU has read it
	}
	v.Served, err = vm.Start(ctx, cfg, dir, false)
	return v, err
}

// withEvaluator gives the machine an initrd whose boot file starts an evaluator.
func withEvaluator(cfg *vm.Config, dir string) (initrd string, err error) {
	if cfg.Initrd == "" {
		return "", errors.New("it has no initrd, in which /init is told of an evaluator")
	}
	boot, err := guest.BootOf(cfg.Initrd)
	if err != nil {
		return "", err
	}
	if cfg.Channel, err = evaluator.Channel(boot); err != nil {
		return "", err
	}
	initrd = filepath.Join(dir, "initrd")
	if err := guest.WriteInitrd(initrd, cfg.Initrd, boot.With(nil, nil, true)); err != nil {
		return "", err
	}
	cfg.Initrd = initrd
	return initrd, nil
}

// Run lets the machine run and makes the checks, in their order. One that failed
// does not keep the others from being made, as long as the machine runs. What is
// in the making is shown with show.
func (v *VM) Run(ctx context.Context, image string, show builder.Events) (*report.Verification, error) {
	var err error
	v.watched, err = v.Watch(ctx, vm.Check{Expect: v.checks.Expect, Ends: v.checks.Exit == check.ExitClean, Timeout: v.timeout})
	if err != nil {
		return nil, err
	}
	defer v.watched.Close()
	if err := v.Resume(ctx); err != nil {
		return nil, err
	}
	result := &report.Verification{Image: image}
	for _, p := range v.plan() {
		made := v.one(ctx, p, show)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		result.Checks = append(result.Checks, made)
	}
	if result.Failed() > 0 {
		result.Console = v.watched.Screen()
	}
	return result, nil
}

// planned is a check that is to be made.
type planned struct {
	name string
	do   func(ctx context.Context) error
	late bool // it looks at what has been, so the machine need not run
}

func (v *VM) plan() []planned {
	var prints []planned
	for _, text := range v.checks.Expect {
		prints = append(prints, planned{name: fmt.Sprintf("prints %q", text), late: v.checks.Exit == check.ExitClean,
			do: func(ctx context.Context) error { return v.watched.Printed(ctx, text) }})
	}
	if v.checks.Exit == check.ExitClean {
		return append([]planned{{name: "ends by itself with status 0", do: v.watched.End}}, prints...)
	}
	all := append([]planned{{name: "gets ready", do: v.ready}}, prints...)
	for _, h := range v.checks.HTTP {
		all = append(all, planned{name: "answers " + h.String(), do: v.while(request{h, v.hosts[h.Port]}.ask)})
	}
	for _, e := range v.checks.Eval {
		all = append(all, planned{name: "evaluates " + e.String(), do: v.while(evaluation{e, v.dir}.make)})
	}
	return append(all, planned{name: "goes down in order", do: v.watched.GoDown})
}

func (v *VM) ready(ctx context.Context) error {
	err := v.watched.Ready(ctx)
	if err != nil {
		v.why = "the VM did not get ready"
	}
	return err
}

// while makes a check while the machine runs, and no longer than it may take.
func (v *VM) while(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		limited, cancel := context.WithTimeout(ctx, v.timeout)
		defer cancel()
		return v.watched.While(limited, do)
	}
}

func (v *VM) one(ctx context.Context, p planned, show builder.Events) report.Check {
	c := report.Check{Name: p.name}
	if v.why != "" && !p.late {
		c.Skipped = v.why
		return c
	}
	show.Emit(builder.StepStarted{Title: p.name})
	defer show.Emit(builder.StepFinished{Title: p.name})
	began := time.Now()
	if err := p.do(ctx); err != nil {
		c.Failure = reason(err)
	}
	c.Seconds = time.Since(began).Seconds()
	if v.why == "" && !v.watched.Running() {
		v.why = "the VM had ended"
	}
	return c
}

// reason leaves out the console, which is shown once for all checks.
func reason(err error) string {
	if failure := (*vm.Failure)(nil); errors.As(err, &failure) {
		return failure.Reason()
	}
	return err.Error()
}
