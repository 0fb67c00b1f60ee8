package guest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

// InitFile is /init in the result of InitStep.
const InitFile = "init"

// initFlags compile /init: as small as it gets.
var initFlags = []string{"-Os", "-static", "-Wall", "-Wextra", "-s", "-Wl,--gc-sections", "-ffunction-sections", "-Wl,--build-id=none"}

// InitStep is the step that compiles /init, the same for every strategy. version
// is the compiler's.
func InitStep(id string, def *builder.Definition, version string) builder.Step {
	sum := sha256.Sum256(source)
	return builder.Step{ID: id, Kind: "custom/init", Title: "/init", Inputs: map[string]string{
		"source": hex.EncodeToString(sum[:]), "cc": version, "compiler": cc.MuslCompiler(def.Arch), "flags": strings.Join(initFlags, " ")}}
}

// BuildInit runs the step.
func BuildInit(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	src := filepath.Join(req.Work, "init.c")
	if err := os.WriteFile(src, source, 0o644); err != nil {
		return err
	}
	args := append(initFlags[:len(initFlags):len(initFlags)], "-o", filepath.Join(req.Out, InitFile), "init.c")
	cmd := exec.Command(cc.MuslCompiler(req.Definition.Arch), args...)
	cmd.Dir = req.Work
	return builder.Run(ctx, ev, cmd)
}
