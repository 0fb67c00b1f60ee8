// Package inspect reads images: which files are in one, and what each takes of
// it, whoever made it. It boots nothing and judges nothing.
//
// It reads what Linux boots from as Linux does: initrds, tar archives, container
// images, disks with their partitions, and the file systems ext4, squashfs and
// erofs. It does not replay a journal, follow a qcow2's backing file, or read
// extended attributes, encrypted contents, and what of an erofs is on other
// devices or needs 48-bit block numbers: where that would matter, the error says
// so.
//
// An image is hostile until it is read: every length in it is checked against
// what is left, links are data, and contents are unpacked no further than Limits.
package inspect
