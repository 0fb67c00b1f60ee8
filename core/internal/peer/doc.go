// Package peer builds what an image of ours is compared with: a distribution's own
// kernel, C library, BEAM and Elixir, as the distribution packages them.
//
// debian-13 is a minimal root of Debian 13 (trixie): the packages of priority
// "required" (Debian Policy 2.5: without them a system may not even install
// packages), erlang-base, elixir and what these depend on, without what is only
// recommended; and the kernel that linux-image-cloud-amd64 names. The packages are
// resolved, fetched and verified by apt and unpacked by dpkg-deb, without root.
//
// What that is not: no maintainer script runs, so that /etc/passwd and the like are
// missing; no service manager, udev or login is started. Our /init starts BEAM by
// Debian's own elixir, which prints a line and says that it is ready. That makes
// the peer smaller and faster than an installed Debian; the comparison is of
// kernel, BEAM and Elixir, not of init systems. The kernel's modules are left out:
// none is needed for that, and they would make the peer heavier by more than the
// kernel itself.
package peer
