package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
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
	// OutsideDigests are of Released.Outside, in its order, when it was compiled.
	OutsideDigests []string
	at             string // its directory
	key            string
}

func (r *appResult) dir() string { return r.at }

// buildApp compiles the app's release with the machine's toolchain, unless the
// machine brings the release.
func (e *Engine) buildApp(ctx context.Context, m *stepResults) (*appResult, error) {
	if e.bringsRelease(m) {
		released, err := otp.ReadRelease(m.path(m.Release))
		if err != nil {
			return nil, fmt.Errorf("the release that the machine brings: %w", err)
		}
		e.brought = true
		return &appResult{Released: *released, at: m.path(m.Release), key: m.entries[m.Release.Step].Key}, nil
	}
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
		if m.Toolchain.Target.Step != "" {
			rel.Toolchain.Target = m.path(m.Toolchain.Target)
		}
		if e.VM.App != nil {
			rel.Name, rel.Console = e.VM.App.Release, nil
		}
		released, err := rel.Build(ctx, ev)
		if err != nil {
			return err
		}
		result := appResult{Released: *released}
		if result.OutsideDigests, err = e.digestOutside(released.Outside); err != nil {
			return err
		}
		data, err := json.Marshal(result)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, releasedFile), data, 0o644)
	})
	if err != nil {
		return nil, err
	}
	return readApp(entry)
}

func readApp(entry *store.Entry) (*appResult, error) {
	r := &appResult{at: filepath.Join(entry.Dir, releaseDir), key: entry.Key}
	path := filepath.Join(entry.Dir, releasedFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// bringsRelease says that nothing is compiled: there is no app, or the machine's
// release was made from it.
func (e *Engine) bringsRelease(m *stepResults) bool {
	return m.Release.Step != "" && (e.VM.App == nil || e.graph[m.Release.Step].App)
}

// console says that the VM is an iex prompt.
func (e *Engine) console() bool { return e.VM.App == nil && !e.brought }

// appKey is the key of the release.
func (e *Engine) appKey(m *stepResults) (string, error) {
	if e.bringsRelease(m) {
		return m.entries[m.Release.Step].Key, nil
	}
	s, err := e.appStep(m)
	return s.Key(), err
}

// appStep depends on the app's sources and on the toolchain, not on the kernel.
func (e *Engine) appStep(m *stepResults) (store.Step, error) {
	inputs := store.Inputs{
		"otp":    m.entries[m.Toolchain.OTP.Step].Key,
		"elixir": m.entries[m.Toolchain.Elixir.Step].Key,
		"recipe": "2",
	}
	if target := m.Toolchain.Target; target.Step != "" {
		inputs["target"] = m.entries[target.Step].Key + " " + target.Path
	}
	for name, value := range m.Toolchain.Env {
		inputs["env "+name] = value
	}
	if e.VM.App == nil {
		inputs["console"] = strings.Join(e.VM.Lean.Keep, " ")
		return store.Step{Kind: "app", Scope: e.VM.Name, Inputs: inputs}, nil
	}
	var err error
	if inputs["app"], err = e.digestApp(); err != nil {
		return store.Step{}, err
	}
	inputs["release"] = e.VM.App.Release
	return e.withOutside(store.Step{Kind: "app", Scope: e.VM.Name, Inputs: inputs})
}

// digestApp digests the app's directory.
func (e *Engine) digestApp() (string, error) {
	digest, err := e.Store.DigestTree(e.appDir(), notSource)
	if err != nil {
		return "", fmt.Errorf("app.path %s: %w", e.appDir(), err)
	}
	return digest, nil
}

// digestAppForSteps digests the app's directory for those steps of the plan that
// read it. It is done once: what a step is known by must not change while it runs.
func (e *Engine) digestAppForSteps() (err error) {
	i := slices.IndexFunc(e.plan.Steps, func(s builder.Step) bool { return s.App })
	switch {
	case i < 0:
		return nil
	case e.VM.App == nil:
		return fmt.Errorf("%s: step %q reads the app's directory, and vm %q has no app", e.pluginPath, e.plan.Steps[i].ID, e.VM.Name)
	}
	e.appDigest, err = e.digestApp()
	return err
}

// withOutside adds what the app is compiled from outside its directory to the
// step's inputs. Only Mix knows what that is, and only a build asks Mix, so the
// result of the last one is asked: as long as what it was compiled from is
// unchanged, it is the one. Otherwise the digests become inputs, and the result
// with those inputs, if there is one, is asked in turn.
func (e *Engine) withOutside(s store.Step) (store.Step, error) {
	for {
		entry, ok := e.Store.Lookup(s.Key())
		if !ok {
			return s, nil
		}
		r, err := readApp(entry)
		if err != nil {
			return s, err
		}
		now, err := e.digestOutside(r.Outside)
		if err != nil {
			return s, err
		}
		changed := false
		for i, rel := range r.Outside {
			if name := "outside " + rel; now[i] != r.OutsideDigests[i] && s.Inputs[name] != now[i] {
				s.Inputs[name], changed = now[i], true
			}
		}
		if !changed {
			return s, nil
		}
	}
}

// digestOutside digests paths relative to the app's directory. What is gone has
// the digest "absent"; Mix says what it makes of that.
func (e *Engine) digestOutside(rels []string) ([]string, error) {
	if len(rels) == 0 {
		return nil, nil
	}
	app, err := filepath.EvalSymlinks(e.appDir())
	if err != nil {
		return nil, err
	}
	digests := make([]string, len(rels))
	for i, rel := range rels {
		path := filepath.Join(app, rel)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			digests[i] = "absent"
			continue
		case err == nil && info.IsDir():
			digests[i], err = e.Store.DigestTree(path, notSource)
		case err == nil:
			digests[i], err = e.Store.DigestFile(path)
		}
		if err != nil {
			return nil, fmt.Errorf("app.path %s is compiled from %s: %w", e.VM.App.Path, path, err)
		}
	}
	return digests, nil
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

// notSource leaves out of a project's directory what a release does not come from.
func notSource(_ string, d fs.DirEntry) bool { return builder.NotSource(d.Name()) }
