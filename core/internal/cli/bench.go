package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/bench"
	"github.com/somebloke1/elixir-lean-lab/core/internal/engine"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

// benchFlags are leanlab bench's own.
type benchFlags struct {
	memory, runs           int
	noLeast                bool
	least                  []string
	json, markdown, charts string
	baseline, limit        string
	progress               string
}

func (a *App) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench IMAGE...",
		Short: "Measure images: bytes, instructions until ready, memory, wall time where that means something",
		Long: `Measure images: bytes, instructions until ready, memory, and wall time where
hardware virtualisation works. An image is the directory of a bundle, or build/<vm>.`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.bench(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.memory, "memory", 128, "RAM in MiB; the smallest is searched for below that")
	flags.IntVar(&f.runs, "runs", 5, "how many boots the wall time is taken of")
	flags.BoolVar(&f.noLeast, "no-least", false, "do not search for the smallest RAM, which takes several boots")
	flags.StringSliceVar(&f.least, "least", nil, "search for the smallest RAM of these images only, by name")
	flags.StringVar(&f.json, "json", "", "write the result to a file, as a later run's --baseline; a run that was interrupted continues")
	flags.StringVar(&f.markdown, "markdown", "", "write the table to a file, in Markdown")
	flags.StringVar(&f.charts, "html", "", "write a page with charts to a file")
	flags.StringVar(&f.baseline, "baseline", "", "compare with the result of an earlier run (--json)")
	flags.StringVar(&f.limit, "fail-on-regress", "", "with --baseline: fail when a figure grew by more than this, such as 3%")
	flags.StringVar(&f.progress, "progress", "auto", "how to show progress: auto, tty, plain or json")
	return cmd
}

func (a *App) bench(ctx context.Context, f benchFlags, images []string) error {
	limit, baseline, err := f.comparison(a)
	if err != nil {
		return err
	}
	for _, name := range f.least {
		if !slices.ContainsFunc(images, func(image string) bool { return filepath.Base(image) == name }) {
			return usageError{fmt.Errorf("leanlab bench: --least %s: no image of that name is given", name)}
		}
	}
	result, err := a.measure(ctx, f, images)
	if err != nil {
		return err
	}
	if err := report.BenchTable(a.Stdout, result); err != nil {
		return err
	}
	if f.json != "" {
		if err := report.WriteBench(a.path(f.json), result); err != nil {
			return err
		}
		os.Remove(a.path(f.json) + unfinished)
	}
	for _, page := range []struct {
		path  string
		write func(io.Writer, *report.Bench) error
	}{{f.markdown, report.BenchMarkdown}, {f.charts, report.BenchHTML}} {
		if page.path == "" {
			continue
		}
		if err := writePage(a.path(page.path), result, page.write); err != nil {
			return err
		}
	}
	if baseline == nil {
		return nil
	}
	return a.compare(baseline, result, limit)
}

// comparison reads what to compare with before anything is measured. limit is in
// percent; negative: none.
func (f benchFlags) comparison(a *App) (limit float64, baseline *report.Bench, err error) {
	if f.memory < 8 || f.runs < 1 {
		return 0, nil, usageError{fmt.Errorf("leanlab bench: --memory %d --runs %d: want at least 8 MiB and one run", f.memory, f.runs)}
	}
	limit = -1
	if f.limit != "" {
		limit, err = strconv.ParseFloat(strings.TrimSuffix(f.limit, "%"), 64)
		if err != nil || !(limit >= 0) {
			return 0, nil, usageError{fmt.Errorf("leanlab bench: --fail-on-regress %q: want a percentage, such as 3%%", f.limit)}
		}
		if f.baseline == "" {
			return 0, nil, usageError{errors.New("leanlab bench: --fail-on-regress compares with --baseline FILE, which is not given")}
		}
	}
	if f.baseline != "" {
		baseline, err = report.ReadBench(a.path(f.baseline))
	}
	return limit, baseline, err
}

func (a *App) measure(ctx context.Context, f benchFlags, images []string) (*report.Bench, error) {
	out, err := a.openUI(f.progress, "bench")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	options := bench.Options{MemoryMiB: f.memory, Runs: f.runs, UI: out, Done: a.interrupted(ctx, f.json)}
	result := &report.Bench{Schema: report.BenchSchema}
	for _, image := range images {
		options.Least = !f.noLeast && (f.least == nil || slices.Contains(f.least, filepath.Base(image)))
		m, err := bench.Measure(ctx, a.path(image), options)
		if err != nil {
			return nil, err
		}
		result.Images = append(result.Images, *m)
		if result.Host, err = benchHost(ctx, result.Images); err != nil {
			return nil, err
		}
		if f.json != "" {
			if err := report.WriteBench(a.path(f.json)+unfinished, result); err != nil {
				return nil, err
			}
		}
	}
	for i, image := range images {
		result.Images[i].Path = image
	}
	return result, nil
}

// unfinished is what the result's file is called until all images are measured.
const unfinished = ".unfinished"

// interrupted is what a run with the same --json had measured on this machine when
// it was interrupted.
func (a *App) interrupted(ctx context.Context, json string) []report.Measured {
	if json == "" {
		return nil
	}
	before, err := report.ReadBench(a.path(json) + unfinished)
	if err != nil {
		return nil // none, or one that is of no use
	}
	if host, err := benchHost(ctx, before.Images); err != nil || !reflect.DeepEqual(host, before.Host) {
		return nil
	}
	return before.Images
}

// benchHost is this machine, with the QEMUs that images need.
func benchHost(ctx context.Context, images []report.Measured) (report.BenchHost, error) {
	var arches []string
	for _, m := range images {
		if !slices.Contains(arches, m.Arch) {
			arches = append(arches, m.Arch)
		}
	}
	return bench.Host(ctx, engine.Version, arches)
}

// compare prints what changed, and fails when a figure grew by more than limit.
func (a *App) compare(baseline, now *report.Bench, limit float64) error {
	changes := report.BenchChanges(baseline, now)
	if len(changes) == 0 {
		fmt.Fprintln(a.Stdout, "\nNothing changed against the baseline.")
		return nil
	}
	fmt.Fprintln(a.Stdout, "\nAgainst the baseline:")
	var worse []string
	for _, c := range changes {
		line := fmt.Sprintf("%s, %s: %d → %d (%+.2f %%)", c.Image, c.Figure, c.Before, c.Now, c.Percent())
		fmt.Fprintln(a.Stdout, "  "+line)
		if limit >= 0 && c.Percent() > limit {
			worse = append(worse, line)
		}
	}
	if len(worse) > 0 {
		return fmt.Errorf("grew by more than %g %%:\n  %s", limit, strings.Join(worse, "\n  "))
	}
	return nil
}

func writePage[T any](path string, result T, write func(io.Writer, T) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f, result); err != nil {
		return err
	}
	return f.Close()
}
