package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
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
	cmd.AddCommand(explain, a.leanTreeCommand())
	return cmd
}

// leanTreeCommand is for the post-build scripts of other build systems, such as
// Buildroot's. A root without a release is no error: the same script serves
// roots with and without.
func (a *App) leanTreeCommand() *cobra.Command {
	o := lean.Options{Level: lean.LevelClosure}
	level := string(o.Level)
	cmd := &cobra.Command{
		Use:   "tree DIR",
		Short: "Take from the release in a root file system what it does not need",
		Long: "Takes from the release in the root file system in DIR, which is a directory of this machine, what it\n" +
			"does not need. What stays keeps its owner and mode. Without a release in DIR nothing is changed.",
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Level = lean.Level(level)
			change, err := lean.Directory(cmd.Context(), a.path(args[0]), o)
			if errors.Is(err, lean.ErrNoRelease) {
				fmt.Fprintf(a.Stdout, "%v: nothing to do\n", err)
				return nil
			}
			if err != nil {
				return err
			}
			for _, w := range change.Report.Warnings {
				fmt.Fprintf(a.Stderr, "warning: %s\n", w)
			}
			fmt.Fprintf(a.Stdout, "%s: %d files removed, %d rewritten, %s less\n", args[0], change.Removed, change.Rewritten, humanize.Bytes(uint64(max(change.Bytes, 0))))
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&level, "level", level, "how lean: none, strip or closure")
	flags.StringArrayVar(&o.Keep, "keep", nil, "application or module that stays in any case; may be repeated")
	flags.StringVar(&o.Release.Dir, "release", "", "where the release lies in the root, such as /srv/app; needed where there are several")
	flags.StringVar(&o.Release.OTP, "otp", "", "where the OTP lies in the root that a release without one of its own runs on (default /usr/lib/erlang)")
	flags.StringVar(&o.Strip, "strip", "", "the target's strip program, to take symbols from native code")
	return cmd
}
