package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

func (a *App) buildCommand() *cobra.Command {
	f := &definitionFlags{}
	var install, noProof bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build a VM, boot it to prove that it works, and write build/<vm>/",
		Args:  exactly(0),
		RunE: a.withVM(f, func(ctx context.Context, s *session, _ []string) error {
			s.Install, s.NoProof = install, noProof
			m, err := s.Build(ctx)
			s.ui.Close()
			if err != nil {
				return err
			}
			return report.Summary(a.Stdout, m)
		}),
	}
	f.add(cmd)
	f.addSources(cmd)
	cmd.Flags().StringVar(&f.as, "as", "", "call it NAME and write build/NAME/, beside what other variables of the same definition made")
	cmd.Flags().BoolVar(&install, "install", false, "install missing Debian packages, as root or with sudo")
	cmd.Flags().BoolVar(&noProof, "no-proof", false, "do not boot the image; the manifest then says that it is not verified")
	return cmd
}
