package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

func (a *App) diffCommand() *cobra.Command {
	var files int
	var asJSON bool
	var progress string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what grew or shrank from one image to another; A and B are images, or what analyze --json wrote",
		Args:  exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if files < 0 {
				return usageError{fmt.Errorf("--files %d: is less than none", files)}
			}
			var of [2]*analyze.Analysis
			for i, name := range args {
				var err error
				if of[i], err = a.analysis(cmd.Context(), name, progress); err != nil {
					return err
				}
			}
			d := analyze.Diff(of[0], of[1])
			if asJSON {
				e := json.NewEncoder(a.Stdout)
				e.SetIndent("", " ")
				return e.Encode(d)
			}
			return report.Difference(a.Stdout, d, files)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&files, "files", 5, "how many files of each component to list")
	flags.BoolVar(&asJSON, "json", false, "print JSON, with every file that changed (docs/analyze.md)")
	flags.StringVar(&progress, "progress", "auto", "how to show progress: auto, tty, plain or json")
	return cmd
}

// analysis is that of an image, or one that was written.
func (a *App) analysis(ctx context.Context, name, progress string) (*analyze.Analysis, error) {
	f, err := os.Open(a.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	first := make([]byte, 1)
	if n, _ := f.ReadAt(first, 0); n == 0 || first[0] != '{' { // no image begins like that
		found, _, err := a.analyze(ctx, name, analyzeFlags{progress: progress})
		return found, err
	}
	found, err := analyze.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return found, nil
}
