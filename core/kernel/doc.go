// Package kernel builds projects that are configured with Kconfig and made with
// Kbuild: the Linux kernel, and BusyBox, which took both from it.
//
// A configuration is a base (tinyconfig, allnoconfig) and a list of fragments.
// What no fragment asks for stays off. After make has resolved the
// dependencies, every symbol that a fragment names is compared with the result
// (Check): kconfig itself drops a symbol whose dependencies are not met without
// a word. The reason is read from the project's own Kconfig files, so a dropped
// symbol is reported with its fragment, line and unmet dependency.
//
// Edits made in menuconfig go back into the fragments they belong to (Fold).
//
// It does not fetch or unpack sources, does not apply patches, and does not
// evaluate a configuration itself: the project's own conf does that, and our
// reading of Kconfig only explains what conf did.
package kernel
