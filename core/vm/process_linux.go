package vm

import "syscall"

// tied makes the kernel kill the child when the thread that started it ends, so
// also when this process is killed (prctl(2), PR_SET_PDEATHSIG).
func tied(ownGroup bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: ownGroup, Pdeathsig: syscall.SIGKILL}
}
