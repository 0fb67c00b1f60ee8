package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (a *App) sourcesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "The source archives of a definition: list, lock, vendor",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.sourcesListCommand(), a.sourcesLockCommand(), a.sourcesVendorCommand())
	return cmd
}

func (a *App) sourcesListCommand() *cobra.Command {
	f := &definitionFlags{progress: "plain"}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what the definition needs, and what each series is locked to",
		Args:  exactly(0),
		RunE: a.withVM(f, func(ctx context.Context, s *session, _ []string) error {
			list, err := s.SourceList(ctx)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tSERIES\tVERSION\tORIGIN\tARCHIVE")
			for _, r := range list {
				if !r.Locked {
					fmt.Fprintf(w, "%s\t%s\t-\t-\tnot locked yet; `leanlab sources lock` resolves it\n", r.Name, r.Series)
					continue
				}
				state := "to be fetched"
				switch {
				case r.Path != "":
					state = r.Path
				case r.Cached:
					state = fmt.Sprintf("%d files, here", len(r.Files))
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Series, r.Version, r.Origin, state)
			}
			return w.Flush()
		}),
	}
	f.add(cmd)
	return cmd
}

func (a *App) sourcesLockCommand() *cobra.Command {
	f := &definitionFlags{}
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Resolve every series again, fetch it, and write leanlab.lock.hcl beside the definition",
		Args:  exactly(0),
		RunE: a.withVM(f, func(ctx context.Context, s *session, _ []string) error {
			if err := s.Lock(ctx); err != nil {
				return err
			}
			s.ui.Close()
			fmt.Fprintln(a.Stdout, s.LockPath)
			return nil
		}),
	}
	f.add(cmd)
	f.addSources(cmd)
	return cmd
}

func (a *App) sourcesVendorCommand() *cobra.Command {
	f := &definitionFlags{}
	cmd := &cobra.Command{
		Use:   "vendor DIR",
		Short: "Fill DIR with every archive, as a mirror for machines without a network (--mirror DIR)",
		Args:  exactly(1),
		RunE: a.withVM(f, func(ctx context.Context, s *session, args []string) error {
			if err := s.Vendor(ctx, args[0]); err != nil {
				return err
			}
			s.ui.Close()
			fmt.Fprintf(a.Stdout, "%s: use it with --mirror %s\n", args[0], args[0])
			return nil
		}),
	}
	f.add(cmd)
	f.addSources(cmd)
	return cmd
}
