package cli

import (
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
	f := definitionFlags{progress: "plain"}
	explain := &cobra.Command{
		Use:   "explain APP|PATH",
		Short: "Say by which chain an application is kept, or why it or a file went",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open(f)
			if err != nil {
				return err
			}
			defer s.close()
			r, err := s.LeanReport(cmd.Context())
			if err != nil {
				return a.show(s.Definitions, err)
			}
			text, err := lean.Explain(r, args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(a.Stdout, text)
			return nil
		},
	}
	f.add(explain)
	cmd.AddCommand(explain)
	return cmd
}
