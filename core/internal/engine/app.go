package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/otp"
)

// What the app step publishes.
const (
	releaseDir   = "release"
	releasedFile = "release.json"
)

// appResult is the published release.
type appResult struct {
	otp.Released
	entry *store.Entry
}

func (r *appResult) dir() string { return filepath.Join(r.entry.Dir, releaseDir) }

// buildApp compiles the app's release with the machine's toolchain.
func (e *Engine) buildApp(ctx context.Context, m *stepResults) (*appResult, error) {
	s, err := e.appStep(m)
	if err != nil {
		return nil, err
	}
	entry, err := e.step(ctx, e.appTitle(), s, func(ctx context.Context, out, work string, ev ui.Step) error {
		rel := otp.Release{
			App: e.appDir(), Console: e.VM.Lean.Keep,
			Toolchain: otp.Toolchain{OTP: m.path(m.Toolchain.OTP), Elixir: m.path(m.Toolchain.Elixir), Env: m.Toolchain.Env},
			Out:       filepath.Join(out, releaseDir), Work: work,
		}
		if e.VM.App != nil {
			rel.Name, rel.Console = e.VM.App.Release, nil
		}
		released, err := rel.Build(ctx, ev)
		if err != nil {
			return err
		}
		data, err := json.Marshal(released)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, releasedFile), data, 0o644)
	})
	if err != nil {
		return nil, err
	}
	r := &appResult{entry: entry}
	path := filepath.Join(entry.Dir, releasedFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &r.Released); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// appStep depends on the app's sources and on the toolchain, not on the kernel.
func (e *Engine) appStep(m *stepResults) (store.Step, error) {
	inputs := store.Inputs{
		"otp":    m.entries[m.Toolchain.OTP.Step].Key,
		"elixir": m.entries[m.Toolchain.Elixir.Step].Key,
		"recipe": "1",
	}
	for name, value := range m.Toolchain.Env {
		inputs["env "+name] = value
	}
	if e.VM.App == nil {
		inputs["console"] = strings.Join(e.VM.Lean.Keep, " ")
		return store.Step{Kind: "app", Inputs: inputs}, nil
	}
	digest, err := e.Store.DigestTree(e.appDir(), notSource)
	if err != nil {
		return store.Step{}, fmt.Errorf("app.path %s: %w", e.appDir(), err)
	}
	inputs["app"] = digest
	inputs["release"] = e.VM.App.Release
	return store.Step{Kind: "app", Inputs: inputs}, nil
}

func (e *Engine) appTitle() string {
	if e.VM.App == nil {
		return "iex console"
	}
	return "release of " + e.VM.App.Path
}

// appDir is the Mix project's absolute directory; empty for a console.
func (e *Engine) appDir() string {
	switch {
	case e.VM.App == nil:
		return ""
	case filepath.IsAbs(e.VM.App.Path):
		return filepath.Clean(e.VM.App.Path)
	}
	return filepath.Join(e.Dir, e.VM.App.Path)
}

// notSource are the parts of a project's directory that a release does not come
// from: what tools make, and what editors and version control keep.
func notSource(rel string, d fs.DirEntry) bool {
	made := []string{"_build", "cover", "doc", ".git", ".elixir_ls", ".lexical", "node_modules", "erl_crash.dump"}
	return slices.Contains(made, d.Name())
}
