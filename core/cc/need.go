package cc

import (
	"cmp"
	"context"
	"os/exec"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Need is a program or a library of the host that some step uses.
type Need struct {
	Program  string // found on PATH; or
	Library  string // found by the C compiler
	Compiler string // that compiler; empty: gcc
	Debian   string // the package that brings it
	Why      string
}

// Missing lists the needs that the host lacks.
func Missing(ctx context.Context, needs []Need) []builder.Missing {
	var missing []builder.Missing
	for _, n := range needs {
		if n.present(ctx) {
			continue
		}
		missing = append(missing, builder.Missing{What: n.String(), Why: n.Why, Debian: n.Debian,
			Remedy: "install your distribution's package that holds it"})
	}
	return missing
}

func (n Need) String() string {
	if n.Compiler != "" {
		return n.Library + " for " + n.Compiler
	}
	return n.Program + n.Library
}

func (n Need) present(ctx context.Context) bool {
	if n.Program != "" {
		_, err := exec.LookPath(n.Program)
		return err == nil
	}
	return LibraryPath(ctx, cmp.Or(n.Compiler, "gcc"), n.Library) != ""
}

// CrossCompiler is the C compiler for another architecture than the build host's;
// none for its own.
func CrossCompiler(arch string) []Need {
	triplet := CrossTriplet(arch)
	if triplet == "" {
		return nil
	}
	prefix := strings.ReplaceAll(triplet, "_", "-") // Debian has no _ in names
	return []Need{{Program: triplet + "-gcc", Debian: "gcc-" + prefix, Why: "compiles for " + arch}}
}

// What several strategies' steps use, by the step.
var (
	Common = []Need{
		{Program: "make", Debian: "make", Why: "everything here is driven through make"},
		{Program: "gcc", Debian: "gcc", Why: "compiles the kernel, OTP and /init"},
		{Library: "libc.a", Debian: "libc6-dev", Why: "/init is linked statically"},
		{Program: "musl-gcc", Debian: "musl-tools", Why: "/init is linked with it: a third of the size"},
		{Program: "strip", Debian: "binutils", Why: "symbols are dropped from what goes into the VM"},
		{Program: "xz", Debian: "xz-utils", Why: "source archives and the kernel image are packed with it"},
	}
	HostOTP = []Need{
		{Program: "g++", Debian: "g++", Why: "OTP's JIT is C++"},
		{Program: "perl", Debian: "perl", Why: "OTP's tables are generated with it"},
		{Library: "libcrypto.a", Debian: "libssl-dev", Why: "OTP's crypto is linked against it"},
		{Library: "libtinfo.a", Debian: "libncurses-dev", Why: "the console's line editing reads terminal descriptions with it"},
	}
	Kernel = []Need{
		{Program: "flex", Debian: "flex", Why: "the kernel's Kconfig lexer is generated with it"},
		{Program: "bison", Debian: "bison", Why: "the kernel's Kconfig parser is generated with it"},
		{Program: "bc", Debian: "bc", Why: "the kernel's time constants are generated with it"},
		{Library: "libelf.so", Debian: "libelf-dev", Why: "the kernel's objtool reads objects with it"},
	}
)
