// Package handover gives a VM another boot file than stands in its image, which
// stays as it is (docs/architecture.md, "What `leanlab run` tells it"): in a second
// archive behind an initramfs, or on a disk of its own beside a root that is on one.
//
// It does not say what is to be in the file.
package handover
