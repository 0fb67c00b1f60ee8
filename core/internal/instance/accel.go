package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// accelerator is a result of vm.Accelerator, and what it was found with.
type accelerator struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	Host string `json:"host"`
}

// Accelerator is vm.Accelerator, which takes a second or two, asked once: its
// answer is kept until the QEMU, the access to /dev/kvm or the host's boot is
// another.
func (d *Dir) Accelerator(ctx context.Context, arch string) (name, why string) {
	if os.Getenv(vm.AccelVariable) != "" {
		return vm.Accelerator(ctx, arch)
	}
	path, host := filepath.Join(d.path, "accelerator-"+arch+".json"), hostOf(arch)
	var known accelerator
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &known) == nil && known.Host == host {
		return known.Name, known.Why
	}
	name, why = vm.Accelerator(ctx, arch)
	if ctx.Err() != nil {
		return name, why
	}
	// What cannot be kept is found again.
	if data, err := json.Marshal(accelerator{name, why, host}); err == nil && os.WriteFile(path+".new", data, 0o600) == nil {
		os.Rename(path+".new", path)
	}
	return name, why
}

// hostOf names what the answer depends on.
func hostOf(arch string) string {
	program, _ := vm.Program(arch)
	qemu := "none"
	if path, err := exec.LookPath(program); err == nil {
		if info, err := os.Stat(path); err == nil {
			qemu = fmt.Sprint(path, info.Size(), info.ModTime().UnixNano())
		}
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		kvm.Close()
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // macOS has none, and never another QEMU for hvf
	return fmt.Sprintf("%s kvm=%v boot=%s", qemu, err, boot)
}
