package vm

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Config is a virtual machine.
type Config struct {
	Arch      string    // "x86_64" or "aarch64"
	Kernel    string    // path of a bzImage (x86_64) or Image (aarch64)
	Initrd    string    // path; empty for none
	Disk      string    // path of a raw image, the guest's /dev/vda; what the guest writes is thrown away; empty for none
	Cmdline   string    // kernel command line; console= and panic= are added
	MemoryMiB int       // RAM
	CPUs      int       // 0: one
	Accel     string    // "tcg", "kvm" or "hvf"; empty: "tcg"
	Count     bool      // guest time counts instructions, 1 ns each, and its date is countedDate; tcg and one CPU only
	Net       bool      // a virtio network card with DHCP and nothing beyond it
	Outside   bool      // with Net: the card reaches what this host reaches
	Stdin     io.Reader // typed at the console; nil: nothing, see VM.Type
	Console   io.Writer // gets a raw copy of the console; nil: none
}

// machines is what differs between architectures. Q35 and virt are the machines
// that cloud hypervisors resemble; both have a power button (ACPI, or a GPIO key).
// counted: see nolapicTimer. panic=-1: the kernel restarts at once when it panics, and -no-reboot makes
// that the end of QEMU instead of a hang (kernel-parameters.txt, "panic=").
var machines = map[string]struct {
	qemu, machine, cmdline, counted string
}{
	"x86_64":  {"qemu-system-x86_64", "q35", "console=ttyS0 panic=-1", nolapicTimer},
	"aarch64": {"qemu-system-aarch64", "virt", "console=ttyAMA0 panic=-1", ""},
}

// nolapicTimer goes on the command line where instructions are counted. The
// kernel otherwise spins for 0.48 G instructions, PAUSE after PAUSE, to
// calibrate the local APIC's timer against the clock that the counting drives,
// finds that it does not pass ("APIC timer disabled due to verification
// failure", arch/x86/kernel/apic/apic.c) and goes on with the HPET, as it does at
// once with this word (kernel-parameters.txt). KVM has the APIC's TSC deadline
// mode, for which nothing is calibrated.
const nolapicTimer = "nolapic_timer"

// countedDate is when a guest whose instructions are counted believes to run.
const countedDate = "2026-01-01"

func (c Config) withDefaults() Config {
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.Accel == "" {
		c.Accel = "tcg"
	}
	return c
}

func (c Config) check() error {
	if _, ok := machines[c.Arch]; !ok {
		return fmt.Errorf("vm: architecture %q: want x86_64 or aarch64", c.Arch)
	}
	if c.MemoryMiB <= 0 {
		return fmt.Errorf("vm: %d MiB of memory", c.MemoryMiB)
	}
	if c.Count && (c.Accel != "tcg" || c.CPUs != 1) {
		return fmt.Errorf("vm: instructions are counted with accelerator tcg and one CPU, not with %s and %d", c.Accel, c.CPUs)
	}
	for _, file := range []struct{ what, path string }{{"kernel", c.Kernel}, {"initrd", c.Initrd}, {"disk", c.Disk}} {
		if file.path == "" && file.what != "kernel" {
			continue
		}
		if _, err := os.Stat(file.path); err != nil {
			return fmt.Errorf("vm: %s: %w", file.what, err)
		}
	}
	return nil
}

// args is QEMU's command line, without the console and the monitor.
func (c Config) args() []string {
	m := machines[c.Arch]
	words := []string{m.cmdline}
	if c.Count && m.counted != "" {
		words = append(words, m.counted)
	}
	args := append(machineArgs(c.Arch, c.Accel),
		"-m", strconv.Itoa(c.MemoryMiB),
		"-smp", strconv.Itoa(c.CPUs),
		"-no-reboot",
		"-kernel", c.Kernel,
		"-append", strings.TrimSpace(strings.Join(append(words, c.Cmdline), " ")),
		"-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng")
	if c.Initrd != "" {
		args = append(args, "-initrd", c.Initrd)
	}
	if c.Disk != "" {
		args = append(args,
			"-drive", "if=none,id=disk,format=raw,snapshot=on,file="+optionValue(c.Disk),
			"-device", "virtio-blk-pci,drive=disk")
	}
	if c.Net {
		// romfile=: no PXE; restrict: DHCP and DNS of QEMU's own, no way to the host or out.
		restrict := "on"
		if c.Outside {
			restrict = "off"
		}
		args = append(args, "-netdev", "user,id=net,restrict="+restrict, "-device", "virtio-net-pci,netdev=net,romfile=")
	}
	if c.Count {
		// One instruction is 2^0 ns; idle time is skipped instead of slept
		// (QEMU, docs/devel/tcg-icount.rst). -seed: the same RDRAND, and so the
		// same KASLR and the same path through the kernel, in every run. The time of
		// day runs with the guest's clock and from a fixed date: turning it into a
		// time_t, and waiting for the next second of the RTC, takes instructions too.
		args = append(args, "-icount", "shift=0,align=off,sleep=off", "-seed", "1", "-rtc", "base="+countedDate+",clock=vm")
	}
	return args
}

// machineArgs is a bare machine: no default devices, no window, no user's configuration.
func machineArgs(arch, accel string) []string {
	return []string{
		"-M", machines[arch].machine, "-accel", accel, "-cpu", "max",
		"-nodefaults", "-no-user-config", "-display", "none", "-parallel", "none",
	}
}

// optionValue quotes a value for QEMU's comma-separated options.
func optionValue(s string) string { return strings.ReplaceAll(s, ",", ",,") }
