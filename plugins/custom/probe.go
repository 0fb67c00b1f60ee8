package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// need is a program or a library of the host that some step uses.
type need struct {
	program string // found on PATH; or
	library string // found by the C compiler
	cc      string // that compiler; empty: gcc
	debian  string
	why     string
}

var needs = []need{
	{program: "make", debian: "make", why: "everything here is driven through make"},
	{program: "gcc", debian: "gcc", why: "compiles the kernel, BusyBox, OTP and /init"},
	{program: "g++", debian: "g++", why: "OTP's JIT is C++"},
	{library: "libc.a", debian: "libc6-dev", why: "BusyBox and /init are linked statically"},
	{program: "musl-gcc", debian: "musl-tools", why: "BusyBox and /init are linked with it: a third of the size"},
	{program: "strip", debian: "binutils", why: "symbols are dropped from what goes into the VM"},
	{program: "perl", debian: "perl", why: "OTP's tables are generated with it"},
	{program: "flex", debian: "flex", why: "the kernel's Kconfig lexer is generated with it"},
	{program: "bison", debian: "bison", why: "the kernel's Kconfig parser is generated with it"},
	{program: "bc", debian: "bc", why: "the kernel's time constants are generated with it"},
	{program: "xz", debian: "xz-utils", why: "source archives and the kernel image are packed with it"},
	{program: "bzip2", debian: "bzip2", why: "BusyBox's build packs its help text with it"},
	{library: "libelf.so", debian: "libelf-dev", why: "the kernel's objtool reads objects with it"},
	{library: "libcrypto.a", debian: "libssl-dev", why: "OTP's crypto is linked against it"},
	{library: "libtinfo.a", debian: "libncurses-dev", why: "the console's line editing reads terminal descriptions with it"},
}

// Probe looks for each need.
func (custom) Probe(ctx context.Context, def *builder.Definition) ([]builder.Missing, error) {
	var missing []builder.Missing
	for _, n := range append(crossNeeds(def.Arch), needs...) {
		if n.present(ctx) {
			continue
		}
		missing = append(missing, builder.Missing{What: n.String(), Why: n.why, Debian: n.debian,
			Remedy: "install your distribution's package that holds it"})
	}
	return missing, nil
}

// crossNeeds are compilers for another architecture than the build host's, and
// what they link into the emulator. Debian's cross compilers look where its
// packages of a foreign architecture put libraries (wiki.debian.org/Multiarch).
func crossNeeds(arch string) []need {
	triplet := crossTriplet(arch)
	if triplet == "" {
		return nil
	}
	debianArch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch]
	prefix := strings.ReplaceAll(triplet, "_", "-") // Debian has no _ in names
	return []need{
		{program: triplet + "-gcc", debian: "gcc-" + prefix, why: "compiles for " + arch},
		{program: triplet + "-g++", debian: "g++-" + prefix, why: "OTP's JIT is C++"},
		{library: "libcrypto.a", cc: triplet + "-gcc", debian: "libssl-dev:" + debianArch, why: "the VM's crypto is linked against it"},
		{library: "libtinfo.a", cc: triplet + "-gcc", debian: "libncurses-dev:" + debianArch, why: "the VM's console reads terminal descriptions with it"},
	}
}

func (n need) String() string {
	if n.cc != "" {
		return n.library + " for " + n.cc
	}
	return n.program + n.library
}

func (n need) present(ctx context.Context) bool {
	if n.program != "" {
		_, err := exec.LookPath(n.program)
		return err == nil
	}
	return libraryPath(ctx, cmp.Or(n.cc, "gcc"), n.library) != ""
}

// libraryPath asks the C compiler where a library is: it answers with a path
// when it finds the file, and with the bare name when it does not.
func libraryPath(ctx context.Context, cc, name string) string {
	out, err := exec.CommandContext(ctx, cc, "-print-file-name="+name).Output()
	if err != nil {
		return ""
	}
	path := strings.TrimSpace(string(out))
	if !filepath.IsAbs(path) {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// buildArch is the build host's architecture in the definition's words.
func buildArch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// crossTriplet is the GNU triplet of the compilers for arch, or empty when the
// host's own compile for it.
func crossTriplet(arch string) string {
	if arch == buildArch() {
		return ""
	}
	return arch + "-linux-gnu"
}

// compiler is the C compiler for arch.
func compiler(arch string) string {
	if t := crossTriplet(arch); t != "" {
		return t + "-gcc"
	}
	return "gcc"
}
