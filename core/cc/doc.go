// Package cc knows the build host's C compilers: which compiles for an
// architecture, where it finds a library, and what is missing of the programs
// and libraries that a step uses.
//
// It does not compile, and does not install what is missing.
package cc
