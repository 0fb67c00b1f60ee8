package lean

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Options say how lean a tree shall be.
type Options struct {
	Level Level
	// Keep names applications, and modules, that stay whatever the level. A
	// module is named as in Erlang or in Elixir: "crypto", "Hello.Worker".
	Keep    []string
	Release Release
	// Strip is the path of the target's strip program (binutils); empty: native
	// code keeps its symbols.
	Strip string
	// Emulators are those in the tree, of which the smallest that serves the
	// release stays.
	Emulators []Emulator
}

// leaning is one run of Apply.
type leaning struct {
	tree     *rootfs.Tree
	options  Options
	inv      *inventory
	report   *Report
	modules  map[string]bool // that lean.keep names
	asked    closure         // the applications that it names, and what they depend on
	gone     cut
	emulator *candidate // the one that stays; nil when the caller gave none
}

// Apply takes from t what the release does not need, changes its boot script
// accordingly and says what it did. On error t is half done: throw it away.
func Apply(ctx context.Context, t *rootfs.Tree, o Options) (*Report, error) {
	if err := o.Level.check(); err != nil {
		return nil, err
	}
	o.Release.Dir = path.Clean(o.Release.Dir)
	inv, err := readInventory(t, o.Release)
	if err != nil {
		return nil, err
	}
	l := &leaning{
		tree: t, options: o, inv: inv, report: &Report{Level: o.Level},
		gone: cut{apps: map[string]bool{}, dirs: map[string]bool{}, modules: map[string]bool{}},
	}
	keep, modules, err := inv.keepers(o.Keep)
	if err != nil {
		return nil, err
	}
	l.modules, l.asked = modules, closure{}
	for _, name := range keep {
		l.asked[name] = []string{name}
	}
	if err := inv.follow(l.asked, keep); err != nil {
		return nil, err
	}
	kept, why, err := l.choose(keep)
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return l.chooseEmulator(kept) },
		func() error { return l.dropApplications(kept) },
		l.dropFiles,
		l.writeBoot,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if o.Level.includes(LevelStrip) {
		if err := l.stripBeams(); err != nil {
			return nil, err
		}
		if o.Strip != "" {
			if err := l.stripELFs(ctx, o.Strip); err != nil {
				return nil, err
			}
		}
	}
	l.reportKept(kept, why)
	return l.report, nil
}

// choose returns the applications that stay. Below LevelClosure that is every
// one; those in the release are told by the mode the boot script gives them.
func (l *leaning) choose(keep []string) (closure, rootReason, error) {
	if l.options.Level.includes(LevelClosure) {
		return l.inv.close(keep)
	}
	kept, why := closure{}, rootReason{}
	for name := range l.inv.apps {
		kept[name] = []string{name}
		why[name] = fmt.Sprintf("level %s takes no application", l.options.Level)
	}
	return kept, why, nil
}

// chooseEmulator drops all emulators but one. An application that is in the
// tree, but neither in the release nor kept, asks for nothing.
func (l *leaning) chooseEmulator(kept closure) error {
	if len(l.options.Emulators) == 0 {
		return nil
	}
	dirs := map[string]string{}
	for name := range kept {
		_, inRelease := l.inv.modes[name]
		if inRelease || l.asked[name] != nil || l.options.Level.includes(LevelClosure) {
			dirs[name] = l.inv.apps[name].dir
		}
	}
	chosen, err := smallestEmulator(l.tree, l.options.Emulators, dirs)
	if err != nil {
		return err
	}
	l.emulator, l.report.Emulator = chosen, chosen.Path
	for _, e := range l.options.Emulators {
		if e.Path == chosen.Path || !l.options.Level.includes(LevelStrip) {
			continue
		}
		if err := l.drop(e.Path, chosen.Path+" is the smallest emulator that serves the release"); err != nil {
			return err
		}
	}
	return nil
}

// dropApplications drops the applications that are not kept, and every version
// but one of those that are.
func (l *leaning) dropApplications(kept closure) error {
	if !l.options.Level.includes(LevelClosure) {
		return nil
	}
	for _, name := range l.inv.names() {
		app := l.inv.apps[name]
		if _, ok := kept[name]; ok {
			if k := known().applications[name]; k.Keep == keepNever {
				l.report.Warnings = append(l.report.Warnings, fmt.Sprintf("%s stays because of %s, though it is of no use in a VM (%s)", name, strings.Join(kept[name], " → "), k.Reason))
			}
			continue
		}
		l.gone.apps[name] = true
		l.gone.dirs[path.Base(app.dir)] = true
		for _, m := range app.modules {
			l.gone.modules[m] = true
		}
		if err := l.dropApplication(app, l.whyNot(name)); err != nil {
			return err
		}
	}
	for _, app := range l.inv.unused {
		if err := l.dropApplication(app, "another version than the release uses"); err != nil {
			return err
		}
	}
	for name := range kept {
		for _, m := range l.inv.apps[name].modules {
			delete(l.gone.modules, m)
		}
	}
	return nil
}

// whyNot says why an application went.
func (l *leaning) whyNot(name string) string {
	k := known().applications[name]
	_, inRelease := l.inv.modes[name]
	what := ""
	if k.Reason != "" {
		what = " (" + k.Reason + ")"
	}
	remedy := fmt.Sprintf("; lean { keep = [%q] } keeps it", name)
	switch {
	case !inRelease:
		return "it is not in the release's boot script, and nothing in the release depends on it" + what + remedy
	case k.Mix != "":
		return "nothing in the release depends on it; mix release adds it to every release" + what + remedy
	}
	return "nothing in the release depends on it" + what + remedy
}

// writeBoot writes start.boot anew when what it loads has changed. What the user
// keeps beyond the release, and what that depends on, comes into the code path.
func (l *leaning) writeBoot() error {
	var add []string
	for _, name := range l.inv.names() {
		if _, inRelease := l.inv.modes[name]; !inRelease && l.asked[name] != nil {
			add = append(add, path.Join(l.inv.apps[name].dir, "ebin"))
		}
	}
	if len(l.gone.apps)+len(l.gone.modules)+len(add) == 0 {
		return nil
	}
	boot, err := l.inv.script.without(l.gone, add).boot()
	if err != nil {
		return fmt.Errorf("%s/start.script: %w", l.inv.versionDir, err)
	}
	name := path.Join(l.inv.versionDir, "start.boot")
	e, err := l.tree.Resolve(name)
	if err != nil {
		return fmt.Errorf("the release's boot file: %w (`mix release` writes it)", err)
	}
	return rewrite(l.tree, e, boot)
}

// dropApplication removes an application and reports it.
func (l *leaning) dropApplication(app *application, reason string) error {
	l.report.Dropped = append(l.report.Dropped, Decision{
		Application: app.name, Path: app.dir, Bytes: bytesBelow(l.tree, app.dir), Reason: reason,
	})
	return l.tree.Remove(app.dir)
}

// reportKept lists the applications that stayed, with what they hold now, and
// puts the report in order.
func (l *leaning) reportKept(kept closure, why rootReason) {
	for _, name := range l.inv.names() {
		chain, ok := kept[name]
		if !ok {
			continue
		}
		if l.inv.modes[name] == modeStarted {
			l.report.Started = append(l.report.Started, name)
		}
		dir := l.inv.apps[name].dir
		l.report.Kept = append(l.report.Kept, Decision{
			Application: name, Path: dir, Bytes: bytesBelow(l.tree, dir), Chain: chain, Reason: whyKept(chain, why[chain[0]]),
		})
	}
	slices.SortStableFunc(l.report.Dropped, func(a, b Decision) int {
		if a.isApplication() == b.isApplication() {
			return strings.Compare(a.Path, b.Path)
		}
		if a.isApplication() {
			return -1
		}
		return 1
	})
}

// whyKept puts into words what the chain alone does not say: what the
// application is for, and why the chain begins where it does.
func whyKept(chain []string, rootReason string) string {
	if len(chain) == 1 {
		return rootReason
	}
	reason := known().applications[chain[len(chain)-1]].Reason
	if rootReason != madeFor {
		reason = strings.TrimPrefix(reason+"; "+chain[0]+": "+rootReason, "; ")
	}
	return reason
}
