package foreign

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// compression is what a build's own root has by default: so are the two compared
// by what is in them, and not by how it was packed.
const compression = "zstd"

// maxPlain is what is loaded of an initramfs: it lies below 2 GiB in a machine
// whose RAM begins there (QEMU, hw/i386/x86-common.c; hw/arm/boot.c has more), with
// room for the kernel.
const maxPlain = 1900 << 20

// writeInitrd writes the tree as an initramfs into out.
func (o *Options) writeInitrd(ctx context.Context, t *rootfs.Tree, out string, ev ui.Step) error {
	if o.Packed { // most of the time goes where no bytes are counted
		ev.Emit(builder.Log{Line: "packing it with " + compression})
		spec := image.Spec{Tree: t, Kernel: o.Kernel, Arch: o.Arch, Root: bundle.Initramfs, Compression: compression}
		if _, err := image.Write(ctx, "bundle", spec, out, nil); err != nil {
			return err
		}
		return os.Rename(filepath.Join(out, "bundle", initrdFile), filepath.Join(out, initrdFile))
	}
	progress := func(done, total int64) { ev.Emit(builder.Progress{Done: done, Total: total, Unit: "bytes"}) }
	w := &plain{ctx: ctx, progress: progress, total: Bytes(t)}
	if w.total > maxPlain {
		return fmt.Errorf("unpacks to %d MiB, and no machine loads an initramfs of more than %d: make a disk of it", w.total>>20, maxPlain>>20)
	}
	f, err := os.Create(filepath.Join(out, initrdFile))
	if err != nil {
		return err
	}
	defer f.Close()
	w.Writer = f
	buffer := bufio.NewWriterSize(w, 1<<20)
	if err := t.WriteCPIO(buffer); err != nil {
		return err
	}
	if err := buffer.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// plain is an initramfs that is being written.
type plain struct {
	io.Writer
	ctx         context.Context
	progress    func(done, total int64)
	done, total int64
}

func (p *plain) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.Writer.Write(b)
	p.done += int64(n)
	p.progress(min(p.done, p.total), p.total)
	return n, err
}
