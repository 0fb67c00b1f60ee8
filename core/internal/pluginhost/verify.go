package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// stepID is what a step may be called: ids become names of directories.
var stepID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// checkPlan holds a plan to the contract: at least one step, ids that are
// unique, needs that stand before those who need them (so that there is no
// circle), sources that are listed.
func checkPlan(plan *builder.Plan) error {
	if len(plan.Steps) == 0 {
		return errors.New("the plan has no steps, so nothing would return a machine")
	}
	sources := make(map[string]bool)
	for _, s := range plan.Sources {
		switch {
		case s.Name == "":
			return errors.New("the plan has a source without a name")
		case sources[s.Name]:
			return fmt.Errorf("the plan lists source %q twice", s.Name)
		}
		sources[s.Name] = true
	}
	steps := make(map[string]bool)
	for _, s := range plan.Steps {
		switch {
		case !stepID.MatchString(s.ID):
			return fmt.Errorf("the plan's step %q has a bad id: letters, digits, '.', '_' and '-', at most 64", s.ID)
		case steps[s.ID]:
			return fmt.Errorf("the plan has two steps %q", s.ID)
		}
		for _, need := range s.Needs {
			if !steps[need] {
				return missingNeed(plan, s.ID, need)
			}
		}
		for _, source := range s.Sources {
			if !sources[source] {
				return fmt.Errorf("step %q reads source %q, which the plan does not list", s.ID, source)
			}
		}
		steps[s.ID] = true
	}
	return nil
}

// missingNeed tells the two reasons apart for which no earlier step has the id.
func missingNeed(plan *builder.Plan, id, need string) error {
	if slices.ContainsFunc(plan.Steps, func(s builder.Step) bool { return s.ID == need }) {
		return fmt.Errorf("step %q needs step %q, which does not come before it: a circle, or the wrong order", id, need)
	}
	return fmt.Errorf("step %q needs step %q, which is not in the plan", id, need)
}

// checkMachine looks up what a machine refers to. Links may not lead out of a
// step's directory: the store publishes that and nothing else.
func checkMachine(m *builder.Machine, req *builder.BuildRequest) error {
	for _, r := range []struct {
		name     string
		ref      builder.Ref
		dir      bool
		optional bool
	}{
		{name: "kernel", ref: m.Kernel},
		{name: "root filesystem", ref: m.Rootfs},
		{name: "OTP", ref: m.Toolchain.OTP, dir: true, optional: true},
		{name: "Elixir", ref: m.Toolchain.Elixir, dir: true, optional: true},
	} {
		if r.optional && r.ref == (builder.Ref{}) {
			continue
		}
		dir, ok := req.Needs[r.ref.Step]
		if r.ref.Step == req.Step {
			dir, ok = req.Out, true
		}
		if !ok {
			return fmt.Errorf("the machine's %s refers to step %q, which step %q does not need", r.name, r.ref.Step, req.Step)
		}
		if err := checkFile(dir, r.ref.Path, r.dir); err != nil {
			return fmt.Errorf("the machine's %s: %w", r.name, err)
		}
	}
	return nil
}

// checkFile reports why path below dir is not the regular file, or directory,
// that it should be.
func checkFile(dir, path string, wantDir bool) error {
	if !filepath.IsLocal(path) {
		return fmt.Errorf("path %q is outside of its directory", path)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Stat(path)
	switch {
	case err != nil:
		// The error of os.Root for a link that leads out says so.
		return fmt.Errorf("path %q: %s", path, reason(err))
	case wantDir && !info.IsDir():
		return fmt.Errorf("path %q is no directory", path)
	case !wantDir && !info.Mode().IsRegular():
		return fmt.Errorf("path %q is no regular file", path)
	}
	return nil
}

// maxArtifacts bounds what the host remembers of one step.
const maxArtifacts = 10_000

// watch passes on a step's events and looks at them.
type watch struct {
	events builder.Events
	log    *logbook
	reject func(cause error) // ends the step

	mu        sync.Mutex
	artifacts []string
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
	w.artifacts = append(w.artifacts, a.Path)
	return nil
}

// checkArtifacts looks the artifacts up when the step is over: only then must
// they be there.
func (w *watch) checkArtifacts(out string) error {
	for _, path := range w.artifacts {
		if err := checkFile(out, path, false); err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
	}
	return nil
}
