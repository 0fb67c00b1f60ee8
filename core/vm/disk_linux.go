package vm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioUring says why this kernel does not let QEMU use io_uring(7), nil if it does:
// containers often forbid it.
func ioUring() error {
	var params [120]byte // struct io_uring_params, all zeros
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return fmt.Errorf("io_uring: %w", errno)
	}
	return unix.Close(int(fd))
}
