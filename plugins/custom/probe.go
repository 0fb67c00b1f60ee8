package main

import (
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

// Probe looks for each need. Cross compilers are asked for when the target is
// another architecture.
func (custom) Probe(ctx context.Context, def *builder.Definition) ([]builder.Missing, error) {
	var missing []builder.Missing
	all := needs
	if triplet := crossTriplet(def.Arch); triplet != "" {
		for _, tool := range []string{"gcc", "g++"} {
			all = append(all[:len(all):len(all)], need{program: triplet + "-" + tool, debian: tool + "-" + triplet, why: "compiles for " + def.Arch})
		}
	}
	for _, n := range all {
		if n.present(ctx) {
			continue
		}
		missing = append(missing, builder.Missing{What: n.program + n.library, Why: n.why, Debian: n.debian,
			Remedy: "install your distribution's package that holds it"})
	}
	return missing, nil
}

func (n need) present(ctx context.Context) bool {
	if n.program != "" {
		_, err := exec.LookPath(n.program)
		return err == nil
	}
	return libraryPath(ctx, "gcc", n.library) != ""
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
