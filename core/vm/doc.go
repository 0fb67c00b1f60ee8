// Package vm runs virtual machines in QEMU, reads what they print, counts the
// instructions they execute, and proves that an image works: it boots, its
// program answers, and it powers off when asked to.
//
// The package knows the marks that the guest's /init writes on the console
// (docs/architecture.md, "The guest") and nothing else about an image: it does
// not build, mount or change one.
//
// A QEMU never outlives the process that launched it.
package vm
