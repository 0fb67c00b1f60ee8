package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

// Probe looks for what the steps use.
func (alpine) Probe(ctx context.Context, def *builder.Definition) ([]builder.Missing, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	needs := slices.Concat(cc.CrossCompiler(def.Arch), cc.Common)
	if !c.bringsRelease(def) {
		needs = append(needs, cc.HostOTP...)
	}
	if c.Kernel == kernelCustom {
		needs = append(needs, cc.Kernel...)
	}
	missing := cc.Missing(ctx, needs)
	if c.container() {
		missing = append(missing, missingEngine(ctx, c.Engine)...)
	}
	return missing, nil
}

// missingEngine says that an engine is not there, and which ones are.
func missingEngine(ctx context.Context, engine string) []builder.Missing {
	if program, err := exec.LookPath(engine); err == nil {
		if engine != engineDocker {
			return nil
		}
		why := missingDaemon(ctx)
		if why == "" {
			return nil
		}
		return []builder.Missing{{What: "docker's daemon", Why: "builds the Dockerfile; " + program + " is there, and says: " + why,
			Remedy: "start it, or name its socket in DOCKER_HOST"}}
	}
	m := builder.Missing{What: engine, Why: "builds the Dockerfile; it was looked for in PATH", Debian: engineDebian[engine], Remedy: "install it"}
	var others []string
	for _, other := range []string{enginePodman, engineBuildah, engineDocker} {
		if _, err := exec.LookPath(other); err == nil && other != engine {
			others = append(others, strconv.Quote(other))
		}
	}
	if len(others) > 0 {
		m.Why += "; engine = " + strings.Join(others, " or ") + " would do here"
	}
	return []builder.Missing{m}
}

// nativeEnv is for the compilers of NIFs: musl-gcc links them against musl, which
// the VM has. It compiles C, and for the build host only; what another compiler
// links against glibc is refused when the image is made.
func nativeEnv(arch string) map[string]string { return map[string]string{"CC": cc.MuslCompiler(arch)} }

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
