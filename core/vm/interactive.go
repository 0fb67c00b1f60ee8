package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Interactive runs a machine with its console on this process's standard input
// and output, until the guest powers off or the user types Ctrl-A X (QEMU's
// multiplexer; Ctrl-A H lists its keys). The terminal is set back afterwards,
// however QEMU ended. Config.Stdin and Config.Console are not used.
func Interactive(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return err
	}
	restore := saveTerminal(os.Stdin)
	defer restore()
	cmd := exec.Command(machines[cfg.Arch].qemu, append(cfg.args(), "-serial", "mon:stdio")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// In this process's group: a background group may not read the terminal.
	// Keys reach the guest all the same, since QEMU makes the terminal raw.
	p, err := start(ctx, cmd, false)
	if err != nil {
		return fmt.Errorf("vm: %w; on Debian: apt-get install %s", err, debianPackage[cfg.Arch])
	}
	<-p.ended
	if err := ctx.Err(); err != nil {
		return err
	}
	if exit := (*exec.ExitError)(nil); errors.As(p.err, &exit) {
		return fmt.Errorf("vm: QEMU: %w; what it said stands above", exit)
	}
	return p.err
}
