package lean

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/beam"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

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
