package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// squashfsArgs make mksquashfs read an archive and write file. (Its other name for
// that, sqfstar, refuses the compressors' options in release 4.5.1.) Nothing of
// the time or of the host is in the file system: times are 0, and blocks stand in
// the order of the archive however many processors pack them.
//
// Blocks of 128 KiB, by `leanlab bench` of the default VM: with 64 KiB the root is 4 %
// larger and BEAM is ready after 13 % fewer instructions, with 256 KiB 2 % smaller and
// 14 % more. A file's end, which is all of most files, shares its block with others',
// and Linux keeps three such blocks unpacked (SQUASHFS_FRAGMENT_CACHE_SIZE): with
// sixteen it is 9 % fewer instructions for 1.7 MB of RAM, which a disk root is to save.
func squashfsArgs(file string) []string {
	return []string{"-", file, "-tar", "-b", "128K", "-reproducible", "-mkfs-time", "0", "-all-time", "0", "-no-xattrs",
		"-quiet", "-no-progress", "-exit-on-error"}
}

// writeSquashfs writes the tree as a squashfs: the archive goes to the program as
// it is written, so that no root is needed to have owners and devices.
func writeSquashfs(ctx context.Context, spec Spec, p Packer, file string, progress func(done, total int64)) error {
	mode, err := rootMode(spec.Tree)
	if err != nil {
		return err
	}
	archive, to := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeArchive(ctx, spec.Tree, spec.Tree.WriteTar, to, progress)
		to.CloseWithError(err)
		written <- err
	}()
	err = p.run(ctx, spec.Arch, file, func(cmd *exec.Cmd) { cmd.Stdin, cmd.Args = archive, append(cmd.Args, "-root-mode", mode) })
	archive.Close() // a program that ended early leaves the writer behind
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		return werr
	}
	return err
}

// rootMode is the mode of the root directory, of which mksquashfs takes nothing
// from the archive; of its owner, it makes root whatever it is told.
func rootMode(tree *rootfs.Tree) (string, error) {
	root, err := tree.Resolve("/")
	if err != nil {
		return "", err
	}
	if root.UID != 0 || root.GID != 0 {
		return "", fmt.Errorf("the root directory belongs to %d:%d, and in a squashfs it can only be 0:0", root.UID, root.GID)
	}
	return fmt.Sprintf("%o", root.Mode.Perm()), nil
}
