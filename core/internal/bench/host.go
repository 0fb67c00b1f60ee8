package bench

import (
	"bufio"
	"context"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// Host describes the machine that measures with the QEMUs for arches.
func Host(ctx context.Context, leanlab string, arches []string) (report.BenchHost, error) {
	h := report.BenchHost{Accelerator: accelerator, CPU: cpu(), CPUs: runtime.NumCPU(), System: system(), Leanlab: leanlab, QEMU: map[string]string{}}
	for _, arch := range arches {
		version, err := vm.Version(ctx, arch)
		if err != nil {
			return h, err
		}
		h.QEMU[arch] = version
	}
	return h, nil
}

// system is the kernel's name, release and architecture (uname(2)).
func system() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return runtime.GOOS
	}
	return strings.Join([]string{unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])}, " ")
}

// cpu is the model that Linux names (proc_cpuinfo(5)); elsewhere, the architecture.
func cpu() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
