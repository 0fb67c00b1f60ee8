package lean

import (
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Release is where a release lies in a tree. Its layout is what mix release
// writes: lib/APP-VSN, releases/VSN/start.boot and start.script.
type Release struct {
	Dir     string // absolute, such as "/srv/hello_world"
	Version string // the directory below releases/; empty where there is one only
	// OTP is what $ROOT stands for in the boot script; its lib/ holds OTP's
	// applications. Empty: Dir, for a release that brings them.
	OTP string
}

func (r Release) root() string {
	if r.OTP == "" {
		return r.Dir
	}
	return r.OTP
}

// libraries are the directories of applications.
func (r Release) libraries() []string {
	libs := []string{path.Join(r.Dir, "lib")}
	if otp := path.Join(r.root(), "lib"); otp != libs[0] {
		libs = append(libs, otp)
	}
	return libs
}

// inventory is what lies in a tree.
type inventory struct {
	tree       *rootfs.Tree
	release    Release
	versionDir string // releases/VSN, absolute
	script     *script
	modes      map[string]mode // of the applications in the boot script
	// consolidatedFirst: the boot script's code path begins with the directory of
	// consolidated protocols.
	consolidatedFirst bool
	apps              map[string]*application // by name
	unused            []*application          // other versions of one of them
	imports           map[string][]string     // module → files of the modules that call it; read on demand
}

// readInventory finds the release's applications and its boot script.
func readInventory(t *rootfs.Tree, rel Release) (*inventory, error) {
	inv := &inventory{tree: t, release: rel, apps: map[string]*application{}}
	if err := inv.readScript(); err != nil {
		return nil, err
	}
	if err := inv.readApps(); err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	for name, app := range inv.apps {
		dirs[path.Base(app.dir)] = name
	}
	inv.modes = inv.script.modes(dirs)
	inv.consolidatedFirst = inv.script.begins("consolidated")
	return inv, nil
}

func (inv *inventory) readScript() error {
	releases := path.Join(inv.release.Dir, "releases")
	if inv.release.Version != "" {
		inv.versionDir = path.Join(releases, inv.release.Version)
	} else {
		var found []string
		for _, e := range children(inv.tree, releases) {
			if _, ok := inv.tree.Get(path.Join(e.Path, "start.script")); ok {
				found = append(found, e.Path)
			}
		}
		if len(found) != 1 {
			return fmt.Errorf("%s: found %d directories with a start.script, want one: assemble the release with `mix release`", releases, len(found))
		}
		inv.versionDir = found[0]
	}
	name := path.Join(inv.versionDir, "start.script")
	data, err := readFile(inv.tree, name)
	if err != nil {
		return fmt.Errorf("the release's boot script: %w (`mix release` writes it)", err)
	}
	if inv.script, err = parseScript(data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readApps finds every application. Of several versions, the one in the boot
// script's paths counts, else the last by name.
func (inv *inventory) readApps() error {
	used := inv.script.dirsOf()
	for _, lib := range inv.release.libraries() {
		for _, dir := range children(inv.tree, lib) {
			app, err := readApplication(inv.tree, dir.Path)
			if err != nil {
				return err
			}
			if app == nil {
				continue
			}
			other, seen := inv.apps[app.name]
			switch {
			case !seen:
				inv.apps[app.name] = app
			case used[path.Base(app.dir)] || !used[path.Base(other.dir)]:
				inv.apps[app.name] = app
				inv.unused = append(inv.unused, other)
			default:
				inv.unused = append(inv.unused, app)
			}
		}
	}
	if len(inv.apps) == 0 {
		return fmt.Errorf("no application (ebin/NAME.app) below %s", strings.Join(inv.release.libraries(), " or "))
	}
	return nil
}

// readApplication reads the application in a directory; nil if there is none.
func readApplication(t *rootfs.Tree, dir string) (*application, error) {
	var app *application
	var modules []string
	for _, e := range children(t, path.Join(dir, "ebin")) {
		base := path.Base(e.Path)
		if module, ok := strings.CutSuffix(base, ".beam"); ok {
			modules = append(modules, module)
		}
		if !strings.HasSuffix(base, ".app") || e.Type != rootfs.Regular {
			continue
		}
		data, err := readFile(t, e.Path)
		if err != nil {
			return nil, err
		}
		if app, err = parseApp(data); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	if app != nil {
		app.dir, app.modules = dir, modules
	}
	return app, nil
}

// names returns the applications' names, sorted.
func (inv *inventory) names() []string {
	names := make([]string, 0, len(inv.apps))
	for name := range inv.apps {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// children returns the entries right below dir, sorted; none if dir is not a
// directory.
func children(t *rootfs.Tree, dir string) []*rootfs.Entry {
	d, err := t.Resolve(dir)
	if err != nil {
		return nil
	}
	var found []*rootfs.Entry
	t.Walk(func(e *rootfs.Entry) error {
		if path.Dir(e.Path) == d.Path && e.Path != "/" {
			found = append(found, e)
		}
		return nil
	})
	return found
}

// readFile returns the contents of a regular file.
func readFile(t *rootfs.Tree, name string) ([]byte, error) {
	e, err := t.Resolve(name)
	if err != nil {
		return nil, err
	}
	return contents(e)
}

func contents(e *rootfs.Entry) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	return data, nil
}

// rewrite gives a regular file other contents.
func rewrite(t *rootfs.Tree, e *rootfs.Entry, data []byte) error {
	uid, gid := e.UID, e.GID
	if err := t.File(e.Path, e.Mode, data); err != nil {
		return err
	}
	if written, ok := t.Get(e.Path); ok {
		written.UID, written.GID = uid, gid
	}
	return nil
}

// bytesBelow is the size of the regular files at and below name.
func bytesBelow(t *rootfs.Tree, name string) int64 {
	var n int64
	t.Walk(func(e *rootfs.Entry) error {
		if within(e.Path, name) {
			n += e.Size()
		}
		return nil
	})
	return n
}

// within reports whether name is dir or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
