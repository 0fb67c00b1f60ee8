package lean

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// closure maps each application that stays to the chain that keeps it: from a
// root to itself.
type closure map[string][]string

// madeFor is why the release's own applications stay.
const madeFor = "it is what the release was made for"

// rootReason says why a chain begins where it does.
type rootReason map[string]string

// roots returns the applications that are there for their own sake: those that
// no other in the release lists, unless mix release adds them to every release.
func (inv *inventory) roots() []string {
	listed := map[string]bool{}
	for name := range inv.modes {
		app := inv.apps[name]
		if app == nil {
			continue
		}
		for _, dep := range slices.Concat(app.requires, app.included) {
			listed[dep] = true
		}
	}
	var roots []string
	for _, name := range inv.names() {
		m, inRelease := inv.modes[name]
		if !inRelease || listed[name] || addedByMix(name, m) {
			continue
		}
		roots = append(roots, name)
	}
	return roots
}

func addedByMix(name string, m mode) bool {
	switch known().applications[name].Mix {
	case "started":
		return true // mix cannot be told from a user who asks for the same
	case "none":
		return m == modeNone
	}
	return false
}

// close follows applications and included_applications from the roots, from
// what the user keeps and from what every release needs. optional_applications
// are not followed: they stay when something else needs them.
func (inv *inventory) close(keep []string) (closure, rootReason, error) {
	kept, why := closure{}, rootReason{}
	var queue []string
	start := func(name, reason string) {
		if _, seen := kept[name]; !seen && inv.apps[name] != nil {
			kept[name], why[name] = []string{name}, reason
			queue = append(queue, name)
		}
	}
	for _, name := range inv.roots() {
		start(name, madeFor)
	}
	for _, name := range keep {
		start(name, "lean.keep names it")
	}
	if len(queue) == 0 {
		return nil, nil, fmt.Errorf("%s: no application of its own is in the boot script: name those to keep in lean { keep = [...] }", inv.versionDir)
	}
	if err := inv.follow(kept, queue); err != nil {
		return nil, nil, err
	}
	// Last, so that a chain from the release explains more of them.
	queue = nil
	for _, name := range inv.names() {
		if _, inRelease := inv.modes[name]; inRelease && known().applications[name].Keep == keepAlways {
			start(name, known().applications[name].Reason)
		}
	}
	if err := inv.follow(kept, queue); err != nil {
		return nil, nil, err
	}
	return kept, why, nil
}

// follow adds what the applications in the queue depend on, nearest first.
func (inv *inventory) follow(kept closure, queue []string) error {
	for len(queue) > 0 {
		app := inv.apps[queue[0]]
		queue = queue[1:]
		for _, dep := range slices.Concat(app.requires, app.included) {
			if _, seen := kept[dep]; seen || app.optional[dep] {
				continue
			}
			if inv.apps[dep] == nil {
				return fmt.Errorf("%s lists %s among its applications (%s), but it is not in the tree: the release would not start", app.name, dep, path.Join(app.dir, "ebin", app.name+".app"))
			}
			kept[dep] = append(slices.Clone(kept[app.name]), dep)
			queue = append(queue, dep)
		}
	}
	return nil
}

// keepers splits lean.keep into applications and modules; a kept module keeps
// its application.
func (inv *inventory) keepers(keep []string) (apps []string, modules map[string]bool, err error) {
	owner := map[string]string{}
	for name, app := range inv.apps {
		for _, m := range app.modules {
			owner[m] = name
		}
	}
	modules = map[string]bool{}
	for _, name := range keep {
		if inv.apps[name] != nil {
			apps = append(apps, name)
			continue
		}
		module := name
		if _, ok := owner[module]; !ok {
			module = "Elixir." + name
		}
		app, ok := owner[module]
		if !ok {
			return nil, nil, fmt.Errorf("lean.keep: there is no application or module %s in the tree%s", name, suggest(name, inv.names()))
		}
		modules[module] = true
		apps = append(apps, app)
	}
	return apps, modules, nil
}

// suggest names the known name that is nearest.
func suggest(name string, known []string) string {
	best, distance := "", 1+len(name)/2
	for _, k := range known {
		if d := levenshtein.Distance(name, k, nil); d < distance || strings.HasPrefix(k, name) && best == "" {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}
