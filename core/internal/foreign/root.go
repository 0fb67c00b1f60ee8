package foreign

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"path"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// complete adds what a root of somebody else's lacks: our /init and its boot file,
// the console that the kernel opens before any /init has mounted a /dev, and what
// container engines add to a container.
func (o *Options) complete(t *rootfs.Tree, r *Root) error {
	if r.Given && r.Words == "" {
		return nil // it is ours, and complete
	}
	if err := t.File(initPath, 0o755, o.Init); err != nil {
		return err
	}
	if _, ok := t.Get("/dev/console"); !ok {
		// Linux, Documentation/admin-guide/devices.txt: 5 = /dev/console.
		if err := t.Device("/dev/console", rootfs.CharDevice, 0o600, 5, 1); err != nil {
			return err
		}
	}
	if r.Given {
		return nil
	}
	if r.Boot != nil {
		if err := addBoot(t, r.Boot); err != nil {
			return err
		}
	}
	if !o.Network {
		return nil
	}
	for _, f := range []struct{ name, text string }{
		{"/etc/resolv.conf", "nameserver " + nameserver + "\n"},
		{"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
	} {
		if e, err := t.Resolve(f.name); err == nil && e.Size() > 0 {
			continue
		}
		// Empty in what docker exports; a link to what a service would write.
		if err := t.Remove(f.name); err != nil {
			return err
		}
		if err := t.File(f.name, 0o644, []byte(f.text)); err != nil {
			return err
		}
	}
	return nil
}

func addBoot(t *rootfs.Tree, b *guest.Boot) error {
	text, err := b.Encode()
	if err != nil {
		return err
	}
	if err := t.File(guest.BootPath, 0o644, text); err != nil {
		return err
	}
	// Container engines make the working directory.
	if e, err := t.Resolve(b.Chdir); err == nil && e.Type != rootfs.Directory {
		return fmt.Errorf("its working directory %s is a %v", b.Chdir, e.Type)
	} else if err != nil {
		return t.Dir(b.Chdir, 0o755)
	}
	return nil
}

const (
	// page is how memory is given to files.
	page = 4096
	// node is what Linux keeps of a file beside its contents, an inode and a name
	// (linux/fs.h, struct inode; linux/dcache.h, struct dentry), rounded up.
	node = 1024
)

// Bytes is the memory that the tree takes when it is unpacked.
func Bytes(t *rootfs.Tree) int64 {
	var n int64
	seen := map[rootfs.FileID]bool{}
	t.Walk(func(e *rootfs.Entry) error {
		n += node
		if e.Type == rootfs.Regular && !seen[e.FileID()] {
			seen[e.FileID()] = true
			n += (e.Size() + page - 1) &^ (page - 1)
		}
		return nil
	})
	return n
}

// hasBEAM looks for the emulator by the name that it has everywhere.
func hasBEAM(t *rootfs.Tree) (found bool) {
	t.Walk(func(e *rootfs.Entry) error {
		found = found || e.Type == rootfs.Regular && path.Base(e.Path) == "beam.smp"
		return nil
	})
	return found
}

// What a VM needs beside its root: the kernel, and what is to run in it, of which
// nothing is known: BEAM with Elixir takes some 60 MiB.
const (
	systemMiB  = 24
	programMiB = 104
)

// MemoryMiB is the RAM with which a root of these bytes, in an initramfs of that
// size, should boot, and the least that it can do with: the kernel holds the
// archive until it has unpacked it.
func MemoryMiB(root, initrd int64) (enough, least int) {
	least = int((root+initrd)>>20) + systemMiB
	return (least + programMiB + 15) &^ 15, least
}

// machines are the architectures of ELF files.
var machines = map[string]elf.Machine{"x86_64": elf.EM_X86_64, "aarch64": elf.EM_AARCH64}

// checkProgram refuses an ELF file for another architecture. What else a program
// may be, such as a script, is the kernel's to find out.
func checkProgram(e *rootfs.Entry, arch string) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	var head [20]byte // e_ident and e_type, then e_machine (elf(5))
	if _, err := r.ReadAt(head[:], 0); err != nil || string(head[:4]) != elf.ELFMAG {
		return nil
	}
	if m := elf.Machine(binary.LittleEndian.Uint16(head[18:])); m != machines[arch] {
		return fmt.Errorf("%s: is a program for %v, and the kernel is for %s", e.Path, m, arch)
	}
	return nil
}

// contents reads a file of no more than limit bytes.
func contents(e *rootfs.Entry, limit int64) ([]byte, error) {
	if e.Type != rootfs.Regular {
		return nil, fmt.Errorf("%s: is a %v", e.Path, e.Type)
	}
	if e.Size() > limit {
		return nil, fmt.Errorf("%s: has %d bytes, more than %d", e.Path, e.Size(), limit)
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
