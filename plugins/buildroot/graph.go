package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// pkg is a package of Buildroot's, as `make show-info` describes it.
type pkg struct {
	Type         string // "target", "host" or "rootfs"
	Name         string // without host-
	Virtual      bool
	Version      string
	PackageDir   string `json:"package_dir"` // relative to Buildroot, or absolute
	StampDir     string `json:"stamp_dir"`   // relative to the output directory
	DLDir        string `json:"dl_dir"`
	Downloads    []download
	Hashes       []string // files, relative to Buildroot or absolute
	Dependencies []string
	Override     string `json:",omitempty"` // directory that its sources are copied from
}

type download struct {
	Source string
	URIs   []string
}

// graph is every package that is to be built, by name.
type graph map[string]*pkg

// parseGraph finds show-info's JSON in make's output, and the variables that
// printvars printed after it.
func parseGraph(out []byte) (graph, error) {
	var g graph
	for line := range bytes.Lines(out) {
		line = bytes.TrimSpace(line)
		if g == nil && bytes.HasPrefix(line, []byte("{")) {
			if err := json.Unmarshal(line, &g); err != nil {
				return nil, fmt.Errorf("make show-info: %w", err)
			}
			continue
		}
		name, dir, ok := strings.Cut(string(line), "_OVERRIDE_SRCDIR=")
		if !ok || dir == "" {
			continue
		}
		for key, p := range g {
			if upper(key) == name {
				p.Override = dir
			}
		}
	}
	if len(g) == 0 {
		return nil, fmt.Errorf("make show-info printed no packages")
	}
	for name, p := range g {
		if p == nil || p.StampDir != "" && !filepath.IsLocal(p.StampDir) {
			return nil, fmt.Errorf("make show-info: package %q is described as %+v", name, p)
		}
	}
	return g, nil
}

// built lists the packages that have a build directory of their own, in order.
func (g graph) built() []string {
	var names []string
	for _, name := range sortedKeys(g) {
		if p := g[name]; p.Type != "rootfs" && p.StampDir != "" {
			names = append(names, name)
		}
	}
	return names
}

// dependents are the packages that need one of names, directly or not, and
// those themselves.
func (g graph) dependents(names map[string]bool) map[string]bool {
	all := map[string]bool{}
	for name := range names {
		all[name] = true
	}
	for grown := true; grown; {
		grown = false
		for name, p := range g {
			if all[name] || p.Type == "rootfs" {
				continue
			}
			if slices.ContainsFunc(p.Dependencies, func(dep string) bool { return all[dep] }) {
				all[name], grown = true, true
			}
		}
	}
	return all
}

// downloads lists what the host can fetch: files that Buildroot has a SHA-256
// digest of, and at least one place that speaks HTTP or is a file. The rest (a
// version control system, a digest of another kind) is named in left, and is
// Buildroot's to fetch.
func (g graph) downloads(br *tree) (files []builder.Download, left []string) {
	seen := map[string]bool{}
	for _, name := range sortedKeys(g) {
		p := g[name]
		if p.Override != "" {
			continue // show-info lists its archive all the same
		}
		digests := p.digests(br)
		for _, d := range p.Downloads {
			path := filepath.Join(p.DLDir, d.Source)
			if seen[path] {
				continue
			}
			seen[path] = true
			f := builder.Download{Path: path, Package: strings.TrimSpace(p.Name + " " + p.Version), SHA256: digests[d.Source]}
			f.URLs = d.urls()
			if f.SHA256 == "" || len(f.URLs) == 0 {
				left = append(left, path)
				continue
			}
			files = append(files, f)
		}
	}
	return files, left
}

// urls are where HTTP or the file system has the file. An URI is METHOD+URL, or
// METHOD|urlencode+URL, of a directory.
func (d download) urls() []string {
	var urls []string
	for _, uri := range d.URIs {
		method, dir, ok := strings.Cut(uri, "+")
		if !ok {
			continue
		}
		method, encode, _ := strings.Cut(method, "|")
		name := d.Source
		if encode == "urlencode" {
			name = url.PathEscape(name)
		}
		if method == "http" || method == "https" || method == "file" {
			urls = append(urls, strings.TrimSuffix(dir, "/")+"/"+name)
		}
	}
	return urls
}

var hashLine = regexp.MustCompile(`^sha256\s+([0-9a-f]{64})\s+(\S+)\s*$`)

// digests are the SHA-256 digests in the package's .hash files, by file name.
func (p *pkg) digests(br *tree) map[string]string {
	found := map[string]string{}
	for _, file := range p.Hashes {
		if !filepath.IsAbs(file) {
			file = filepath.Join(br.dir, file)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			continue // make says so
		}
		for line := range strings.Lines(string(data)) {
			if m := hashLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				found[m[2]] = m[1]
			}
		}
	}
	return found
}

// graphFile is where the configuration step leaves the graph.
const graphFile = "packages.json"

func (g graph) write(dir string) error {
	data, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, graphFile), data, 0o644)
}

func readGraph(dir string) (graph, error) {
	path := filepath.Join(dir, graphFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g graph
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}
