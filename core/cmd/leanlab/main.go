// Command leanlab builds Linux VMs that run Elixir apps.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/somebloke1/elixir-lean-lab/core/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	app := &cli.App{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Executable: exe}
	code := app.Run(ctx)
	stop()
	os.Exit(code)
}
