package main

import (
	"context"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

var busyboxNeeds = []cc.Need{
	{Program: "bzip2", Debian: "bzip2", Why: "BusyBox's build packs its help text with it"},
}

// Probe looks for each need.
func (custom) Probe(ctx context.Context, def *builder.Definition) ([]builder.Missing, error) {
	return cc.Missing(ctx, slices.Concat(crossNeeds(def.Arch), cc.Common, cc.HostOTP, cc.Kernel, busyboxNeeds)), nil
}

// crossNeeds are compilers for another architecture than the build host's, and
// what they link into the emulator. Debian's cross compilers look where its
// packages of a foreign architecture put libraries (wiki.debian.org/Multiarch).
func crossNeeds(arch string) []cc.Need {
	triplet := cc.CrossTriplet(arch)
	if triplet == "" {
		return nil
	}
	debianArch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch]
	prefix := strings.ReplaceAll(triplet, "_", "-") // Debian has no _ in names
	return append(cc.CrossCompiler(arch),
		cc.Need{Program: triplet + "-g++", Debian: "g++-" + prefix, Why: "OTP's JIT is C++"},
		cc.Need{Library: "libcrypto.a", Compiler: triplet + "-gcc", Debian: "libssl-dev:" + debianArch, Why: "the VM's crypto is linked against it"},
		cc.Need{Library: "libtinfo.a", Compiler: triplet + "-gcc", Debian: "libncurses-dev:" + debianArch, Why: "the VM's console reads terminal descriptions with it"},
	)
}
