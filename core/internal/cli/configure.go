package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *App) configureCommand() *cobra.Command {
	f := &definitionFlags{}
	cmd := &cobra.Command{
		Use:   "configure TOOL",
		Short: "Edit a strategy's configuration in its own editor, such as linux-menuconfig",
		Args:  exactly(1),
		RunE: a.withVM(f, func(ctx context.Context, s *session, args []string) error {
			edit, err := s.Configure(ctx, args[0])
			if err != nil {
				return err
			}
			s.ui.Close()
			edit.Stdin, edit.Stdout, edit.Stderr = a.Stdin, a.Stdout, a.Stderr
			if err := edit.Run(); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		}),
	}
	f.add(cmd)
	f.addSources(cmd)
	return cmd
}
