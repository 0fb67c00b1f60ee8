package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/internal/evaluator"
	"github.com/somebloke1/elixir-lean-lab/core/internal/instance"
)

func (a *App) execCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "exec NAME CODE",
		Short: "Evaluate Elixir in a VM and print its value",
		Long: `Evaluate Elixir in a VM that was started with --exec or --detach, and print its
value. What it prints goes to this terminal too, and not to the VM's console. An
exception ends with exit code 1.`,
		Example: `  leanlab exec hello 'System.otp_release()'`,
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.findRunning(args[0])
			if err != nil {
				return err
			}
			if !i.Exec {
				return fmt.Errorf("%s has no evaluator: %s", i.Name, i.NoExec)
			}
			answer, err := evaluate(cmd.Context(), i, args[1], timeout)
			if err != nil {
				return err
			}
			if answer.OK {
				fmt.Fprintf(a.Stdout, "%s%s\n", answer.Output, answer.Text)
				return nil
			}
			fmt.Fprintf(a.Stderr, "%s%s\n", answer.Output, answer.Text)
			return errShown
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the VM to be ready and the value to be there")
	return cmd
}

func evaluate(ctx context.Context, i *instance.Instance, code string, timeout time.Duration) (guest.Answer, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := evaluator.Evaluate(limited, i.Path, code)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return answer, stoppedError{"goes on, and so may the evaluation"}
	case limited.Err() != nil:
		return answer, fmt.Errorf("%s gave no answer in %v: it is not ready or has no network yet (leanlab logs %s), somebody else's leanlab exec comes first, or the code takes longer (--timeout)", i.Name, timeout, i.Name)
	}
	return answer, fmt.Errorf("%s: %w", i.Name, err)
}
