package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Configure returns the command that edits the strategy's configuration with
// tool, on the terminal that the caller gives it. Its build directory is
// build/configure/<vm>, which stays for the next time.
func (e *Engine) Configure(ctx context.Context, tool string) (*exec.Cmd, error) {
	if err := e.prepare(ctx); err != nil {
		return nil, err
	}
	defer e.Close()
	if !slices.Contains(e.desc.Capabilities, builder.CapabilityConfigure) {
		return nil, fmt.Errorf("strategy %q has nothing to configure", e.VM.Strategy)
	}
	if err := e.checkHost(ctx); err != nil {
		return nil, err
	}
	work := filepath.Join(e.Dir, "build", "configure", e.VM.Name)
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	req := &builder.ConfigureRequest{Definition: e.def, Tool: tool, Work: work, Jobs: jobs(), Sources: map[string]builder.FetchedSource{}}
	if err := e.fetch(ctx); err != nil {
		return nil, err
	}
	for _, s := range e.plan.Sources {
		fetched, err := e.fetched(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		req.Sources[s.Name] = fetched
	}
	req.Needs, req.Downloads = map[string]string{}, e.Store.DownloadsDir(e.VM.Strategy)
	for _, s := range e.plan.Steps {
		if entry, ok := e.Store.Lookup(e.storeStep(s).Key()); ok {
			req.Needs[s.ID] = entry.Dir
		}
	}
	return builder.ConfigureCommand(e.pluginPath, req)
}
