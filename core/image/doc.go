// Package image writes a machine, a kernel with its root file system, in the
// formats that people run. There is one so far, the bundle (core/bundle): kernel (a
// bzImage; on aarch64 an Image in gzip), the root as an initramfs or as a squashfs
// for a disk, the command line, and a POSIX shell script that starts them in QEMU
// without anything of leanlab's.
//
// Equal inputs give equal bytes, given the same release of the program that packs:
// Packer.Version belongs in the key of whatever caches an image.
//
// It does not build a root, and does not start what it wrote.
package image
