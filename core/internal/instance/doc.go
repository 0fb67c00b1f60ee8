// Package instance is what is known of VMs that were started: a directory for each,
// with its record, its console and its sockets, which survives the process that
// started it.
//
// It starts no VM: core/vm does that.
package instance
