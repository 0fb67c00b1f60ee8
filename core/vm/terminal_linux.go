package vm

import "golang.org/x/sys/unix"

// Requests of termios(3) by ioctl_tty(2).
const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETSW
)
