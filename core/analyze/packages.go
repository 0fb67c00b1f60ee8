package analyze

import (
	"path"
	"strings"
)

// distribution is a package of dpkg's or apk's database.
type distribution struct {
	name, version string
	files         []string // absolute; dpkg lists directories too
}

// packageDatabases finds which package has which file. Of two packages that list
// a file, the first by name has it.
func (s *survey) packageDatabases() error {
	for _, read := range []func() []distribution{s.dpkg, s.apk} {
		for _, p := range read() {
			if err := s.ctx.Err(); err != nil {
				return err
			}
			for _, name := range p.files {
				// A distribution that merged /usr lists /bin/sh as /bin/sh.
				e, ok := s.img.Tree.Get(name)
				if !ok {
					continue
				}
				if _, taken := s.packages[e.Path]; !taken {
					s.packages[e.Path] = claim{componentID: componentID{group: "package", name: p.name}, version: p.version}
				}
			}
		}
	}
	return nil
}

const (
	dpkgStatus = "/var/lib/dpkg/status"
	dpkgInfo   = "/var/lib/dpkg/info"
	// dpkgStatusDir has a file for each package where there is no dpkg to write one
	// for all: images made with Bazel's rules for Debian.
	dpkgStatusDir = "/var/lib/dpkg/status.d"
)

// dpkg reads dpkg's database: deb-control(5), dpkg-query(1), and for the lists'
// names lib/dpkg/db-fsys-files.c.
func (s *survey) dpkg() []distribution {
	var stanzas []map[string]string
	if _, err := s.img.Tree.Resolve(dpkgStatus); err == nil {
		stanzas = parseStanzas(s.database(dpkgStatus))
	}
	for _, e := range s.below(dpkgStatusDir) {
		if path.Ext(e.Path) != ".md5sums" {
			stanzas = append(stanzas, parseStanzas(s.database(e.Path))...)
		}
	}
	var found []distribution
	for _, f := range stanzas {
		p := distribution{name: f["Package"], version: f["Version"]}
		if !isPackageName(p.name) {
			continue
		}
		for _, list := range []string{dpkgInfo + "/" + p.name + ".list", dpkgInfo + "/" + p.name + ":" + f["Architecture"] + ".list"} {
			if _, err := s.img.Tree.Resolve(list); err == nil {
				p.files = append(p.files, lines(s.database(list))...)
			}
		}
		sums := dpkgStatusDir + "/" + p.name + ".md5sums"
		if _, err := s.img.Tree.Resolve(sums); err == nil {
			for _, line := range lines(s.database(sums)) {
				if _, name, ok := strings.Cut(line, "  "); ok {
					p.files = append(p.files, path.Join("/", name))
				}
			}
		}
		found = append(found, p)
	}
	return found
}

// apkDatabases are where apk-tools has kept its database, before version 3 and
// since.
var apkDatabases = []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"}

// apk reads apk's database: apk-package(5), "installed".
func (s *survey) apk() []distribution {
	for _, name := range apkDatabases {
		if _, err := s.img.Tree.Resolve(name); err == nil {
			return parseAPK(s.database(name))
		}
	}
	return nil
}

// parseAPK reads lines of a letter, a colon and a value: P and V begin a
// package's description, F is a directory, and R a file in the last directory.
func parseAPK(data []byte) []distribution {
	var found []distribution
	var p distribution
	var dir string
	for _, line := range append(lines(data), "") {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "":
			if isPackageName(p.name) {
				found = append(found, p)
			}
			p, dir = distribution{}, ""
		case "P":
			p.name = value
		case "V":
			p.version = value
		case "F":
			dir = value
		case "R":
			p.files = append(p.files, path.Join("/", dir, value))
		}
	}
	return found
}

// parseStanzas reads paragraphs of fields, as deb822(5) has them. Continuation
// lines are not kept: no field that is asked for has any.
func parseStanzas(data []byte) []map[string]string {
	var found []map[string]string
	var stanza map[string]string
	for _, line := range lines(data) {
		if line == "" {
			stanza = nil
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, " ") {
			continue
		}
		if stanza == nil {
			stanza = map[string]string{}
			found = append(found, stanza)
		}
		switch key {
		case "Package", "Version", "Architecture":
			stanza[key] = strings.TrimSpace(value)
		}
	}
	return found
}

// isPackageName keeps what a hostile database calls a package from being a path.
func isPackageName(name string) bool {
	return name != "" && len(name) < 256 && !strings.ContainsAny(name, "/\x00")
}

// lines are the lines of a text, without their ends.
func lines(data []byte) []string {
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// database reads a file of a package database; of one that cannot be read,
// nothing.
func (s *survey) database(name string) []byte {
	data, err := s.read(name, maxDatabase)
	if err != nil {
		s.warn("%s: %v; files of packages in it are said to be unowned", name, err)
	}
	return data
}
