package vm

import "syscall"

// tied: outside Linux there is no signal at a parent's death; QEMU then survives
// a SIGKILL of this process, but no other end of it.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
