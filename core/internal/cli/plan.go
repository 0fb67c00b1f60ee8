package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *App) planCommand() *cobra.Command {
	f := &definitionFlags{}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a build would do, what is cached, and why the rest is not",
		Args:  exactly(0),
		RunE: a.withVM(f, func(ctx context.Context, s *session, _ []string) error {
			return s.WritePlan(ctx, a.Stdout)
		}),
	}
	f.add(cmd)
	f.addSources(cmd)
	return cmd
}
