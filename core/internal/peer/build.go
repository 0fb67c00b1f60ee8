package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/foreign"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// building is a peer that is being built.
type building struct {
	Options
	peer      *Peer
	archive   *source.Archive
	out, work string
}

func (b *building) run(ctx context.Context, name string, root []source.Deb, kernel source.Deb) error {
	root = inOrder(root)
	var files []string
	var image string
	err := step(b.UI, name+": fetch packages", func(ev ui.Step) (err error) {
		files, image, err = b.fetch(ctx, root, kernel, ev)
		return err
	})
	if err != nil {
		return err
	}
	return step(b.UI, name+": root file system", func(ev ui.Step) error {
		tree, err := b.tree(ctx, files)
		if err != nil {
			return err
		}
		vmlinuz, err := b.kernel(ctx, image, vmlinuz(kernel))
		if err != nil {
			return err
		}
		return b.write(ctx, tree, vmlinuz, ev)
	})
}

// inOrder puts base-files first: it makes /bin, /lib and /sbin the links into /usr
// that the files of other packages are to follow.
func inOrder(debs []source.Deb) []source.Deb {
	first := func(d source.Deb) int {
		if d.Package == "base-files" {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(debs), func(x, y source.Deb) int { return first(x) - first(y) })
}

// fetch returns the files of the packages, in the order of debs, and the kernel's.
func (b *building) fetch(ctx context.Context, debs []source.Deb, kernel source.Deb, ev ui.Step) (files []string, image string, err error) {
	var done, total int64
	all := append(slices.Clone(debs), kernel)
	for _, d := range all {
		total += d.Bytes
	}
	for _, d := range all {
		file, err := b.archive.Get(ctx, d)
		if err != nil {
			return nil, "", err
		}
		files = append(files, file)
		done += d.Bytes
		ev.Emit(builder.Progress{Done: done, Total: total, Unit: "bytes"})
	}
	return files[:len(debs)], files[len(debs)], nil
}

// tree is the root.
func (b *building) tree(ctx context.Context, files []string) (*rootfs.Tree, error) {
	tree := rootfs.New()
	for i, file := range files {
		archive := filepath.Join(b.work, fmt.Sprintf("%03d.tar", i))
		if err := unpack(ctx, file, archive); err != nil {
			return nil, err
		}
		if err := tree.AddTar(archive, "/"); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	text, err := boot.Encode()
	if err != nil {
		return nil, err
	}
	if _, err := tree.Resolve(boot.Exec); err != nil {
		return nil, fmt.Errorf("there is no %s in its packages: %w", boot.Exec, err)
	}
	// The console is for the kernel, which opens it before /init has mounted a /dev.
	return tree, errors.Join(tree.File("/init", 0o755, b.Init), tree.File(guest.BootPath, 0o644, text),
		tree.Device("/dev/console", rootfs.CharDevice, 0o600, 5, 1))
}

// unpack writes the files of a package as a tar archive.
func unpack(ctx context.Context, deb, archive string) error {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = f, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("dpkg-deb --fsys-tarfile %s: %w: %s", deb, err, strings.TrimSpace(stderr.String()))
	}
	return f.Close()
}

// kernel takes the kernel out of its package.
func (b *building) kernel(ctx context.Context, deb, name string) (string, error) {
	archive := filepath.Join(b.work, "kernel.tar")
	if err := unpack(ctx, deb, archive); err != nil {
		return "", err
	}
	tree := rootfs.New()
	if err := tree.AddTar(archive, "/"); err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(deb), err)
	}
	e, err := tree.Resolve(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(deb), err)
	}
	in, err := e.Open()
	if err != nil {
		return "", err
	}
	defer in.Close()
	file := filepath.Join(b.work, "vmlinuz")
	out, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return "", err
	}
	return file, out.Close()
}

// write packs the root, as a build's is packed.
func (b *building) write(ctx context.Context, tree *rootfs.Tree, kernel string, ev ui.Step) error {
	b.peer.RootBytes = foreign.Bytes(tree)
	data, err := json.Marshal(b.peer)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.out, peerFile), data, 0o644); err != nil {
		return err
	}
	spec := image.Spec{Tree: tree, Kernel: kernel, Cmdline: cmdline, Arch: arch, Root: bundle.Initramfs, Compression: compression, Name: Debian13, MemoryMiB: 512}
	// Most of the time goes where no bytes are counted.
	ev.Emit(builder.Log{Line: "packing it with " + compression})
	_, err = image.Write(ctx, "bundle", spec, b.out, nil)
	return err
}
