// Package foreign makes root file systems that bring no kernel ready to boot: OCI
// and docker archives, OCI layouts, tar archives.
//
// A container image runs what its configuration says, as a container engine would
// start it, under our /init. A root with a boot file of ours runs that, and any
// other root its own init, as process 1. What comes out is an initramfs, kept in
// the store.
//
// It boots nothing, and it is no container engine: no volumes, no health checks, no
// signals but SIGTERM, no supplementary groups.
package foreign
