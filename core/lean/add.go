package lean

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// AddApplications copies the named applications, and those they depend on, from
// a toolchain's library directories on the host into the release, except for
// those that it holds. A name that no directory has is left to Apply, which
// knows modules too. Apply finds what was added by Options.Keep.
func AddApplications(t *rootfs.Tree, rel Release, libraries, names []string) error {
	held := map[string]bool{}
	for _, lib := range rel.libraries() {
		for _, dir := range children(t, lib) {
			app, err := readApplication(t, dir.Path)
			if err != nil {
				return err
			}
			if app != nil {
				held[app.name] = true
			}
		}
	}
	queue := append([]string(nil), names...)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if held[name] {
			continue
		}
		held[name] = true
		dir, err := findLibrary(libraries, name)
		if err != nil {
			return err
		}
		if dir == "" {
			continue
		}
		app, err := addApplication(t, rel, dir, name)
		if err != nil {
			return err
		}
		queue = append(queue, app.requires...)
		queue = append(queue, app.included...)
	}
	return nil
}

// findLibrary looks for NAME-VSN, as OTP installs, and NAME, as Elixir does.
func findLibrary(libraries []string, name string) (string, error) {
	for _, lib := range libraries {
		for _, pattern := range []string{name + "-[0-9]*", name} {
			found, err := filepath.Glob(filepath.Join(lib, pattern, "ebin", name+".app"))
			if err != nil {
				return "", fmt.Errorf("lean.keep: %q: %w", name, err)
			}
			if len(found) > 0 {
				return filepath.Dir(filepath.Dir(found[0])), nil
			}
		}
	}
	return "", nil
}

func addApplication(t *rootfs.Tree, rel Release, dir, name string) (*application, error) {
	file := filepath.Join(dir, "ebin", name+".app")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	app, err := parseApp(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	at := path.Join(rel.Dir, "lib", filepath.Base(dir))
	for _, part := range []string{"ebin", "priv"} {
		host := filepath.Join(dir, part)
		if _, err := os.Stat(host); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := t.AddDir(host, path.Join(at, part), rootfs.Owner{}); err != nil {
			return nil, err
		}
	}
	return app, nil
}
