package vm

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
)

// Config is a virtual machine.
type Config struct {
	Arch      string    // "x86_64" or "aarch64"
	Kernel    string    // path of a bzImage (x86_64) or Image (aarch64); empty: the firmware boots Disk (x86_64)
	Initrd    string    // path; empty for none
	Disk      string    // path of an image, the guest's /dev/vda; what the guest writes is thrown away; empty for none
	Format    string    // of Disk: "raw" or "qcow2"; empty: "raw"
	ReadOnly  bool      // the guest cannot write to Disk
	Scratch   string    // path of another raw image, the guest's next disk; what the guest writes stays in it; empty for none
	Handed    string    // path of another raw image, the guest's last disk, which it can only read; empty for none; see HandedDevice
	Cmdline   string    // kernel command line; console= and panic= are added
	MemoryMiB int       // RAM
	CPUs      int       // 0: one
	Accel     string    // "tcg", "kvm" or "hvf"; empty: "tcg"
	Count     bool      // guest time counts instructions, 1 ns each, its date is countedDate, and it has no virtio-rng; tcg and one CPU only
	Net       bool      // a virtio network card with DHCP and nothing beyond it
	Outside   bool      // with Net: the card reaches what this host reaches
	Forwards  []Forward // with Net: ports of this host that lead into the guest
	Channel   Channel   // with Net, for Start only: a way from the guest to a socket of this host
	Stdin     io.Reader // typed at the console; nil: nothing, see VM.Type
	Console   io.Writer // gets a raw copy of the console; nil: none
}

// OfBundle is the machine that a bundle describes, without memory.
func OfBundle(b bundle.Bundle, arch string) (Config, error) {
	cmdline, err := b.Cmdline()
	c := Config{Arch: arch, Kernel: b.Path(bundle.Kernel), Cmdline: cmdline}
	if b.Root == bundle.Disk {
		c.Disk, c.ReadOnly = b.RootPath(), true
	} else {
		c.Initrd = b.RootPath()
	}
	return c, err
}

// HandedDevice is the guest's name for the disk Handed: virtio disks are named in
// the order in which they are found, which is that of QEMU's command line.
func (c Config) HandedDevice() string {
	name := byte('a')
	for _, before := range []string{c.Disk, c.Scratch} {
		if before != "" {
			name++
		}
	}
	return "/dev/vd" + string(name)
}

// Forward is a TCP port of this host that leads to one of the guest.
type Forward struct {
	Addr        string // of this host, to listen on: "127.0.0.1"
	Host, Guest int    // ports
}

func (f Forward) String() string {
	return net.JoinHostPort(f.Addr, strconv.Itoa(f.Host)) + ":" + strconv.Itoa(f.Guest)
}

// Channel is where a guest connects to on its network, to reach whoever is
// connected to ChannelSocket. The zero value is none.
type Channel struct {
	Addr string // IPv4, in 10.0.2.0/24
	Port int
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
	if c.Format == "" {
		c.Format = "raw"
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
	firmware := c.Kernel == "" && c.Initrd == "" && c.Disk != ""
	if firmware && c.Arch != "x86_64" {
		return fmt.Errorf("vm: QEMU brings no firmware that boots a disk for %s: give a kernel", c.Arch)
	}
	for _, file := range []struct{ what, path string }{{"kernel", c.Kernel}, {"initrd", c.Initrd}, {"disk", c.Disk}, {"scratch disk", c.Scratch}, {"disk to hand over", c.Handed}} {
		if file.path == "" && (file.what != "kernel" || firmware) {
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
		"-no-reboot")
	// A counted guest has the CPU's random numbers, from a seed: the device answers
	// when the host gets to it, which on a busy one shows in the counts.
	if !c.Count {
		args = append(args, "-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng")
	}
	if c.Kernel != "" {
		args = append(args, "-kernel", c.Kernel,
			"-append", strings.TrimSpace(strings.Join(append(words, c.Cmdline), " ")))
	} else {
		args = append(args, "-M", "graphics=off") // the firmware, and so a boot loader, uses the serial port
	}
	if c.Initrd != "" {
		args = append(args, "-initrd", c.Initrd)
	}
	if c.Disk != "" {
		writes := "snapshot=on"
		if c.ReadOnly {
			writes = "readonly=on"
		}
		args = append(args, c.diskArgs("disk", c.Disk, "format="+c.Format, writes)...)
	}
	if c.Scratch != "" {
		args = append(args, c.diskArgs("scratch", c.Scratch, "format=raw", "cache=unsafe")...)
	}
	if c.Handed != "" {
		args = append(args, c.diskArgs("handed", c.Handed, "format=raw", "readonly=on")...)
	}
	if c.Net {
		// romfile=: no PXE; restrict: DHCP and DNS of QEMU's own, no way to the host or out.
		restrict := "on"
		if c.Outside {
			restrict = "off"
		}
		network := "user,id=net,restrict=" + restrict
		for _, f := range c.Forwards {
			network += fmt.Sprintf(",hostfwd=tcp:%s:%d-:%d", f.Addr, f.Host, f.Guest)
		}
		if c.Channel.Addr != "" {
			network += fmt.Sprintf(",guestfwd=tcp:%s:%d-chardev:channel", c.Channel.Addr, c.Channel.Port)
		}
		args = append(args, "-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=")
	}
	if c.Count {
		// One instruction is 2^0 ns; idle time is skipped instead of slept
		// (QEMU, docs/devel/tcg-icount.rst). -seed: the same RDRAND, and so the
		// same KASLR and the same path through the kernel, in every run. The time of
		// day runs with the guest's clock and from a fixed date: turning it into a
		// time_t, and waiting for the next second of the RTC, takes instructions too.
		args = append(args, "-icount", "shift=0,align=off,sleep="+c.idle(), "-seed", "1", "-rtc", "base="+countedDate+",clock=vm")
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
