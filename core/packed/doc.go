// Package packed reads compressed streams, and says what each stretch of what
// is in them takes: gzip (RFC 1952), xz (The .xz File Format 1.2.1), zstd (RFC
// 8878) and lz4, in frames and in the legacy form that Linux uses.
//
// Streams are hostile until they are read: a decoder's window is bounded, and
// so is by the caller's writer what comes out. It compresses nothing.
package packed
