// Package image writes a machine, a kernel with its root file system, in the
// formats that people run. There is one so far, the bundle: a directory with
// kernel (a bzImage; on aarch64 an Image in gzip), initrd, cmdline, and a POSIX
// shell script that starts them in QEMU without anything of leanlab's.
//
// Equal inputs give equal bytes, given the same release of the compressor:
// CompressorVersion belongs in the key of whatever caches an image.
//
// It does not build a root, and does not start what it wrote.
package image
