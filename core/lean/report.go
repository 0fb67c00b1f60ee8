package lean

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Report is what Apply did.
type Report struct {
	Level    Level      `json:"level"`
	Kept     []Decision `json:"kept"`               // applications, by name
	Dropped  []Decision `json:"dropped"`            // applications, then files by path
	Warnings []string   `json:"warnings,omitempty"` // what to look at, though the release will run
	Emulator string     `json:"emulator,omitempty"` // the path of the one to start
	Started  []string   `json:"started"`            // applications that the boot script starts, by name
}

// Decision is one thing that stayed or went.
type Decision struct {
	Application string   `json:"application,omitempty"` // whose it is; empty for what belongs to none
	Part        bool     `json:"part,omitempty"`        // it is about a part of Application
	Path        string   `json:"path"`                  // absolute, in the tree
	Bytes       int64    `json:"bytes"`                 // what it holds; of what went, what that saved
	Chain       []string `json:"chain,omitempty"`       // of an application that stayed: from what was asked for to itself
	Reason      string   `json:"reason"`
}

// isApplication tells a decision about an application from one about files.
func (d Decision) isApplication() bool { return d.Application != "" && !d.Part }

// Explain says why an application, or what is at a path, is in the image, or
// why it went.
func Explain(r *Report, name string) (string, error) {
	var lines []string
	for _, d := range r.Kept {
		if d.Application == name {
			lines = append(lines, fmt.Sprintf("%s stays (%s in %s): %s", name, size(d.Bytes), d.Path, d.because()))
		}
	}
	for _, d := range r.Dropped {
		switch {
		case d.Path == name, d.Application == name && d.isApplication():
			lines = append(lines, fmt.Sprintf("%s went (%s): %s", d.Path, size(d.Bytes), d.Reason))
		case d.Application == name:
			lines = append(lines, fmt.Sprintf("  without %s (%s): %s", d.Path, size(d.Bytes), d.Reason))
		}
	}
	if len(lines) > 0 {
		return strings.Join(lines, "\n") + "\n", nil
	}
	var names []string
	for _, d := range slices.Concat(r.Kept, r.Dropped) {
		names = append(names, d.Application)
	}
	return "", fmt.Errorf("%s was neither kept nor dropped: no such application or path in the image%s", name, suggest(name, names))
}

// because is the chain and the reason.
func (d Decision) because() string {
	if len(d.Chain) < 2 {
		return d.Reason
	}
	chain := strings.Join(d.Chain, " → ")
	if d.Reason == "" {
		return chain
	}
	return chain + " (" + d.Reason + ")"
}

// size prints bytes with the decimal units that file sizes are given in.
func size(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// Components returns which paths belong to which part of the release, for the
// size report: "otp: kernel", "elixir: logger", "app: hello_world". What is not
// an application's is "release".
func Components(t *rootfs.Tree, rel Release) (map[string][]string, error) {
	parts := map[string][]string{}
	for _, lib := range rel.libraries() {
		for _, dir := range children(t, lib) {
			app, err := readApplication(t, dir.Path)
			if err != nil {
				return nil, err
			}
			if app == nil {
				continue
			}
			from := known().applications[app.name].From
			if from == "" {
				from = "app"
			}
			name := from + ": " + app.name
			parts[name] = append(parts[name], app.dir)
		}
	}
	if releases := path.Join(rel.Dir, "releases"); len(children(t, releases)) > 0 {
		parts["release"] = []string{releases}
	}
	return parts, nil
}
