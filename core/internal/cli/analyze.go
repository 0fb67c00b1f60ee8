package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

// analyzeFlags are leanlab analyze's own.
type analyzeFlags struct {
	depth          int
	components     []string
	marginal, json bool
	html, progress string
}

func (a *App) analyzeCommand() *cobra.Command {
	var f analyzeFlags
	cmd := &cobra.Command{
		Use:   "analyze IMAGE",
		Short: "Say what an image consists of and what each part costs; IMAGE is a file, a bundle or build/<vm>",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return usageError{err}
			}
			found, only, err := a.analyze(cmd.Context(), args[0], f)
			if err != nil {
				return err
			}
			if f.html != "" {
				if err := a.writeHTML(f.html, found); err != nil {
					return err
				}
			}
			if f.json {
				return found.Write(a.Stdout)
			}
			return report.Analysis(a.Stdout, found, f.depth, only)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.depth, "depth", 2, "1: groups; 2: and their components; 3: and the files and modules of these")
	flags.StringArrayVar(&f.components, "component", nil, "only this group or component, such as stdlib; may be repeated")
	flags.BoolVar(&f.marginal, "marginal", false, "measure what the image would lose without each part, too: some seconds for each")
	flags.BoolVar(&f.json, "json", false, "print JSON, with every file (docs/analyze.md)")
	flags.StringVar(&f.html, "html", "", "write a page with a treemap to this file, too")
	flags.StringVar(&f.progress, "progress", "auto", "how to show progress: auto, tty, plain or json")
	return cmd
}

func (f *analyzeFlags) check() error {
	if f.depth < 1 || f.depth > 3 {
		return fmt.Errorf("--depth %d: 1 are groups, 2 their components, 3 the files and modules of these", f.depth)
	}
	if f.marginal && f.depth == 3 && len(f.components) == 0 {
		return errors.New("--marginal --depth 3 would compress the image again for each of its files: say of which part, with --component")
	}
	return nil
}

// analyze reads an image and says what it consists of, and which of its
// components are asked for.
func (a *App) analyze(ctx context.Context, name string, f analyzeFlags) (found *analyze.Analysis, only []*analyze.Component, err error) {
	file, err := imagePath(a.path(name))
	if err != nil {
		return nil, nil, err
	}
	var img *inspect.Image
	err = a.withProgress(f.progress, "analyze", name, func() error {
		if img, err = inspect.Open(ctx, file, inspect.DefaultLimits); err != nil {
			return err
		}
		found, err = analyze.Analyze(ctx, img)
		return err
	})
	if img != nil {
		defer func() { err = errors.Join(err, img.Close()) }()
	}
	if err != nil {
		return nil, nil, err
	}
	found.Image = name
	if only, err = found.Find(f.components); err != nil {
		return nil, nil, err
	}
	if f.marginal {
		err = a.measureParts(ctx, img, found, only, f)
	}
	return found, only, err
}

// measureParts measures what the image would lose without each part that is
// shown.
func (a *App) measureParts(ctx context.Context, img *inspect.Image, found *analyze.Analysis, only []*analyze.Component, f analyzeFlags) error {
	var parts []*analyze.Component
	for _, line := range found.Lines(f.depth, only) {
		parts = append(parts, line.Component)
	}
	if err := analyze.Measurable(img); err != nil {
		return err
	}
	out, err := a.openUI(f.progress, "marginal")
	if err != nil {
		return err
	}
	defer out.Close()
	step := out.Start("marginal", "what "+found.Image+" would lose without each part")
	err = found.Measure(ctx, img, parts, func(done, total int, next string) {
		if next != "" {
			step.Emit(builder.StepStarted{Title: next})
		}
		step.Emit(builder.Progress{Done: int64(done), Total: int64(total), Unit: "roots"})
	})
	if err != nil {
		step.Fail(err)
		return errShown
	}
	step.Done(fmt.Sprintf("%d parts", len(parts)))
	return nil
}

// imagePath is the image that a path means: of a VM's output directory, the
// first that its manifest names.
func imagePath(name string) (string, error) {
	m, err := report.Read(filepath.Join(name, report.FileName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return name, nil
	case err != nil:
		if info, statErr := os.Stat(name); statErr == nil && !info.IsDir() {
			return name, nil
		}
		return "", err
	}
	first := m.Artifacts[0]
	if first.Format == "bundle" {
		return filepath.Join(name, filepath.Dir(filepath.FromSlash(first.Path))), nil
	}
	return filepath.Join(name, filepath.FromSlash(first.Path)), nil
}

// writeHTML writes the page: the old file stays, or the new one is there whole.
func (a *App) writeHTML(name string, found *analyze.Analysis) error {
	var page bytes.Buffer
	if err := report.HTML(&page, found); err != nil {
		return err
	}
	name = a.path(name)
	temp, err := os.CreateTemp(filepath.Dir(name), ".analyze-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(page.Bytes())
	if err := errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), name)
}
