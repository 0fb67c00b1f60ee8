package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/lean"
)

func (a *App) leanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lean",
		Short: "What was taken out of an image, and why",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := &definitionFlags{progress: "plain"}
	explain := &cobra.Command{
		Use:   "explain APP|PATH",
		Short: "Say by which chain an application is kept, or why it or a file went",
		Args:  exactly(1),
		RunE: a.withVM(f, func(ctx context.Context, s *session, args []string) error {
			r, err := s.LeanReport(ctx)
			if err != nil {
				return err
			}
			text, err := lean.Explain(r, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.Stdout, text)
			return err
		}),
	}
	f.add(explain)
	cmd.AddCommand(explain)
	return cmd
}
