package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/instance"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

func (a *App) logsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a VM has printed on its console",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.find(args[0])
			if err != nil {
				return err
			}
			f, err := os.Open(filepath.Join(i.Path, vm.ConsoleLog))
			if err != nil {
				return err
			}
			defer f.Close()
			if !follow {
				_, err := io.Copy(a.Stdout, f)
				return err
			}
			return a.follow(cmd.Context(), i, f)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the VM ends")
	return cmd
}

// followEvery is how often a log is looked at for more.
const followEvery = 100 * time.Millisecond

func (a *App) follow(ctx context.Context, i *instance.Instance, log io.Reader) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		alive := i.Alive() // before the copy: what was written until then is in it
		if _, err := io.Copy(a.Stdout, log); err != nil || !alive {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return stoppedError{"goes on"}
		}
	}
}
