// Package source finds, fetches and verifies the archives that a build starts
// from, and unpacks them.
//
// A definition names a series ("erlang 27"); Get turns it into one exact
// archive with a SHA-256 digest, a Release. Origins are tried in this order:
//
//  1. mirror: a directory or URL that the user names and AddToMirror filled;
//  2. upstream: the release that upstream.go lists, with a digest that was read
//     from a public package recipe;
//  3. Debian's source archive, through the host's apt: apt checks the signature
//     chain (Release file, index, digest), and the archive is fetched here and
//     checked against the digest apt vouches for.
//
// Every origin yields a digest before the archive is fetched, and no archive
// leaves this package that does not have it. What was used is recorded in a
// Lock; a locked request accepts that digest only, from whichever origin has it.
//
// On disk, below Options.Dir:
//
//	<sha256>/<file>        verified archives, read-only, published by rename
//	partial/<sha256>.part  a download under way or interrupted; continued later
//	partial/<sha256>.from  the URL and validator of the .part, for If-Range
//	partial/<sha256>.lock  flock(2): one process at a time fetches a digest
//	apt/<suite>/           apt's private configuration and lists
//
// Anything here may be killed at any moment: the next run continues.
//
// Not here: patches, version control checkouts, choosing a series, and building.
package source
