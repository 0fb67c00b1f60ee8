package vm

import (
	"os"

	"golang.org/x/sys/unix"
)

// saveTerminal returns what sets f's terminal back to what it is now; nothing
// if f is no terminal.
func saveTerminal(f *os.File) func() {
	mode, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return func() {}
	}
	return func() { unix.IoctlSetTermios(int(f.Fd()), unix.TCSETSW, mode) }
}
