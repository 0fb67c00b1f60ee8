package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// origin is one repository: where its index and packages are, and who signs them.
type origin struct {
	name string   // short, a file name: "main", "community", "repository-0"
	url  string   // without the architecture; relative to the mirrors, or absolute
	keys []string // key files of the definition's; empty: Alpine's own
}

// origins are Alpine's repositories of a release and the definition's own, which
// come last.
func (c config) origins(def *builder.Definition) []origin {
	var all []origin
	for _, name := range []string{"main", "community"} {
		all = append(all, origin{name: name, url: "v" + c.Release + "/" + name, keys: c.keyFiles(def, c.Keys)})
	}
	for i, r := range c.Repositories {
		all = append(all, origin{name: fmt.Sprint("repository-", i), url: strings.TrimSuffix(r.URL, "/"), keys: c.keyFiles(def, r.Keys)})
	}
	return all
}

func (c config) keyFiles(def *builder.Definition, files []string) []string {
	var all []string
	for _, f := range files {
		all = append(all, within(def.Root, f))
	}
	return all
}

// mirrors are where relative URLs lead: Alpine's mirrors and, for directories
// that the definition names, the definition's own. That is tried first, since a
// file that is not there costs nothing.
func (c config) mirrors(def *builder.Definition) []string {
	var all []string
	local := func(r repository) bool { return !isURL(r.URL) && !filepath.IsAbs(r.URL) }
	if slices.ContainsFunc(c.Repositories, local) {
		all = append(all, def.Root)
	}
	for _, m := range c.Mirrors {
		if !isURL(m) {
			m = within(def.Root, m)
		}
		all = append(all, m)
	}
	return all
}

// indexFile is a repository's index, and what it is called among the fetched.
func (s origin) indexFile(arch string) builder.RemoteFile {
	return builder.RemoteFile{Name: "APKINDEX-" + s.name + "." + arch + ".tar.gz", URL: s.url + "/" + arch + "/APKINDEX.tar.gz"}
}
