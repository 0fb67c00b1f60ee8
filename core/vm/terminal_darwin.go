package vm

import "golang.org/x/sys/unix"

// Requests of tty(4).
const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETAW
)
