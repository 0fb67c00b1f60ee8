package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

// Probe looks for what the steps use.
func (alpine) Probe(ctx context.Context, def *builder.Definition) ([]builder.Missing, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	needs := slices.Concat(cc.CrossCompiler(def.Arch), cc.Common, cc.HostOTP)
	if c.Kernel == kernelCustom {
		needs = append(needs, cc.Kernel...)
	}
	return cc.Missing(ctx, needs), nil
}

// nativeEnv is for the compilers of NIFs: musl-gcc links them against musl, which
// the VM has. It compiles C, and for the build host only; what another compiler
// links against glibc is refused when the image is made.
func nativeEnv(arch string) map[string]string { return map[string]string{"CC": cc.MuslCompiler(arch)} }

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
