package cli

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
)

func (a *App) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "The store of results: list, path, why, prune",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.cacheListCommand(), a.cachePathCommand(), a.cacheWhyCommand(), a.cachePruneCommand())
	return cmd
}

func (a *App) openStore() (*store.Store, error) {
	dir, err := store.DefaultDir(a.getenv)
	if err != nil {
		return nil, err
	}
	return store.Open(dir)
}

func (a *App) cacheListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the results in the store, with what each took to build, and the work directories that are kept",
		Args:  exactly(0),
		RunE: func(_ *cobra.Command, _ []string) error {
			st, err := a.openStore()
			if err != nil {
				return err
			}
			defer st.Close()
			entries, err := st.List()
			if err != nil {
				return err
			}
			slices.SortFunc(entries, func(x, y store.Entry) int { return x.Created.Compare(y.Created) })
			w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "KIND\tKEY\tSIZE\tCPU s\tWALL s\tCREATED\tDIGEST")
			for _, e := range entries {
				fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%.1f\t%s\t%s\n", e.Kind, e.Key[:12], humanize.Bytes(uint64(e.Bytes)),
					e.CPU, e.Seconds, e.Created.Local().Format(time.DateTime), e.Digest[:12])
			}
			kept, err := st.ListKept()
			if err != nil {
				return err
			}
			for _, k := range kept {
				fmt.Fprintf(w, "%s\twork\t%s\t\t\t%s\tkept for %s\n", k.Kind, humanize.Bytes(uint64(k.Bytes)), k.LastUse.Local().Format(time.DateTime), k.Owner)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			fmt.Fprintln(a.Stdout, st.Dir())
			return nil
		},
	}
}

func (a *App) cachePathCommand() *cobra.Command {
	f := &definitionFlags{progress: "plain"}
	cmd := &cobra.Command{
		Use:   "path STEP",
		Short: "Print where a step's result lies, such as the kernel with its .config",
		Args:  exactly(1),
		RunE: a.withVM(f, func(ctx context.Context, s *session, args []string) error {
			entry, err := s.Result(ctx, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Stdout, entry.Dir)
			return err
		}),
	}
	f.add(cmd)
	return cmd
}

func (a *App) cacheWhyCommand() *cobra.Command {
	f := &definitionFlags{progress: "plain"}
	cmd := &cobra.Command{
		Use:   "why STEP",
		Short: "Say what changed since a step last ran",
		Args:  exactly(1),
		RunE: a.withVM(f, func(ctx context.Context, s *session, args []string) error {
			return s.WriteWhy(ctx, a.Stdout, args[0])
		}),
	}
	f.add(cmd)
	return cmd
}

func (a *App) cachePruneCommand() *cobra.Command {
	var days int
	var size string
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove results that were not used for a while",
		Args:  exactly(0),
		RunE: func(_ *cobra.Command, _ []string) error {
			limit, err := humanize.ParseBytes(size)
			if err != nil || days < 0 {
				return usageError{fmt.Errorf("--older-than takes days, --max-size a size such as 10GB: got %d and %q", days, size)}
			}
			st, err := a.openStore()
			if err != nil {
				return err
			}
			defer st.Close()
			freed, removed, err := st.Prune(time.Duration(days)*24*time.Hour, int64(limit), nil)
			if err != nil {
				return err
			}
			for _, e := range removed {
				fmt.Fprintf(a.Stdout, "removed %s %s, %s\n", e.Kind, e.Key[:12], humanize.Bytes(uint64(e.Bytes)))
			}
			fmt.Fprintf(a.Stdout, "freed %s\n", humanize.Bytes(uint64(freed)))
			return nil
		},
	}
	cmd.Flags().IntVar(&days, "older-than", 30, "remove what was not used for this many days")
	cmd.Flags().StringVar(&size, "max-size", "20GB", "then remove the least recently used until the store is at most this large")
	return cmd
}
