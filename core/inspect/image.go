package inspect

import "github.com/somebloke1/elixir-lean-lab/core/rootfs"

// Image is what an image holds. The parts of Stored and Rest and the Kernel
// add up to Bytes.
type Image struct {
	Path        string // as it was opened
	Format      string // "bundle", "kernel", "cpio", "tar", "docker", "oci", "ext4", "squashfs", "erofs", "qcow2", "disk"
	Compression string // of the root file system: "", "gzip", "xz", "zstd", "lz4", "lzma", "deflate"; several with ", " between
	Bytes       int64  // on disk

	// Initrd is the file that holds the root, and nothing else, as a cpio archive;
	// empty where there is none.
	Initrd string

	Kernel *Kernel // nil when there is none beside or in the root

	// Tree is the root file system; its contents can be read until Close. Paths are
	// those of the running system.
	Tree *rootfs.Tree

	// Stored is, by path of a regular file, what the image would be smaller by
	// without its contents, as far as the format tells: blocks of a file system,
	// and of a compressed stream the share of each compressed block.
	Stored map[string]int64

	// Rest is what belongs to no file: "file system structures", "partition table",
	// "free space", "headers", by name.
	Rest map[string]int64

	close []func() error
}

// Kernel is a Linux kernel image.
type Kernel struct {
	Path    string // in the image, or of the file beside it
	Bytes   int64
	Version string // as the image says itself, such as "6.12.107"; empty when it does not
}

// Limits bound what reading an image may take.
type Limits struct {
	Files    int   // in the tree
	Unpacked int64 // bytes of contents
}

// DefaultLimits are far above any image that boots, and far below what a bomb
// wants.
var DefaultLimits = Limits{Files: 2_000_000, Unpacked: 64 << 30}
