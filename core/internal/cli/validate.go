package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *App) validateCommand() *cobra.Command {
	f := definitionFlags{progress: "plain"}
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a definition, with the strategy's plugin, without building",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open(f)
			if err != nil {
				return err
			}
			defer s.close()
			if err := s.Validate(cmd.Context()); err != nil {
				return a.show(s.Definitions, err)
			}
			fmt.Fprintf(a.Stdout, "%s: vm %q is valid\n", f.file, s.VM.Name)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
