package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func (a *App) configureCommand() *cobra.Command {
	f := definitionFlags{progress: "plain"}
	cmd := &cobra.Command{
		Use:   "configure TOOL",
		Short: "Edit a strategy's configuration in its own editor, such as linux-menuconfig",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open(f)
			if err != nil {
				return err
			}
			defer s.close()
			edit, err := s.Configure(cmd.Context(), args[0])
			if err != nil {
				return a.show(s.Definitions, err)
			}
			s.ui.Close()
			edit.Stdin, edit.Stdout, edit.Stderr = a.Stdin, os.Stdout, os.Stderr
			if err := edit.Run(); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		},
	}
	f.add(cmd)
	f.addSources(cmd)
	return cmd
}
