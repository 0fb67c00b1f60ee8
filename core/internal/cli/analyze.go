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
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

func (a *App) analyzeCommand() *cobra.Command {
	var depth int
	var asJSON bool
	var html, progress string
	cmd := &cobra.Command{
		Use:   "analyze IMAGE",
		Short: "Say what an image consists of and what each part costs; IMAGE is a file, a bundle or build/<vm>",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if depth < 1 || depth > 3 {
				return usageError{fmt.Errorf("--depth %d: 1 are groups, 2 their components, 3 the files and modules of these", depth)}
			}
			found, err := a.analyze(cmd.Context(), args[0], progress)
			if err != nil {
				return err
			}
			if html != "" {
				if err := a.writeHTML(html, found); err != nil {
					return err
				}
			}
			if asJSON {
				return found.Write(a.Stdout)
			}
			return report.Analysis(a.Stdout, found, depth)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&depth, "depth", 2, "1: groups; 2: and their components; 3: and the files and modules of these")
	flags.BoolVar(&asJSON, "json", false, "print JSON, with every file (docs/analyze.md)")
	flags.StringVar(&html, "html", "", "write a page with a treemap to this file, too")
	flags.StringVar(&progress, "progress", "auto", "how to show progress: auto, tty, plain or json")
	return cmd
}

// analyze reads an image and says what it consists of.
func (a *App) analyze(ctx context.Context, name, progress string) (found *analyze.Analysis, err error) {
	file, err := imagePath(a.path(name))
	if err != nil {
		return nil, err
	}
	err = a.withProgress(progress, "analyze", name, func() error {
		img, err := inspect.Open(ctx, file, inspect.DefaultLimits)
		if err != nil {
			return err
		}
		found, err = analyze.Analyze(ctx, img)
		return errors.Join(err, img.Close())
	})
	if err != nil {
		return nil, err
	}
	found.Image = name
	return found, nil
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
