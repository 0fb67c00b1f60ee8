package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// stepID is what a step may be called: ids become names of directories.
var stepID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Check holds a plan to the contract: at least one step, ids that are unique,
// needs that stand before those who need them (so that there is no circle),
// sources that are listed, downloads of a step that is needed. The host and buildertest call it.
func (plan *Plan) Check() error {
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
		case strings.ContainsAny(s.Selection, "\n\r"):
			return fmt.Errorf("the selection of source %q is not one line", s.Name)
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
		if s.Downloads != "" && !slices.Contains(s.Needs, s.Downloads) {
			return fmt.Errorf("step %q wants the downloads that step %q lists, and does not need that step", s.ID, s.Downloads)
		}
		steps[s.ID] = true
	}
	return nil
}

// missingNeed tells the two reasons apart for which no earlier step has the id.
func missingNeed(plan *Plan, id, need string) error {
	if slices.ContainsFunc(plan.Steps, func(s Step) bool { return s.ID == need }) {
		return fmt.Errorf("step %q needs step %q, which does not come before it: a circle, or the wrong order", id, need)
	}
	return fmt.Errorf("step %q needs step %q, which is not in the plan", id, need)
}

// Check looks up what a machine refers to, which must lie in the directories of
// req. Links may not lead out of them: the store publishes those and nothing
// else. A kernel and a root filesystem there must be; a toolchain need not. The
// host and buildertest call it.
func (m *Machine) Check(req *BuildRequest) error {
	for _, r := range []struct {
		name     string
		ref      Ref
		dir      bool
		optional bool
	}{
		{name: "kernel", ref: m.Kernel},
		{name: "root filesystem", ref: m.Rootfs},
		{name: "OTP", ref: m.Toolchain.OTP, dir: true, optional: true},
		{name: "Elixir", ref: m.Toolchain.Elixir, dir: true, optional: true},
		{name: "target's OTP", ref: m.Toolchain.Target, dir: true, optional: true},
		{name: "release", ref: m.Release, dir: true, optional: true},
	} {
		if r.optional && r.ref == (Ref{}) {
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

// Check reports why an artifact is not a file below out, links resolved. The
// host and buildertest call it when the step is over.
func (a Artifact) Check(out string) error {
	if err := checkFile(out, a.Path, false); err != nil {
		return fmt.Errorf("artifact %q: %w", a.Name, err)
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

// reason is an error without the path, which stands before it already.
func reason(err error) string {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
