package otp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// Elixir compiles Elixir with an OTP.
type Elixir struct {
	Source string // the source archive
	OTP    string // as made by Host.Build; needs its tools application, whose make(3) compiles Elixir's Erlang part
	Out    string // bin/, lib/*/ebin, VERSION
	Work   string
	Jobs   int
}

// elixirTop is where Elixir is compiled, always and everywhere: its macros quote
// with `location: :keep`, which makes the absolute path of their source a part
// of every module that uses them (elixir_expand.erl; ERL_COMPILER_OPTIONS=
// deterministic does not change that). In a directory of the store, two builds
// would differ.
const elixirTop = "/tmp/leanlab-elixir"

// Build compiles and copies what is needed to run.
func (e Elixir) Build(ctx context.Context, ev builder.Events) error {
	held, err := takeDirectory(ctx, ev, elixirTop)
	if err != nil {
		return fmt.Errorf("%w; Elixir is compiled there, so that its modules are the same on every machine", err)
	}
	defer held.Close()
	defer os.RemoveAll(elixirTop)
	top := filepath.Join(elixirTop, "src")
	if err := source.Unpack(ctx, e.Source, top, source.UnpackOptions{Strip: 1}); err != nil {
		return err
	}
	home := filepath.Join(e.Work, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("make", "-j"+strconv.Itoa(max(e.Jobs, 1)), "compile")
	cmd.Dir = top
	cmd.Env = Toolchain{OTP: e.OTP}.environ(home)
	// The lock is theirs too: it lasts as long as anyone writes there.
	cmd.ExtraFiles = []*os.File{held}
	if err := builder.Run(ctx, ev, cmd); err != nil {
		return err
	}
	return e.install(top)
}

// install copies bin and ebin directories: all that elixir reads at run time.
func (e Elixir) install(top string) error {
	ebins, err := filepath.Glob(filepath.Join(top, "lib", "*", "ebin"))
	if err != nil {
		return err
	}
	if len(ebins) == 0 {
		return fmt.Errorf("%s/lib/*/ebin: nothing was compiled", top)
	}
	for _, dir := range append(ebins, filepath.Join(top, "bin")) {
		rel, err := filepath.Rel(top, dir)
		if err != nil {
			return err
		}
		if err := os.CopyFS(filepath.Join(e.Out, rel), os.DirFS(dir)); err != nil {
			return err
		}
	}
	version, err := os.ReadFile(filepath.Join(top, "VERSION"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.Out, "VERSION"), version, 0o644)
}
