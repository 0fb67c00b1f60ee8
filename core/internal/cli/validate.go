package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *App) validateCommand() *cobra.Command {
	f := &definitionFlags{progress: "plain"}
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a definition, with the strategy's plugin, without building",
		Args:  exactly(0),
		RunE: a.withVM(f, func(ctx context.Context, s *session, _ []string) error {
			if err := s.Validate(ctx); err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "%s: vm %q is valid\n", f.file, s.VM.Name)
			return nil
		}),
	}
	f.add(cmd)
	return cmd
}
