package cli

import (
	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

func (a *App) buildCommand() *cobra.Command {
	var f definitionFlags
	var install, noProof bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build a VM, boot it to prove that it works, and write build/<vm>/",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open(f)
			if err != nil {
				return err
			}
			defer s.close()
			s.Install, s.NoProof = install, noProof
			m, err := s.Build(cmd.Context())
			s.ui.Close()
			if err != nil {
				return a.show(s.Definitions, err)
			}
			return report.Summary(a.Stdout, m)
		},
	}
	f.add(cmd)
	f.addSources(cmd)
	cmd.Flags().BoolVar(&install, "install", false, "install missing Debian packages, as root or with sudo")
	cmd.Flags().BoolVar(&noProof, "no-proof", false, "do not boot the image; the manifest then says that it is not verified")
	return cmd
}
