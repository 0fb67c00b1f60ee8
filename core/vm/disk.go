package vm

import (
	"io"
	"os"
	"strings"
)

// A guest that waits for its disk is idle, and idle time counts: QEMU lets it pass
// at once, up to whatever timer the guest has next, be that seconds ahead. So
// where instructions are counted the disk answers at once: the request is handled
// by the thread of the CPU that makes it (ioeventfd=off) and io_uring reads what
// is in the page cache before it returns.
//
// Without io_uring, idle time passes as it does on the host: it still counts, but
// does not run away.

// idle is QEMU's option for what to do while the guest is idle.
func (c Config) idle() string {
	if c.Disk != "" && CountsDisks() != nil {
		return "on"
	}
	return "off"
}

// CountsDisks says why the instructions that are counted of a machine with a disk
// have the time in them in which it waited for that; nil: they have not.
func CountsDisks() error { return ioUring() }

// diskArgs is a drive, with options, and the device for it.
func (c Config) diskArgs(id, file string, options ...string) []string {
	device := "virtio-blk-pci,drive=" + id
	if c.Count && CountsDisks() == nil {
		options = append(options, "aio=io_uring")
		device += ",ioeventfd=off"
	}
	options = append([]string{"if=none", "id=" + id}, options...)
	return []string{"-drive", strings.Join(append(options, "file="+optionValue(file)), ","), "-device", device}
}

// cacheDisk reads a disk that is to answer at once into the page cache.
func (c Config) cacheDisk() error {
	if !c.Count || c.Disk == "" {
		return nil
	}
	f, err := os.Open(c.Disk)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}
