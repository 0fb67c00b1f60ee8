package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/instance"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

func (a *App) stopCommand() *cobra.Command {
	var timeout time.Duration
	var force bool
	cmd := &cobra.Command{
		Use:   "stop NAME",
		Short: "Press a VM's power button, and kill it when it does not go down in time",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.find(args[0])
			if err != nil {
				return err
			}
			how := "had ended"
			if i.Alive() && force {
				how, err = "was killed", kill(i)
			} else if i.Alive() {
				how, err = shutDown(cmd.Context(), i, timeout)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "%s %s\n", i.Name, how)
			return i.Remove()
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long the VM may take to go down")
	cmd.Flags().BoolVar(&force, "force", false, "kill it at once")
	return cmd
}

// shutDown presses the power button and waits. The VM goes on when ctx ends.
func shutDown(ctx context.Context, i *instance.Instance, timeout time.Duration) (how string, err error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	monitor, err := vm.DialMonitor(limited, i.Path)
	if err == nil {
		defer monitor.Close()
		err = monitor.Powerdown(limited)
	}
	if err == nil {
		select {
		case <-monitor.Ended():
			if waitGone(i) && monitor.PoweredOff() {
				return "was shut down", nil
			}
			return "ended, but not by powering off", kill(i)
		case <-limited.Done():
			err = limited.Err()
		}
	}
	switch {
	case ctx.Err() != nil:
		return "", stoppedError{"goes on"}
	case limited.Err() != nil:
		return fmt.Sprintf("did not go down in %v and was killed", timeout), kill(i)
	case waitGone(i):
		return "ended meanwhile", nil
	}
	return fmt.Sprintf("was killed, since its power button cannot be pressed (%v)", err), kill(i)
}

// exitLimit is how long QEMU may take to exit once it has closed its sockets.
const exitLimit = 2 * time.Second

// waitGone waits a moment for a process that is about to end.
func waitGone(i *instance.Instance) bool {
	for deadline := time.Now().Add(exitLimit); i.Alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// kill ends QEMU, and says when that failed.
func kill(i *instance.Instance) error {
	if err := i.Kill(); err != nil {
		return err
	}
	if !waitGone(i) {
		return fmt.Errorf("%s: QEMU's process %d was killed and has not ended; is it waiting for a disk?", i.Name, i.Process.PID)
	}
	return nil
}
