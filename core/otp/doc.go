// Package otp makes what Elixir needs from source: an OTP for the build host,
// Elixir compiled with it, the emulators that go into a VM, and the release of
// an app.
//
// Host OTP and target emulator are built apart, as a cross build does (OTP
// HOWTO/INSTALL-CROSS.md): the host's is dynamic, with the JIT and every NIF,
// and compiles Elixir and the app; the target's is only the emulator and its
// helper programs, linked as the definition asks. Beams are the same for both,
// so a release compiled by the one runs on the other, and changing the
// emulator does not compile a library again.
//
// Package otp does not decide what an image keeps (see package lean), fetches
// nothing and caches nothing.
package otp
