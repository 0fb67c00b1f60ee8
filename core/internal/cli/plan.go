package cli

import "github.com/spf13/cobra"

func (a *App) planCommand() *cobra.Command {
	var f definitionFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a build would do, what is cached, and why the rest is not",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open(f)
			if err != nil {
				return err
			}
			defer s.close()
			return a.show(s.Definitions, s.WritePlan(cmd.Context(), a.Stdout))
		},
	}
	f.add(cmd)
	f.addSources(cmd)
	return cmd
}
