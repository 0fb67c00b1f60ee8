package vm

import "syscall"

// tied gives the child a process group of its own, and makes the kernel kill it
// when the thread that started it ends, so also when this process is killed
// (prctl(2), PR_SET_PDEATHSIG).
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
