package vm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// rawTerminal hands f's keys on as they are typed, the ones that send signals too,
// and echoes none. What it returns sets the terminal back to what it was; nothing
// happens if f is no terminal.
func rawTerminal(f *os.File) (restore func(), err error) {
	before, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	if err != nil {
		return func() {}, nil
	}
	raw := *before
	raw.Iflag &^= unix.BRKINT | unix.ICRNL | unix.INLCR | unix.IGNCR | unix.ISTRIP | unix.IXON | unix.PARMRK
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), setTermios, &raw); err != nil {
		return nil, fmt.Errorf("vm: the terminal: %w", err)
	}
	return func() { unix.IoctlSetTermios(int(f.Fd()), setTermios, before) }, nil
}
