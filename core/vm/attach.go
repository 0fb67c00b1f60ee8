package vm

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// ErrDetached is Attach's answer to Ctrl-A X.
var ErrDetached = errors.New("vm: detached")

// attachKey is Ctrl-A, as in QEMU and screen(1).
const attachKey = 0x01

// Attach connects a terminal to a console until the VM ends (nil), the user types
// Ctrl-A X (ErrDetached) or ctx ends (its error), and then closes the console. The
// terminal is set back in any case. Ctrl-A A sends a Ctrl-A. When input ends, the
// output is still shown.
func Attach(ctx context.Context, console net.Conn, in *os.File, out io.Writer) error {
	restore, err := rawTerminal(in)
	if err != nil {
		console.Close()
		return err
	}
	defer restore()
	ended, detached := make(chan error, 1), make(chan struct{})
	go func() {
		_, err := io.Copy(out, console)
		ended <- err
	}()
	// This one may stay in a read until the next key: nothing ends a read of a terminal.
	go func() {
		if typed(console, in) {
			close(detached)
		}
	}()
	select {
	case err := <-ended:
		console.Close()
		if errors.Is(err, syscall.ECONNRESET) { // QEMU ended with keys unread
			return nil
		}
		return err
	case <-detached:
		err = ErrDetached
	case <-ctx.Done():
		err = ctx.Err()
	}
	console.Close()
	<-ended
	return err
}

// typed copies keys, and returns true at Ctrl-A X.
func typed(to io.Writer, from io.Reader) bool {
	keys := make([]byte, 1024)
	command := false // Ctrl-A was the last key
	for {
		n, err := from.Read(keys)
		var send []byte
		for _, key := range keys[:n] {
			switch {
			case command && (key == 'x' || key == 'X'):
				to.Write(send)
				return true
			case command && (key == 'a' || key == attachKey):
				send = append(send, attachKey)
				command = false
			case command:
				send = append(send, attachKey, key)
				command = false
			case key == attachKey:
				command = true
			default:
				send = append(send, key)
			}
		}
		if len(send) > 0 {
			if _, werr := to.Write(send); werr != nil {
				return false
			}
		}
		if err != nil {
			return false
		}
	}
}
