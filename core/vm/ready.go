package vm

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// WaitReady reads a console that was connected before Resume until BEAM is ready,
// or, with text, until that is on it. When it does not get ready in that time, or
// crashes or ends before, the error is a *Failure. The console stays connected.
func WaitReady(ctx context.Context, conn net.Conn, text string, timeout time.Duration) error {
	vm := &VM{console: newConsole(), stderr: &lastBytes{}}
	vm.lines = &reader{c: vm.console}
	read := make(chan struct{})
	go func() {
		io.Copy(vm.console, conn)
		vm.console.close()
		close(read)
	}()
	defer func() {
		conn.SetReadDeadline(time.Unix(1, 0))
		<-read
	}()
	p := &prover{check: Check{Ready: text, Timeout: timeout}, vm: vm, started: time.Now()}
	err := p.comeUp(ctx)
	if failure := (*Failure)(nil); errors.As(err, &failure) && failure.Kind == Hang {
		failure.Next += "; or does it take longer?"
	}
	return err
}
