package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Lock is the lock file: the exact release that each request was answered
// with. Safe for concurrent use.
type Lock struct {
	path string

	mu       sync.Mutex
	releases map[Request]Release
	lines    map[Request]int  // where each stands in the file that was read
	loaded   map[Request]bool // what the file held, to tell a removal from another process's addition
}

// LoadLock reads a lock file. A file that does not exist is an empty lock.
func LoadLock(path string) (*Lock, error) {
	l := &Lock{path: path, releases: map[Request]Release{}, lines: map[Request]int{}, loaded: map[Request]bool{}}
	releases, lines, err := readReleases(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w\nMend the file, or remove it and run: leanlab sources lock", err)
	}
	for _, r := range releases {
		l.releases[r.request()] = r
		l.loaded[r.request()] = true
	}
	l.lines = lines
	return l, nil
}

// Path returns the file that Save writes.
func (l *Lock) Path() string { return l.path }

// Get returns the release that req is locked to.
func (l *Lock) Get(req Request) (Release, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.releases[req]
	return r, ok
}

// Set locks a release, in memory until Save.
func (l *Lock) Set(r Release) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releases[r.request()] = r
}

// Remove unlocks req, so that the next Get asks the origins what they have now.
func (l *Lock) Remove(req Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.releases, req)
}

// Releases returns what is locked, sorted by name and series.
func (l *Lock) Releases() []Release {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sorted()
}

func (l *Lock) sorted() []Release {
	out := make([]Release, 0, len(l.releases))
	for _, r := range l.releases {
		out = append(out, r)
	}
	slices.SortFunc(out, compareReleases)
	return out
}

// where names the place of req in the lock file, as "file:line".
func (l *Lock) where(req Request) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.lines[req]; n > 0 {
		return fmt.Sprintf("%s:%d", l.path, n)
	}
	return l.path
}

// Save writes the lock file, atomically. What another process has added to the
// file since LoadLock is kept.
func (l *Lock) Save() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	unlock, err := lockDir(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	defer unlock()

	theirs, _, err := readReleases(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, r := range theirs {
		req := r.request()
		if _, mine := l.releases[req]; !mine && !l.loaded[req] {
			l.releases[req] = r
		}
	}
	if err := writeReleases(l.path, lockHeader, l.sorted()); err != nil {
		return err
	}
	_, l.lines, err = readReleases(l.path)
	for req := range l.releases {
		l.loaded[req] = true
	}
	return err
}

const lockHeader = "# The exact sources this project is built from. Commit it.\n" +
	"# Written by leanlab; \"leanlab sources lock\" takes what the origins have now.\n"

func (r Release) request() Request {
	return Request{Name: r.Name, Series: r.Series, Selection: r.Selection}
}

// releaseFile is the HCL of a lock file and of a mirror's index.
type releaseFile struct {
	Sources []struct {
		Name    string    `hcl:"name,label"`
		Series  string    `hcl:"series,label"`
		Version string    `hcl:"version"`
		Origin  string    `hcl:"origin"`
		URL     string    `hcl:"url"`
		File    string    `hcl:"file"`
		SHA256  string    `hcl:"sha256"`
		Bytes   int64     `hcl:"bytes"`
		Range   hcl.Range `hcl:",def_range"`
	} `hcl:"source,block"`
	Sets []struct {
		Name      string `hcl:"name,label"`
		Series    string `hcl:"series,label"`
		Origin    string `hcl:"origin"`
		Selection string `hcl:"selection"`
		Files     []struct {
			Name    string `hcl:"name,label"`
			Version string `hcl:"version"`
			URL     string `hcl:"url"`
			SHA256  string `hcl:"sha256"`
			Bytes   int64  `hcl:"bytes"`
		} `hcl:"file,block"`
		Range hcl.Range `hcl:",def_range"`
	} `hcl:"files,block"`
}

func readReleases(path string) ([]Release, map[Request]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	return parseReleases(text, path)
}

// parseReleases reads source blocks. The map gives the line of each.
func parseReleases(text []byte, filename string) ([]Release, map[Request]int, error) {
	file, diags := hclsyntax.ParseConfig(text, filename, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, nil, diagError(diags)
	}
	var content releaseFile
	if diags := gohcl.DecodeBody(file.Body, nil, &content); diags.HasErrors() {
		return nil, nil, diagError(diags)
	}
	lines := map[Request]int{}
	var releases []Release
	add := func(r Release, line int) error {
		if err := r.check(); err != nil {
			return fmt.Errorf("%s:%d: %w", filename, line, err)
		}
		if first, twice := lines[r.request()]; twice {
			return fmt.Errorf("%s:%d: %s %s stands already on line %d", filename, line, r.Name, r.Series, first)
		}
		lines[r.request()] = line
		releases = append(releases, r)
		return nil
	}
	for _, b := range content.Sources {
		r := Release{Name: b.Name, Series: b.Series, Version: b.Version, Origin: b.Origin, URL: b.URL, File: b.File, SHA256: b.SHA256, Bytes: b.Bytes}
		if err := add(r, b.Range.Start.Line); err != nil {
			return nil, nil, err
		}
	}
	for _, b := range content.Sets {
		files := []ReleaseFile{}
		for _, f := range b.Files {
			files = append(files, ReleaseFile{Name: f.Name, Version: f.Version, URL: f.URL, SHA256: f.SHA256, Bytes: f.Bytes})
		}
		if err := add(newSet(Request{Name: b.Name, Series: b.Series, Selection: b.Selection}, b.Origin, files), b.Range.Start.Line); err != nil {
			return nil, nil, err
		}
	}
	return releases, lines, nil
}

// diagError gives the first diagnostic as "file:line: summary; detail", with the
// details of those that follow on its line: a block lacks all its arguments at once.
func diagError(diags hcl.Diagnostics) error {
	var first *hcl.Diagnostic
	var details []string
	for _, d := range diags {
		if d.Severity != hcl.DiagError || d.Subject == nil {
			continue
		}
		if first == nil {
			first = d
		}
		if d.Subject.Start.Line == first.Subject.Start.Line && d.Summary == first.Summary {
			details = append(details, d.Detail)
		}
	}
	if first == nil {
		return diags
	}
	return fmt.Errorf("%s:%d: %s; %s", first.Subject.Filename, first.Subject.Start.Line, first.Summary, strings.Join(details, " "))
}

// writeSet writes a release that has files.
func writeSet(b *bytes.Buffer, r Release) {
	fmt.Fprintf(b, "\nfiles %q %q {\n", r.Name, r.Series)
	fmt.Fprintf(b, "  selection = %q\n", r.Selection)
	fmt.Fprintf(b, "  origin    = %q\n", r.Origin)
	for _, f := range r.Files {
		fmt.Fprintf(b, "  file %q {\n", f.Name)
		fmt.Fprintf(b, "    version = %q\n", f.Version)
		fmt.Fprintf(b, "    url     = %q\n", f.URL)
		fmt.Fprintf(b, "    sha256  = %q\n", f.SHA256)
		fmt.Fprintf(b, "    bytes   = %d\n  }\n", f.Bytes)
	}
	b.WriteString("}\n")
}

// writeReleases writes a header and one block a release, by rename.
// Release.check admits nothing that HCL would want escaped.
func writeReleases(path, header string, releases []Release) error {
	b := bytes.NewBufferString(header)
	for _, r := range releases {
		if err := r.check(); err != nil {
			return fmt.Errorf("%s: not written: %s %s: %w", path, r.Name, r.Series, err)
		}
		if r.Files != nil {
			writeSet(b, r)
			continue
		}
		fmt.Fprintf(b, "\nsource %q %q {\n", r.Name, r.Series)
		fmt.Fprintf(b, "  version = %q\n", r.Version)
		fmt.Fprintf(b, "  origin  = %q\n", r.Origin)
		fmt.Fprintf(b, "  url     = %q\n", r.URL)
		fmt.Fprintf(b, "  file    = %q\n", r.File)
		fmt.Fprintf(b, "  sha256  = %q\n", r.SHA256)
		fmt.Fprintf(b, "  bytes   = %d\n}\n", r.Bytes)
	}
	return writeFile(path, b.Bytes())
}

// writeFile replaces path by rename, so that a reader sees the old content or
// the new, never a part.
func writeFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = bytes.NewReader(content).WriteTo(tmp)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
