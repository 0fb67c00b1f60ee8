package vm

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"
)

// Watched is a machine that Start started, with its console followed from the
// beginning. Its methods are a proof in parts: they are called one at a time, and
// one that failed does not keep others from being called. Their errors are
// *Failure unless they are about the host.
type Watched struct {
	prover *prover
	conn   net.Conn
	read   chan struct{} // closed when the console is read no more
}

// Watch connects to the console, for a check of which Config and Eval play no
// part. It comes before Resume, so that nothing is missed.
func (s *Served) Watch(ctx context.Context, check Check) (*Watched, error) {
	if check.Timeout == 0 {
		check.Timeout = DefaultTimeout
	}
	conn, err := Dial(ctx, s.dir, ConsoleSocket)
	if err != nil {
		return nil, err
	}
	console := newConsole()
	w := &Watched{conn: conn, read: make(chan struct{}), prover: &prover{
		check: check, vm: &servedMachine{s, console, conn}, lines: &reader{c: console}, started: time.Now(), missing: check.Expect}}
	go func() {
		io.Copy(console, conn)
		console.close()
		close(w.read)
	}()
	return w, nil
}

// servedMachine makes a Served of which the console is read a machine.
type servedMachine struct {
	*Served
	console *console
	conn    net.Conn
}

func (s *servedMachine) Screen(n int) []string { return s.console.tail(n) }

func (s *servedMachine) Type(text string) error {
	_, err := io.WriteString(s.conn, text)
	return err
}

func (s *servedMachine) poweredOff() bool { return s.PoweredOff() }

// Close leaves the machine alone. Its console is free for another client.
func (w *Watched) Close() {
	w.conn.SetReadDeadline(time.Unix(1, 0))
	<-w.read
	w.conn.Close()
}

// Ready waits until BEAM is ready.
func (w *Watched) Ready(ctx context.Context) error {
	err := w.prover.printed(ctx)
	if failure := (*Failure)(nil); errors.As(err, &failure) && failure.Kind == Hang {
		failure.Next += "; or does it take longer?"
	}
	return err
}

// Printed waits until a text, which is of Check.Expect, was on the console. With
// Check.Ends it does not wait, and comes after End.
func (w *Watched) Printed(ctx context.Context, text string) error {
	p := w.prover
	switch {
	case !slices.Contains(p.missing, text):
		return nil
	case p.check.Ends:
		return p.fail(notPrinted([]string{text}))
	}
	return p.printed(ctx, text)
}

// While does something with a machine that is ready. When the machine crashes or
// ends meanwhile, do's context ends, and the error says why.
func (w *Watched) While(ctx context.Context, do func(ctx context.Context) error) error {
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- do(limited)
		cancel()
	}()
	err := w.prover.follow(limited, func(string) bool { return false })
	cancel()
	result := <-done
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		return failure
	}
	return result
}

// GoDown presses the power button and waits for an orderly end.
func (w *Watched) GoDown(ctx context.Context) error { return w.prover.goDown(ctx) }

// End waits until BEAM has ended by itself with status 0, and the machine with it.
func (w *Watched) End(ctx context.Context) error { return w.prover.end(ctx) }

// Running reports whether the machine was running when it was last looked at.
func (w *Watched) Running() bool {
	return !w.prover.ended && w.prover.stage != "exit" && w.prover.stage != "down"
}

// Screen is the end of the console, as a Failure carries it.
func (w *Watched) Screen() []string { return w.prover.vm.Screen(screenLines) }
