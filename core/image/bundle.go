package image

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

//go:embed run.sh
var runScript string

// machines is how QEMU starts a bundle, by architecture.
var machines = map[string]struct{ qemu, machine, console, debian string }{
	"x86_64":  {"qemu-system-x86_64", "q35", "ttyS0", "qemu-system-x86"},
	"aarch64": {"qemu-system-aarch64", "virt", "ttyAMA0", "qemu-system-arm"},
}

// writeBundle writes kernel, initrd, cmdline and run.
func writeBundle(ctx context.Context, spec Spec, dir string, progress func(done, total int64)) ([]string, error) {
	if strings.ContainsAny(spec.Cmdline, "\n\x00") {
		return nil, fmt.Errorf("the kernel command line %q is more than a line", spec.Cmdline)
	}
	if err := writeKernel(spec, filepath.Join(dir, "kernel")); err != nil {
		return nil, err
	}
	if err := writeInitrd(ctx, spec, dir, progress); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte(spec.Cmdline+"\n"), 0o644); err != nil {
		return nil, err
	}
	run := filepath.Join(dir, "run")
	if err := os.WriteFile(run, []byte(script(spec)), 0o755); err != nil {
		return nil, err
	}
	return []string{"kernel", "initrd", "cmdline", "run"}, nil
}

func script(spec Spec) string {
	m := machines[spec.Arch]
	return strings.NewReplacer(
		"@NAME@", oneLine(spec.Name), "@ARCH@", spec.Arch, "@QEMU@", m.qemu, "@MACHINE@", m.machine,
		"@CONSOLE@", m.console, "@DEBIAN@", m.debian, "@MEMORY@", strconv.Itoa(spec.MemoryMiB),
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
	archive, err := os.CreateTemp("", "leanlab-initrd-")
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := os.Remove(archive.Name()); err != nil {
		return err
	}
	if err := writeArchive(ctx, t, archive, func(int64, int64) {}); err != nil {
		return err
	}
	return compressOpen(ctx, compression, arch, archive, w)
}

// writeInitrd writes the compressed cpio archive as dir/initrd.
func writeInitrd(ctx context.Context, spec Spec, dir string, progress func(done, total int64)) error {
	archive := filepath.Join(dir, "initrd.cpio")
	defer os.Remove(archive)
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeArchive(ctx, spec.Tree, f, progress); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return compress(ctx, spec.Compression, spec.Arch, archive, filepath.Join(dir, "initrd"))
}

func writeArchive(ctx context.Context, t *rootfs.Tree, f io.Writer, progress func(done, total int64)) error {
	p := &progressWriter{ctx: ctx, w: f, report: progress}
	err := t.Walk(func(e *rootfs.Entry) error {
		p.total += e.Size()
		return nil
	})
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(p, 1<<20)
	if err := t.WriteCPIO(w); err != nil {
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
