// Package rootfs holds a root file system in memory: names, types, modes,
// owners and device numbers, with the contents by reference. Nothing is
// extracted, so neither root privileges nor a file system that can hold what
// the guest's can are needed, and what comes out depends on what went in only:
// not on the umask, the user, the clock or the order of a directory.
//
// Trees come from tar archives, host directories and overlays, and go out as
// tar or as the cpio archive that Linux unpacks as its initramfs.
//
// It does not decide what belongs in a root, compresses nothing, and carries
// neither extended attributes nor times: Linux' cpio format has no place for
// the former, and every time is the epoch.
package rootfs
