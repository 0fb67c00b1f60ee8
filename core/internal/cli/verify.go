package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
	"github.com/somebloke1/elixir-lean-lab/core/internal/instance"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/internal/verify"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// verifyFlags are leanlab verify's own.
type verifyFlags struct {
	expect, http, eval []string
	exit               string
	memory             int
	timeout            time.Duration
	junit, json        string
	progress           string
}

func (a *App) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Boot an image and check that it works, for people and for CI",
		Long: `Boot an image and check that it works: that BEAM gets ready, does what the
definition's proof asks and what the flags ask beside it, and goes down in order
when the power button is pressed. IMAGE is build/<vm> or its name, or a bundle.`,
		Example: `  leanlab verify build/hello
  leanlab verify bundle --expect 'listening' --http '4000/health 200 ok' --eval '1 + 1 => 2'`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.expect, "expect", nil, "text that must be on a line of the console once BEAM was started; may be repeated")
	flags.StringArrayVar(&f.http, "http", nil, "PORT/PATH [STATUS [TEXT]]: a request to the VM must be answered with that status (200), and TEXT in the body; may be repeated")
	flags.StringArrayVar(&f.eval, "eval", nil, "CODE => RESULT: the value of Elixir code, as leanlab exec prints it; may be repeated")
	flags.StringVar(&f.exit, "exit", "", "clean: the VM must end by itself, with status 0")
	flags.IntVar(&f.memory, "memory", 0, "RAM in MiB (default: what the image was proven with)")
	flags.DurationVar(&f.timeout, "timeout", vm.DefaultTimeout, "how long each check may take")
	flags.StringVar(&f.junit, "junit", "", "write the result to a file, as JUnit's XML")
	flags.StringVar(&f.json, "json", "", "write the result to a file, as JSON")
	flags.StringVar(&f.progress, "progress", "auto", "how to show progress: auto, tty, plain or json")
	return cmd
}

func (a *App) verify(ctx context.Context, f verifyFlags, image string) error {
	t, checks, err := a.toVerify(f, image)
	if err != nil {
		return err
	}
	result, err := a.boot(ctx, f, t, checks)
	if err != nil {
		return err
	}
	if err := report.VerificationText(a.Stdout, result); err != nil {
		return err
	}
	for path, write := range map[string]func(io.Writer, *report.Verification) error{
		f.junit: report.VerificationJUnit, f.json: report.VerificationJSON,
	} {
		if path == "" {
			continue
		}
		if err := writePage(a.path(path), result, write); err != nil {
			return err
		}
	}
	if n := result.Failed(); n > 0 {
		return fmt.Errorf("%s: %d of %d checks failed", image, n, len(result.Checks))
	}
	return nil
}

// toVerify is the machine, and what is asked of it: by the manifest, which has it
// from the definition, and by the flags.
func (a *App) toVerify(f verifyFlags, image string) (*target, check.Set, error) {
	asked, err := f.checks()
	if err != nil {
		return nil, asked, usageError{err}
	}
	if f.memory < 0 || f.timeout <= 0 {
		return nil, asked, usageError{fmt.Errorf("--memory %d --timeout %v: want some of both", f.memory, f.timeout)}
	}
	t, err := a.findTarget(image, machineFlags{})
	if err != nil {
		return nil, asked, err
	}
	if t.manifest != nil && t.manifest.Checks != nil {
		asked = t.manifest.Checks.With(asked)
	}
	if faults := asked.Faults(); len(faults) > 0 { // of the two together
		return nil, asked, usageError{fmt.Errorf("%s: %w", image, faults[0])}
	}
	if f.memory > 0 {
		t.MemoryMiB = f.memory
		err = a.enoughMemory(t)
	}
	return t, asked, err
}

// checks is what the flags ask.
func (f verifyFlags) checks() (check.Set, error) {
	asked := check.Set{Expect: f.expect, Exit: f.exit}
	for _, text := range f.http {
		r, err := parseRequest(text)
		if err != nil {
			return asked, err
		}
		asked.HTTP = append(asked.HTTP, r)
	}
	for _, text := range f.eval {
		i := strings.LastIndex(text, "=>")
		if i < 0 {
			return asked, fmt.Errorf("--eval %q: want CODE => RESULT, such as '1 + 1 => 2'", text)
		}
		asked.Eval = append(asked.Eval, check.Eval{Code: strings.TrimSpace(text[:i]), Result: strings.TrimSpace(text[i+2:])})
	}
	if faults := asked.Faults(); len(faults) > 0 {
		return asked, fmt.Errorf("--%s: %w", faults[0].Path[0], faults[0])
	}
	return asked, nil
}

// parseRequest reads PORT/PATH [STATUS [TEXT]].
func parseRequest(text string) (check.HTTP, error) {
	r := check.HTTP{Status: http.StatusOK}
	words := strings.SplitN(text, " ", 3)
	port, path, ok := strings.Cut(words[0], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil {
		return r, fmt.Errorf("--http %q: want PORT/PATH [STATUS [TEXT]], such as '4000/health 200 ok'", text)
	}
	r.Port, r.Path = int(n), "/"+path
	if len(words) > 1 {
		if r.Status, err = strconv.Atoi(words[1]); err != nil {
			return r, fmt.Errorf("--http %q: %q is no status of HTTP, such as 200", text, words[1])
		}
	}
	if len(words) > 2 {
		r.Body = words[2]
	}
	return r, nil
}

// boot makes the checks on a VM, as a step that is shown.
func (a *App) boot(ctx context.Context, f verifyFlags, t *target, checks check.Set) (*report.Verification, error) {
	out, err := a.openUI(f.progress, "verify")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	step := out.Start("verify", t.image)
	result, err := a.runChecks(ctx, t, checks, f.timeout, step)
	if err != nil {
		step.Fail(err)
		return nil, errShown
	}
	step.Done(fmt.Sprintf("%d checks, %d failed", len(result.Checks), result.Failed()))
	return result, nil
}

// runChecks makes the VM an instance, so that leanlab ps shows it and what a
// killed leanlab leaves is removed.
func (a *App) runChecks(ctx context.Context, t *target, checks check.Set, timeout time.Duration, show ui.Step) (result *report.Verification, err error) {
	dir, err := instance.Open(a.getenv)
	if err != nil {
		return nil, err
	}
	t.Accel, _ = dir.Accelerator(ctx, t.Arch)
	record := instance.Record{Image: t.image, Arch: t.Arch, MemoryMiB: t.MemoryMiB, CPUs: 1, Accel: t.Accel,
		Ports: []string{}, NoExec: "it is for leanlab verify", Started: time.Now()}
	i, err := dir.Create(record, t.name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Remove()) }()
	started, err := verify.Start(ctx, t.Config, i.Path, checks, timeout)
	if err != nil {
		return nil, err
	}
	defer started.Kill()
	if err := i.Running(started.PID()); err != nil {
		return nil, err
	}
	return started.Run(ctx, t.image, show)
}
