package cli

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// magics are the beginnings of files that are no disks, and what to do with them.
var magics = []struct {
	offset      int64
	magic, what string
}{
	{0x202, "HdrS", "a kernel: give it with --kernel, and its root with --initrd or as IMAGE"},
	{0x38, "ARM\x64", "a kernel: give it with --kernel, and its root with --initrd or as IMAGE"},
	{0, "070701", "a cpio archive: give it with --initrd, beside --kernel"},
	{0, "\x1f\x8b", "compressed with gzip: an initrd is given with --initrd beside --kernel, a root file system as a tar archive; unpack anything else"},
	{0, "\x28\xb5\x2f\xfd", "compressed with zstd: an initrd is given with --initrd beside --kernel, a root file system as a tar archive; unpack anything else"},
	{0, "\xfd7zXZ\x00", "compressed with xz: an initrd is given with --initrd beside --kernel, a root file system as a tar archive; unpack anything else"},
	{0, "BZh", "compressed with bzip2, which is not supported: unpack it"},
	{0, "\x02\x21\x4c\x18", "compressed with lz4: an initrd is given with --initrd beside --kernel; unpack anything else"},
	{0, "\x04\x22\x4d\x18", "compressed with lz4: unpack it"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive, which is not supported: unpack it"},
	{0, "PK\x03\x04", "a zip archive, which is not supported: unpack it"},
	{0, "\x7fELF", "a program, and no disk"},
}

// sectorBytes is what a disk is a multiple of.
const sectorBytes = 512

// unsupported are the beginnings of disks that QEMU knows and leanlab does not: what
// their images may refer to, other files, is nobody's to follow here.
var unsupported = []struct {
	offset      int64
	magic, what string
}{
	{0, "KDMV", "VMDK"},
	{0, "# Disk DescriptorFile", "VMDK"},
	{0, "vhdxfile", "VHDX"},
	{0, "conectix", "VHD"},
	{0x40, "\x7f\x10\xda\xbe", "VDI"},
}

// diskFormat is "qcow2" or "raw", which any file may be that is nothing else. Where
// firmware is to boot it, it must have a boot sector.
func diskFormat(path string, firmware bool) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	head := make([]byte, 1024)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	format, err := formatOf(head[:n], info, firmware)
	if err != nil {
		return "", fmt.Errorf("%s: %w; %s", path, err, runnable)
	}
	return format, nil
}

func formatOf(head []byte, info os.FileInfo, firmware bool) (string, error) {
	has := func(offset int64, magic string) bool {
		return int64(len(head)) > offset && bytes.HasPrefix(head[offset:], []byte(magic))
	}
	if has(0, "QFI\xfb") {
		return "qcow2", checkQcow2(head, info.Size())
	}
	for _, m := range unsupported {
		if has(m.offset, m.magic) {
			return "", fmt.Errorf("is a %s disk, which is not supported: convert it (qemu-img convert -O qcow2)", m.what)
		}
	}
	for _, m := range magics {
		if has(m.offset, m.magic) {
			return "", fmt.Errorf("is %s", m.what)
		}
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || info.Size()%sectorBytes != 0 {
		return "", fmt.Errorf("is no image: %d bytes are not a disk's whole sectors of %d; is it truncated?", info.Size(), sectorBytes)
	}
	if !has(510, "\x55\xaa") { // Documentation/arch/x86/boot.rst's boot_flag; every BIOS wants it
		if firmware {
			return "", fmt.Errorf("has no boot sector, so that no firmware starts it: is it a file system, give its kernel with --kernel, and --append root=/dev/vda")
		}
		return "raw", nil
	}
	return "raw", checkPartitions(head, info.Size())
}

// checkQcow2 finds a qcow2 that is cut short in its structures, which QEMU takes
// (QEMU, docs/interop/qcow2.txt, "Header").
func checkQcow2(head []byte, size int64) error {
	if len(head) < 60 {
		return fmt.Errorf("is a qcow2 of %d bytes: it is truncated", size)
	}
	bits := binary.BigEndian.Uint32(head[20:])
	l1 := uint64(binary.BigEndian.Uint32(head[36:])) * 8
	refcounts := uint64(binary.BigEndian.Uint32(head[56:])) << min(bits, 21) // at most 2 MiB clusters
	for _, table := range []struct{ at, bytes uint64 }{
		{binary.BigEndian.Uint64(head[40:]), l1}, {binary.BigEndian.Uint64(head[48:]), refcounts},
	} {
		if table.at > uint64(size) || table.bytes > uint64(size)-table.at {
			return fmt.Errorf("is a qcow2 that is truncated: its tables reach to byte %d, and it has %d", table.at+table.bytes, size)
		}
	}
	return nil
}

// checkPartitions finds a disk that is shorter than the partitions in its MBR. That
// of a GPT has one which stands for the whole disk (UEFI, 5.2.3), as far as 32 bits
// go.
func checkPartitions(head []byte, size int64) error {
	const table, entry = 446, 16
	for at := table; at < table+4*entry; at += entry {
		start, sectors := binary.LittleEndian.Uint32(head[at+8:]), binary.LittleEndian.Uint32(head[at+12:])
		end := (int64(start) + int64(sectors)) * sectorBytes
		if kind := head[at+4]; kind != 0 && sectors != 0 && sectors != 1<<32-1 && end > size {
			return fmt.Errorf("is a disk that is truncated: its partitions reach to byte %d, and it has %d", end, size)
		}
	}
	return nil
}
