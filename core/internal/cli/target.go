package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/engine"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// defaultMemoryMiB is for images of which nothing is known.
const defaultMemoryMiB = 256

// target is what is to run.
type target struct {
	vm.Config
	name     string           // that an instance of it may have
	image    string           // as the user gave it
	manifest *report.Manifest // nil: there is none
}

// machineFlags describe a machine where no bundle does.
type machineFlags struct {
	kernel, initrd, append string
}

// runnable names what findTarget takes, for its errors.
const runnable = "what runs is a bundle or build/<vm>, a raw or qcow2 disk, or --kernel with --initrd or a disk"

// findTarget finds out what IMAGE is. It may be the name of a VM below build/.
func (a *App) findTarget(arg string, f machineFlags) (*target, error) {
	if arg == "" {
		return a.kernelTarget("", f)
	}
	path := a.path(arg)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(arg) == arg {
		built := filepath.Join(a.Dir, "build", arg)
		if info, err = os.Stat(built); err != nil {
			return nil, fmt.Errorf("%s: there is no such image, and no VM of that name in build/; %s", arg, runnable)
		}
		path = built
	}
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, runnable)
	}
	if info.IsDir() {
		if f != (machineFlags{}) {
			return nil, usageError{fmt.Errorf("%s is a bundle, which has its kernel, initrd and command line: leave out --kernel, --initrd and --append", arg)}
		}
		t, err := bundleTarget(path)
		if err != nil {
			return nil, err
		}
		t.image = arg
		return t, nil
	}
	format, err := diskFormat(path)
	if err != nil {
		return nil, err
	}
	t := &target{}
	if f.kernel != "" {
		if t, err = a.kernelTarget(path, f); err != nil {
			return nil, err
		}
	} else if f != (machineFlags{}) {
		return nil, usageError{errors.New("--initrd and --append are for a kernel: give it with --kernel, or leave them out and the disk's boot loader starts")}
	} else {
		t.Arch, t.MemoryMiB = "x86_64", defaultMemoryMiB
	}
	t.Disk, t.Format, t.image, t.name = path, format, arg, stem(path)
	return t, nil
}

func stem(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

func (a *App) kernelTarget(disk string, f machineFlags) (*target, error) {
	kernel := a.path(f.kernel)
	arch, err := image.KernelArch(kernel)
	if err != nil {
		return nil, err
	}
	t := &target{name: stem(kernel), image: f.kernel, Config: vm.Config{
		Arch: arch, Kernel: kernel, Cmdline: f.append, MemoryMiB: defaultMemoryMiB}}
	if f.initrd != "" {
		t.Initrd = a.path(f.initrd)
	}
	if f.initrd == "" && disk == "" {
		return nil, usageError{errors.New("--kernel alone has no root to run: add --initrd, or a disk as IMAGE")}
	}
	return t, nil
}

// bundleTarget is for a bundle's directory or the output of a build.
func bundleTarget(dir string) (*target, error) {
	output := dir
	if _, err := os.Stat(filepath.Join(dir, "bundle")); err == nil {
		dir = filepath.Join(dir, "bundle")
	} else {
		output = filepath.Dir(dir)
	}
	for _, file := range []string{"kernel", "initrd", "cmdline"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			return nil, fmt.Errorf("%s: no bundle: %w; %s", dir, err, runnable)
		}
	}
	arch, err := image.KernelArch(filepath.Join(dir, "kernel"))
	if err != nil {
		return nil, err
	}
	t := &target{name: filepath.Base(output)}
	if t.Config, err = engine.BundleConfig(dir, arch); err != nil {
		return nil, err
	}
	t.MemoryMiB = defaultMemoryMiB
	t.manifest, err = report.Read(filepath.Join(output, report.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		t.name = filepath.Base(dir) // a bundle that was copied elsewhere
	} else if err != nil {
		return nil, err
	}
	return t, nil
}

// magics are the beginnings of files that are no disks, and what to do with them.
var magics = []struct {
	offset      int64
	magic, what string
}{
	{0x202, "HdrS", "a kernel: give it with --kernel, and its root with --initrd or as IMAGE"},
	{0x38, "ARM\x64", "a kernel: give it with --kernel, and its root with --initrd or as IMAGE"},
	{0, "070701", "a cpio archive: give it with --initrd, beside --kernel"},
	{0, "\x1f\x8b", "compressed with gzip: an initrd is given with --initrd beside --kernel; unpack anything else"},
	{0, "\x28\xb5\x2f\xfd", "compressed with zstd: an initrd is given with --initrd beside --kernel; unpack anything else"},
	{0, "\xfd7zXZ\x00", "compressed with xz: an initrd is given with --initrd beside --kernel; unpack anything else"},
	{257, "ustar", "a tar archive, which no machine boots"},
	{0, "PK\x03\x04", "a zip archive, which no machine boots"},
	{0, "\x7fELF", "a program, and no disk"},
}

// sectorBytes is what a disk is a multiple of.
const sectorBytes = 512

// diskFormat is "qcow2" or "raw", which any file may be that is nothing else.
func diskFormat(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 1024)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	head = head[:n]
	if bytes.HasPrefix(head, []byte("QFI\xfb")) { // QEMU, docs/interop/qcow2.txt
		return "qcow2", nil
	}
	for _, m := range magics {
		if int64(n) > m.offset && bytes.HasPrefix(head[m.offset:], []byte(m.magic)) {
			return "", fmt.Errorf("%s: is %s; %s", path, m.what, runnable)
		}
	}
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || info.Size()%sectorBytes != 0 {
		return "", fmt.Errorf("%s: is no image: %d bytes are not a disk's whole sectors of %d; is it truncated? %s", path, info.Size(), sectorBytes, runnable)
	}
	return "raw", nil
}
