package lean

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/beam"
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
	l.modules = modules
	kept, why, err := l.choose(keep)
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return l.chooseEmulator(kept) },
		func() error { return l.dropApplications(kept) },
		l.dropFiles,
		func() error { return l.writeBoot(kept) },
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
		if inRelease || l.options.Level.includes(LevelClosure) {
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
				l.report.Warnings = append(l.report.Warnings, fmt.Sprintf("%s stays because of %s, though it is of no use in a VM: it %s", name, strings.Join(kept[name], " → "), k.Reason))
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

// dropFiles applies data/files.hcl, and what the tree itself tells of files that
// nothing reads.
func (l *leaning) dropFiles() error {
	if !l.options.Level.includes(LevelStrip) {
		return nil
	}
	return l.tree.Walk(func(e *rootfs.Entry) error {
		reason, err := l.unread(e)
		if err != nil || reason == "" {
			return err
		}
		return l.drop(e.Path, reason)
	})
}

// unread returns why nothing reads e in a VM, or "" if something may.
func (l *leaning) unread(e *rootfs.Entry) (string, error) {
	app, in, rel := l.locate(e.Path)
	if app != "" && linkedIn(l.emulator, app, e.Path) {
		return "this NIF is linked into the emulator, which takes that one first", nil
	}
	if reason := l.consolidated(e.Path, app); reason != "" {
		return reason, nil
	}
	for _, rule := range known().files {
		if rule.In != in || !rule.matches(rel) || !l.options.Level.includes(rule.Level) {
			continue
		}
		ok, err := l.applies(rule, app, e)
		if err != nil {
			return "", err
		}
		if ok {
			l.goneModule(e.Path)
			return rule.Reason, nil
		}
	}
	return "", nil
}

// consolidated tells the one of two files of a protocol that is never loaded:
// mix puts releases/VSN/consolidated in front of the applications in the code
// path (Mix.Tasks.Release, make_boot_scripts).
func (l *leaning) consolidated(name, app string) string {
	module, isModule := strings.CutSuffix(path.Base(name), ".beam")
	dir := path.Join(l.inv.versionDir, "consolidated")
	switch {
	case !isModule || l.modules[module]:
	case path.Dir(name) == dir && l.gone.modules[module]:
		return "a protocol of an application that went"
	case app != "" && path.Dir(name) == path.Join(l.inv.apps[app].dir, "ebin") && l.inv.consolidatedFirst:
		if _, ok := l.tree.Get(path.Join(dir, path.Base(name))); ok {
			return "the consolidated protocol comes before it in the code path"
		}
	}
	return ""
}

// locate says which application a path belongs to, if any, what rules may mean
// it, and its path relative to that.
func (l *leaning) locate(name string) (app, in, rel string) {
	for _, a := range l.inv.apps {
		if rest, ok := strings.CutPrefix(name, a.dir+"/"); ok {
			return a.name, inApplication, rest
		}
	}
	if rest, ok := strings.CutPrefix(name, l.inv.release.Dir+"/"); ok {
		return "", inRelease, rest
	}
	if rest, ok := strings.CutPrefix(name, l.inv.release.root()+"/"); ok {
		return "", inOTP, rest
	}
	return "", inRoot, strings.TrimPrefix(name, "/")
}

// applies tests what a rule asks for beyond the path.
func (l *leaning) applies(rule fileRule, app string, e *rootfs.Entry) (bool, error) {
	if rule.Of != "" && rule.Of != app || rule.Emulator && l.emulator == nil || rule.Static && (l.emulator == nil || !l.emulator.static) {
		return false, nil
	}
	for _, emulator := range l.options.Emulators {
		if within(emulator.Path, e.Path) {
			return false, nil
		}
	}
	module, isModule := strings.CutSuffix(path.Base(e.Path), ".beam")
	if isModule && l.modules[module] {
		return false, nil
	}
	if rule.Text != "" {
		if e.Type != rootfs.Regular {
			return false, nil
		}
		data, err := contents(e)
		if err != nil || !bytes.HasPrefix(data, []byte(rule.Text)) {
			return false, err
		}
	}
	if rule.UnlessImported {
		return l.nobodyImports(rule, module)
	}
	return true, nil
}

// nobodyImports reports whether no module of the release calls one that rule
// takes: then none of those can be reached by name.
func (l *leaning) nobodyImports(rule fileRule, module string) (bool, error) {
	importers, err := l.inv.importersOf(module)
	if err != nil {
		return false, err
	}
	for _, file := range importers {
		_, in, rel := l.locate(file)
		if in != inApplication || !l.compileTime(rule.Of, rel) {
			l.report.Warnings = append(l.report.Warnings, fmt.Sprintf("%s stays: %s calls it", module, file))
			return false, nil
		}
	}
	return true, nil
}

// compileTime reports whether a rule of the same kind takes rel, too.
func (l *leaning) compileTime(of, rel string) bool {
	return slices.ContainsFunc(known().files, func(r fileRule) bool {
		return r.UnlessImported && r.Of == of && r.matches(rel)
	})
}

// importersOf returns the files of the modules that call module.
func (inv *inventory) importersOf(module string) ([]string, error) {
	if inv.imports == nil {
		if err := inv.readImports(); err != nil {
			return nil, err
		}
	}
	return inv.imports[module], nil
}

func (inv *inventory) readImports() error {
	inv.imports = map[string][]string{}
	return inv.tree.Walk(func(e *rootfs.Entry) error {
		if e.Type != rootfs.Regular || !strings.HasSuffix(e.Path, ".beam") {
			return nil
		}
		data, err := contents(e)
		if err != nil {
			return err
		}
		f, err := beam.Parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		calls, err := f.Imports()
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		seen := map[string]bool{}
		for _, c := range calls {
			if !seen[c.Module] {
				seen[c.Module] = true
				inv.imports[c.Module] = append(inv.imports[c.Module], e.Path)
			}
		}
		return nil
	})
}

// goneModule notes that a module is not to be loaded at boot.
func (l *leaning) goneModule(name string) {
	if module, ok := strings.CutSuffix(path.Base(name), ".beam"); ok {
		l.gone.modules[module] = true
	}
}

// writeBoot writes start.boot anew when what it loads has changed.
func (l *leaning) writeBoot(kept closure) error {
	var add []string
	for _, name := range l.inv.names() {
		_, ok := kept[name]
		if _, inRelease := l.inv.modes[name]; ok && !inRelease && l.options.Level.includes(LevelClosure) {
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

// drop removes name and reports it.
func (l *leaning) drop(name, reason string) error {
	l.taken(name, bytesBelow(l.tree, name), reason)
	return l.tree.Remove(name)
}

// taken reports what went: name, or bytes from the inside of files there.
func (l *leaning) taken(name string, bytes int64, reason string) {
	app, _, _ := l.locate(name)
	l.report.Dropped = append(l.report.Dropped, Decision{Application: app, Part: app != "", Path: name, Bytes: bytes, Reason: reason})
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
