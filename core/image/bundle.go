package image

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

//go:embed run.sh
var runScript string

// machines is how QEMU starts a bundle, by architecture.
var machines = map[string]struct{ qemu, machine, console, debian string }{
	"x86_64":  {"qemu-system-x86_64", "q35", "ttyS0", "qemu-system-x86"},
	"aarch64": {"qemu-system-aarch64", "virt", "ttyAMA0", "qemu-system-arm"},
}

// roots is how the kernel finds its root, and how the script hands it over. On
// the command line: which device, to try no other file system on it, and /init,
// which is looked for by itself in an initramfs only (init/main.c).
var roots = map[string]struct{ cmdline, qemu string }{
	bundle.Initramfs: {"", `-initrd "$dir/@FILE@"`},
	bundle.Disk: {"root=/dev/vda rootfstype=squashfs init=/init",
		`-drive if=none,id=root,format=raw,readonly=on,file="$(printf %s "$dir" | sed s/,/,,/g)/@FILE@" \
	-device virtio-blk-pci,drive=root`},
}

// writeBundle writes the files of a bundle.
func writeBundle(ctx context.Context, spec Spec, dir string, progress func(done, total int64)) ([]string, error) {
	if strings.ContainsAny(spec.Cmdline, "\n\x00") {
		return nil, fmt.Errorf("the kernel command line %q is more than a line", spec.Cmdline)
	}
	b := bundle.Bundle{Dir: dir, Root: spec.Root}
	if err := writeKernel(spec, b.Path(bundle.Kernel)); err != nil {
		return nil, err
	}
	if err := writeRoot(ctx, spec, b.RootPath(), progress); err != nil {
		return nil, err
	}
	cmdline := strings.TrimSpace(spec.Cmdline + " " + roots[spec.Root].cmdline)
	if err := os.WriteFile(b.Path(bundle.Cmdline), []byte(cmdline+"\n"), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.Path(bundle.Run), []byte(script(spec)), 0o755); err != nil {
		return nil, err
	}
	return bundle.Files(spec.Root), nil
}

func script(spec Spec) string {
	m := machines[spec.Arch]
	return strings.NewReplacer(
		"@NAME@", oneLine(spec.Name), "@ARCH@", spec.Arch, "@QEMU@", m.qemu, "@MACHINE@", m.machine,
		"@CONSOLE@", m.console, "@DEBIAN@", m.debian, "@ROOT@", strings.ReplaceAll(roots[spec.Root].qemu, "@FILE@", bundle.RootFile(spec.Root)), "@MEMORY@", strconv.Itoa(spec.MemoryMiB),
	).Replace(runScript)
}

// oneLine keeps a name inside the script's comment.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// WriteInitrd writes the initrd that a bundle of t would have to w. What it needs
// on disk has no name, and is gone with the process however that ends.
func WriteInitrd(ctx context.Context, t *rootfs.Tree, compression, arch string, w io.Writer) error {
	p, err := PackerOf(bundle.Initramfs, compression)
	if err != nil {
		return err
	}
	archive, err := os.CreateTemp("", "leanlab-initrd-")
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := os.Remove(archive.Name()); err != nil {
		return err
	}
	if err := writeArchive(ctx, t, t.WriteCPIO, archive, func(int64, int64) {}); err != nil {
		return err
	}
	return p.compressOpen(ctx, arch, archive, w)
}

// writeRoot writes the packed root as file.
func writeRoot(ctx context.Context, spec Spec, file string, progress func(done, total int64)) error {
	p, err := PackerOf(spec.Root, spec.Compression)
	if err != nil {
		return err
	}
	if spec.Root == bundle.Disk {
		return writeSquashfs(ctx, spec, p, file, progress)
	}
	return writeInitrd(ctx, spec, p, file, progress)
}

// writeInitrd writes the tree as a compressed cpio archive.
func writeInitrd(ctx context.Context, spec Spec, p Packer, file string, progress func(done, total int64)) error {
	archive, err := os.Create(file + ".cpio")
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	if err := writeArchive(ctx, spec.Tree, spec.Tree.WriteCPIO, archive, progress); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return p.compress(ctx, spec.Arch, archive.Name(), file)
}

// writeArchive writes the tree with one of its methods.
func writeArchive(ctx context.Context, tree *rootfs.Tree, write func(io.Writer) error, to io.Writer, progress func(done, total int64)) error {
	p := &progressWriter{ctx: ctx, w: to, report: progress}
	err := tree.Walk(func(e *rootfs.Entry) error {
		p.total += e.Size()
		return nil
	})
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(p, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// progressWriter reports what passes through it, and ends when ctx does.
type progressWriter struct {
	ctx         context.Context
	w           io.Writer
	report      func(done, total int64)
	done, total int64
}

func (p *progressWriter) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.w.Write(b)
	p.done += int64(n)
	p.report(min(p.done, p.total), p.total) // headers are not in the total
	return n, err
}
