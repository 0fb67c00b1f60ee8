// Package beam reads and writes BEAM files: the compiled form of an Erlang or
// Elixir module.
//
// A BEAM file is an IFF form: "FOR1", the form's size, "BEAM", then chunks of a
// four-character id, a size and data padded to four bytes. All numbers are
// big-endian 32-bit. The authority is the loader (OTP
// erts/emulator/beam/beam_file.c); what writes the files is
// lib/compiler/src/beam_asm.erl, and what strips them lib/stdlib/src/beam_lib.erl.
//
// What it reads may have been written by anyone: every parser is bounded by its
// input, and a file that is compressed as a whole is expanded only up to
// MaxSize.
//
// Package beam does not decode instructions, literals or debug information, and
// does not know which modules a program needs.
package beam
