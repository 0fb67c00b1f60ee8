package main

import (
	"io"
	"path"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// apkDatabases is where apk lists what is installed: since apk-tools 3, below /usr
// in a root whose /lib is a link to there.
var apkDatabases = []string{apkDatabase, "/usr" + apkDatabase}

// maxDatabase bounds what is read of an image's database: Alpine's largest images
// have some megabytes.
const maxDatabase = 64 << 20

// readDatabase finds out what packages a root that others have made consists of,
// for the size report. A root without apk's database has none.
func (r *root) readDatabase() ([]installed, error) {
	for _, name := range apkDatabases {
		e, err := r.tree.Resolve(name)
		if err != nil || e.Type != rootfs.Regular {
			continue
		}
		f, err := e.Open()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxDatabase))
		if err != nil {
			return nil, err
		}
		return r.present(parseDatabase(string(text))), nil
	}
	return nil, nil
}

// parseDatabase reads apk's database (apk-tools, doc/apk-package.5 and
// src/database.c): of each package its lines P and V, and its files, R, each in the
// directory of the F before it. All other lines are passed over, and so is what is
// no such line: the database of an image is not ours to judge.
func parseDatabase(text string) []installed {
	var all []installed
	var p installed
	dir := "/"
	flush := func() {
		if p.Name != "" {
			all = append(all, p)
		}
		p, dir = installed{}, "/"
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		key, value, _ := strings.Cut(line, ":")
		switch {
		case line == "":
			flush()
		case key == "P":
			p.Name = value
		case key == "V":
			p.Version = value
		case key == "F":
			dir = path.Clean("/" + value)
		case key == "R" && value != "":
			p.Files = append(p.Files, path.Join(dir, value))
		}
	}
	flush()
	return all
}

// present keeps those files of packages that are in the root, each by the name that
// it has there, whatever links its directory is reached by.
func (r *root) present(packages []installed) []installed {
	for i := range packages {
		var files []string
		for _, name := range packages[i].Files {
			dir, err := r.tree.Resolve(path.Dir(name))
			if err != nil {
				continue
			}
			name = path.Join(dir.Path, path.Base(name))
			if e, ok := r.tree.Get(name); ok && e.Type != rootfs.Directory {
				files = append(files, name)
			}
		}
		packages[i].Files = files
	}
	return packages
}
