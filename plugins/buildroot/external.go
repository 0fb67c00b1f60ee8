package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// external is a BR2_EXTERNAL tree (Buildroot manual, "Keeping customizations
// outside of Buildroot").
type external struct {
	dir  string // absolute
	name string // of external.desc: BR2_EXTERNAL_<name>_PATH
	desc string
}

var (
	nameLine = regexp.MustCompile(`(?m)^name: +(.*)$`)
	descLine = regexp.MustCompile(`(?m)^desc: +(.*)$`)
	nameText = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
)

// openExternal holds a directory to what Buildroot asks of an external tree
// (support/scripts/br2-external), which make would only say later.
func openExternal(dir string) (external, error) {
	e := external{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "external.desc"))
	if err != nil {
		return e, fmt.Errorf("%s is no external tree of Buildroot's: %w", dir, err)
	}
	m := nameLine.FindSubmatch(data)
	if m == nil {
		return e, fmt.Errorf("%s/external.desc has no line `name: NAME`", dir)
	}
	e.name = strings.TrimSpace(string(m[1]))
	if !nameText.MatchString(e.name) {
		return e, fmt.Errorf("%s/external.desc: the name %q has other characters than letters, digits and _", dir, e.name)
	}
	e.desc = e.name
	if m := descLine.FindSubmatch(data); m != nil {
		e.desc = string(m[1])
	}
	for _, file := range []string{"external.mk", "Config.in"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			return e, fmt.Errorf("%s lacks a file that every external tree has, though it may be empty: %w", dir, err)
		}
	}
	if strings.ContainsAny(dir, " :\t\n") {
		return e, fmt.Errorf("%q: Buildroot cannot take a path with spaces or colons", dir)
	}
	return e, nil
}

// pathVariable is what the tree's files call its directory.
func (e external) pathVariable() string { return "BR2_EXTERNAL_" + e.name + "_PATH" }

// packages lists the directories of the tree's packages by name.
func (e external) packages() (map[string]string, error) {
	found := map[string]string{}
	mks, err := filepath.Glob(filepath.Join(e.dir, "package", "*", "*.mk"))
	if err != nil {
		return nil, err
	}
	for _, mk := range mks {
		found[strings.TrimSuffix(filepath.Base(mk), ".mk")] = mk
	}
	return found, nil
}

// clash says why two external trees, or one and Buildroot, do not go together:
// the later definition would silently win, or make would stop with a message
// about one line of generated code.
func clash(trees []external, br *tree) error {
	names := map[string]external{}
	packages := map[string]string{}
	for _, e := range trees {
		if other, taken := names[e.name]; taken {
			return fmt.Errorf("%s and %s are both called %s in their external.desc: give one of them another name", other.dir, e.dir, e.name)
		}
		names[e.name] = e
		own, err := e.packages()
		if err != nil {
			return err
		}
		for name, mk := range own {
			if other, taken := packages[name]; taken {
				return fmt.Errorf("the package %s is in two external trees, %s and %s: give one of them another name", name, other, mk)
			}
			packages[name] = mk
			if br == nil {
				continue
			}
			if theirs := filepath.Join(br.dir, "package", name, name+".mk"); exists(theirs) {
				return fmt.Errorf("the package %s of %s is one of Buildroot's too, %s: give it another name", name, mk, theirs)
			}
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// externalMenus are the files that Buildroot's Config.in sources from the output
// directory, as support/scripts/br2-external writes them there. Here they are
// made in memory, since nothing may be written yet.
func externalMenus(trees []external) map[string]string {
	files := map[string]string{}
	var paths, menus strings.Builder
	for _, e := range trees {
		fmt.Fprintf(&paths, "config %s\n\tstring\n\tdefault %q\n", e.pathVariable(), e.dir)
		fmt.Fprintf(&paths, "config BR2_EXTERNAL_%s_VERSION\n\tstring\n\tdefault \"\"\n", e.name)
		fmt.Fprintf(&menus, "source \"%s/Config.in\"\n", e.dir)
	}
	names := make([]string, len(trees))
	for i, e := range trees {
		names[i] = e.name
	}
	files["paths"] = fmt.Sprintf("config BR2_EXTERNAL_NAMES\n\tstring\n\tdefault %q\n", strings.Join(names, " ")) + paths.String()
	files["menus"] = "menu \"External options\"\n" + menus.String() + "endmenu\n"
	for item, file := range map[string]string{
		"toolchains": "provides/toolchains.in", "jpeg": "provides/jpeg.in", "openssl": "provides/openssl.in",
		"skeleton": "provides/skeleton.in", "init": "provides/init.in", "linux": "linux/Config.ext.in",
	} {
		var text strings.Builder
		for _, e := range trees {
			if exists(filepath.Join(e.dir, file)) {
				fmt.Fprintf(&text, "source \"%s/%s\"\n", e.dir, file)
			}
		}
		files[item] = text.String()
	}
	return files
}

// brExternal is the value of make's BR2_EXTERNAL.
func brExternal(trees []external) string {
	dirs := make([]string, len(trees))
	for i, e := range trees {
		dirs[i] = e.dir
	}
	return strings.Join(dirs, ":")
}

// outside lists the files and directories that an external tree refers to by its
// own path and that lie outside of it: ../kernel-configs/base.config. They are
// as much a part of the build as what is inside.
func (e external) outside() ([]string, error) {
	reference := regexp.MustCompile(`\$\(` + e.pathVariable() + `\)/([A-Za-z0-9_./+-]+)`)
	found := map[string]bool{}
	err := filepath.WalkDir(e.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if ext := filepath.Ext(path); ext != ".mk" && !strings.HasSuffix(path, "_defconfig") && !strings.HasPrefix(d.Name(), "Config.in") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range reference.FindAllSubmatch(data, -1) {
			to := filepath.Join(e.dir, string(m[1]))
			if rel, err := filepath.Rel(e.dir, to); err == nil && !filepath.IsLocal(rel) && exists(to) {
				found[to] = true
			}
		}
		return nil
	})
	list := make([]string, 0, len(found))
	for path := range found {
		list = append(list, path)
	}
	slices.Sort(list)
	return list, err
}
