// Package bundle says what files a bundle consists of: a directory with a
// kernel, a root file system, the kernel's command line, and a script that
// starts them.
//
// A root is an initramfs, which the kernel unpacks into memory, or a squashfs on
// a disk, which it reads from as needed. The names of the files tell which.
//
// It reads no file but the command line; core/image writes bundles, core/inspect
// reads what is in their files, core/vm boots them.
package bundle
