package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

func (a *App) consoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "console NAME",
		Short: "Put this terminal at a VM's console; Ctrl-A X leaves it, and the VM goes on",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			i, err := a.findRunning(args[0])
			if err != nil {
				return err
			}
			if !i.Detached {
				return fmt.Errorf("the console of %s is in the terminal that runs it; leanlab logs %s shows it", i.Name, i.Name)
			}
			console, err := vm.Dial(ctx, i.Path, vm.ConsoleSocket)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Stderr, "leanlab: the console of %s, once nobody else has it; Ctrl-A X leaves it\n", i.Name)
			err = vm.Attach(ctx, console, a.Stdin, a.Stdout)
			if errors.Is(err, vm.ErrDetached) {
				fmt.Fprintf(a.Stderr, "\nleanlab: left %s running\n", i.Name)
				return nil
			}
			if ctx.Err() != nil {
				return stoppedError{"goes on"}
			}
			return err
		},
	}
}
