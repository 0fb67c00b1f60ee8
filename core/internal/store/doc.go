// Package store keeps the results of build steps, and is the one place that
// knows where leanlab's data lies.
//
// A result is a directory tree, found again under its key: the digest of
// everything that can change it (Step.Key). Below the store's directory:
//
//	format         the version of this layout
//	entries/KK/KEY entry.json (what it was made from and what it looks like) and out/, the result
//	tmp/SHORT      a step being built: entry/ and work/; alive while locks/SHORT is locked
//	locks/SHORT    flock(2) of the process that builds or removes SHORT, the first digits of its key
//	damaged/       entries that no longer looked as they did when published
//	history/       what each step of each VM was last made from, for Why
//	digests/       digests of files by their stat data, so that unchanged ones are not read again
//	work/ID        a work directory that outlives the builds in it, for one kind of
//	               step of one VM of one project (Step.Keep); its builder is locks/work-ID
//	work/ID.json   whose it is
//	downloads/     files that a strategy's build system wants, by strategy
//	sources/ logs/ for core/source and core/internal/ui
//
// # Killed at any moment
//
// A step is built under tmp/ and becomes an entry by one rename, after what it
// wrote and entry.json have reached the disk; so an entry is whole or not
// there. Locks and claims on entries in use are flock(2)s, which the kernel
// releases with the process, however it ends. What a dead process left under
// tmp/ is removed by the next Open; what a live one has there is left alone,
// because its lock is held. A kept work directory is as its killed build left it:
// whoever asked for it has to tell good from half-made.
//
// # Published trees stay writable
//
// Permissions of a result are left as the step made them. They may be copied
// into images, tools that copy a tree and then edit the copy stumble over
// read-only files, `rm -r` of the cache should work, and root ignores them.
// Instead every Lookup compares the tree's names, types, permissions, sizes and
// modification times with what was published. Where they differ (somebody
// wrote there; or the cache was copied without its times) the contents are
// digested and decide: an entry whose contents changed is not used, but moved
// to damaged/ and built again.
//
// # Limits
//
// Local file systems only: NFS and SMB give neither the lock nor the rename
// semantics that this rests on, and Open refuses them. A result must not hold
// its own absolute path, since it is built in one place and published in
// another. The store does not know what a step does, nor in which order steps
// run.
package store
