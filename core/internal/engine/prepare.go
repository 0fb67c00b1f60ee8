package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/pluginhost"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// DiagnosticsError carries findings about the definition.
type DiagnosticsError struct{ Diagnostics hcl.Diagnostics }

func (e *DiagnosticsError) Error() string { return e.Diagnostics.Error() }
func (e *DiagnosticsError) Unwrap() error { return ErrDiagnostics }

// Validate starts the strategy's plugin and checks the definition with it.
func (e *Engine) Validate(ctx context.Context) error {
	if err := e.startPlugin(ctx); err != nil {
		return err
	}
	config, diags := e.Definitions.DecodeConfig(e.VM, e.desc.Schema)
	if diags.HasErrors() {
		return &DiagnosticsError{diags}
	}
	diags = append(diags, e.Definitions.CheckApp(e.VM)...)
	if !slices.Contains(e.desc.Arches, e.VM.Arch) {
		diags = append(diags, e.Definitions.At(e.VM, []string{"arch"}, "Architecture not supported by the strategy",
			fmt.Sprintf("The %s builder builds for %s.", e.VM.Strategy, strings.Join(e.desc.Arches, ", "))))
	}
	e.def = e.VM.ForPlugin(e.Dir, config)
	found, err := e.plugin.Validate(ctx, e.def)
	if err != nil {
		return err
	}
	for _, d := range found {
		diags = append(diags, e.Definitions.Locate(e.VM, d))
	}
	if diags.HasErrors() {
		return &DiagnosticsError{diags}
	}
	for _, d := range diags {
		e.UI.Message("warning", d.Error())
	}
	return nil
}

func (e *Engine) startPlugin(ctx context.Context) error {
	if e.plugin != nil {
		return nil
	}
	found, broken := pluginhost.Discover(e.PluginDirs)
	for _, err := range broken {
		e.UI.Message("warning", err.Error())
	}
	path, ok := found[e.VM.Strategy]
	if !ok {
		known := make([]string, 0, len(found))
		for name := range found {
			known = append(known, name)
		}
		slices.Sort(known)
		return &DiagnosticsError{hcl.Diagnostics{e.Definitions.UnknownStrategy(e.VM, known)}}
	}
	p, err := pluginhost.Start(ctx, path, pluginhost.Options{Log: e.PluginLog})
	if err != nil {
		return err
	}
	e.plugin, e.pluginPath = p, path
	e.desc = p.Describe()
	return nil
}

// prepare validates, plans and opens the sources.
func (e *Engine) prepare(ctx context.Context) error {
	if err := e.Validate(ctx); err != nil {
		return err
	}
	plan, err := e.plugin.Plan(ctx, e.def)
	if err != nil {
		// A plan asks the compiler for its version: without one, say what is
		// missing in all, or install it.
		if err := e.checkHost(ctx); err != nil {
			return err
		}
		if plan, err = e.plugin.Plan(ctx, e.def); err != nil {
			return err
		}
	}
	e.plan = plan
	e.graph = map[string]builder.Step{}
	for _, s := range plan.Steps {
		e.graph[s.ID] = s
	}
	if err := e.digestAppForSteps(); err != nil {
		return err
	}
	return e.openSources()
}

// openSources reads the lock file.
func (e *Engine) openSources() error {
	lock, err := source.LoadLock(e.LockPath)
	if err != nil {
		return err
	}
	e.lock = lock
	e.releases = map[string]source.Release{}
	e.sources = source.New(source.Options{
		Dir: e.Store.SourcesDir(), Mirror: e.Mirror, Suite: e.Suite, Offline: e.Offline, Lock: lock,
		Progress: e.sourceProgress,
		Logf:     func(format string, args ...any) { e.UI.Message("note", fmt.Sprintf(format, args...)) },
	})
	return nil
}
