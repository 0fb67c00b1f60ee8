package pluginhost

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// maxArtifacts bounds what the host remembers of one step.
const maxArtifacts = 10_000

// watch passes on a step's events and looks at them.
type watch struct {
	events builder.Events
	log    *logbook
	reject func(cause error) // ends the step

	mu        sync.Mutex
	artifacts []builder.Artifact
}

func (w *watch) Emit(e builder.Event) {
	switch e := e.(type) {
	case builder.Log:
		w.log.note(e.Line)
	case builder.Artifact:
		if err := w.artifact(e); err != nil {
			w.reject(err)
			return
		}
	}
	w.events.Emit(e)
}

func (w *watch) artifact(a builder.Artifact) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !filepath.IsLocal(a.Path) {
		return fmt.Errorf("artifact %q: path %q is outside of its directory", a.Name, a.Path)
	}
	if len(w.artifacts) == maxArtifacts {
		return fmt.Errorf("it named more than %d artifacts", maxArtifacts)
	}
	w.artifacts = append(w.artifacts, a)
	return nil
}

// checkArtifacts looks the artifacts up when the step is over: only then must
// they be there.
func (w *watch) checkArtifacts(out string) error {
	for _, a := range w.artifacts {
		if err := a.Check(out); err != nil {
			return err
		}
	}
	return nil
}
