package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// File is a file that somebody else's build system wants, such as the tarball of
// one of Buildroot's packages. Its digest is all that counts: it is taken from
// wherever that is found.
type File = builder.Download

// OriginLook is the origin of a file that lay in a directory the caller named.
const OriginLook = "look"

// GetFile brings f to its verified place. Asked are, in this order: what was
// fetched before, the directories in look, the mirror, f's own URLs, and
// Debian's archive for an .orig tarball that has the digest. The origin is
// empty where nothing had to be fetched. The error is a *FileError when none
// has it.
func (s *Sources) GetFile(ctx context.Context, f File, look []string) (path, origin string, err error) {
	r := Release{Name: f.Package, File: filepath.Base(f.Path), SHA256: f.SHA256}
	if !sha256Pattern.MatchString(f.SHA256) || !filePattern.MatchString(r.File) {
		return "", "", fmt.Errorf("%s: %q is no file name, or %q no SHA-256 digest", f.Package, r.File, f.SHA256)
	}
	if path, ok := s.Cached(r); ok {
		return path, "", nil
	}
	failed := &FileError{File: f, Offline: s.o.Offline}
	for _, o := range s.fileOrigins(f, look) {
		path, err := s.fileFrom(ctx, o, r)
		if err == nil {
			return path, o.name, nil
		}
		if ctx.Err() != nil {
			return "", "", fmt.Errorf("%s: %w", r.File, context.Cause(ctx))
		}
		if !errors.Is(err, os.ErrNotExist) || o.name != OriginLook {
			failed.Tried = append(failed.Tried, OriginError{o.name, err})
		}
	}
	return "", "", failed
}

// fileOrigin is one place that may have a file. Asking it can take a while, so
// that is done only when it is its turn.
type fileOrigin struct {
	name string
	find func(ctx context.Context) (found, error)
}

func (s *Sources) fileOrigins(f File, look []string) []fileOrigin {
	at := func(name, url, path string) fileOrigin {
		return fileOrigin{name, func(context.Context) (found, error) { return found{url: url, path: path}, nil }}
	}
	var origins []fileOrigin
	for _, dir := range look {
		origins = append(origins, at(OriginLook, "", filepath.Join(dir, f.Path)))
	}
	if m := s.mirror(); m.base != "" {
		origins = append(origins, fileOrigin{OriginMirror, func(ctx context.Context) (found, error) {
			return s.inMirror(ctx, f.SHA256)
		}})
	}
	for _, text := range f.URLs {
		if u, err := url.Parse(text); err == nil && u.Scheme == "file" {
			origins = append(origins, at(OriginUpstream, "", u.Path))
		} else {
			origins = append(origins, at(OriginUpstream, text, ""))
		}
	}
	for _, o := range s.origins {
		if d, ok := o.(*debian); ok {
			origins = append(origins, fileOrigin{OriginDebian, func(ctx context.Context) (found, error) { return d.file(ctx, f.SHA256) }})
		}
	}
	return origins
}

// fileFrom fetches r from one place.
func (s *Sources) fileFrom(ctx context.Context, o fileOrigin, r Release) (string, error) {
	f, err := o.find(ctx)
	if err != nil {
		return "", err
	}
	f.release = r
	f.release.Bytes = 0
	if f.path == "" && s.o.Offline {
		return "", fmt.Errorf("%s %w", f.url, errOffline)
	}
	return s.download.fetch(ctx, f, func(done, total int64) { s.o.Progress(r.Name, done, total) })
}

func (s *Sources) mirror() mirror {
	for _, o := range s.origins {
		if m, ok := o.(mirror); ok {
			return m
		}
	}
	return mirror{}
}

// inMirror looks a digest up in the mirror's list, which is read once: over
// HTTP a list for each of a hundred files would take its time.
func (s *Sources) inMirror(ctx context.Context, sha256 string) (found, error) {
	m := s.mirror()
	if m.offline && isHTTP(m.base) {
		return found{}, fmt.Errorf("%s %w", m.base, errOffline)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sums == nil {
		text, err := m.read(ctx, mirrorSums)
		if err != nil {
			return found{}, err
		}
		sums, err := parseSums(text)
		if err != nil {
			return found{}, fmt.Errorf("%s: %w", m.location(mirrorSums), err)
		}
		s.sums = map[string]string{}
		for _, line := range sums {
			s.sums[line.sha256] = line.file
		}
	}
	file, ok := s.sums[sha256]
	if !ok {
		return found{}, fmt.Errorf("%s lists no file with that digest", m.location(mirrorSums))
	}
	return m.found(Release{}, file), nil
}

// file finds the .orig tarball with a digest, whatever its name.
func (d *debian) file(ctx context.Context, sha256 string) (found, error) {
	if d.o.Offline {
		return found{}, errOffline
	}
	mirrors, err := debianMirrors(d.aptEtc)
	if err != nil {
		return found{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settings.client == nil {
		d.settings = readAptSettings(ctx)
	}
	var said []error
	for _, suite := range suitesWithFiles(d.o.Suite, mirrors) {
		pool, err := d.pool(ctx, suite, mirrors)
		if err != nil {
			said = append(said, err)
			continue
		}
		if path, ok := pool[sha256]; ok {
			return found{url: d.suites[suite].mirror + "/" + path, client: d.settings.client}, nil
		}
		said = append(said, fmt.Errorf("%s has no source archive with that digest", suite))
	}
	return found{}, errors.Join(said...)
}

// suitesWithFiles are the suites that are asked for a digest: those of every
// other source, and what the host itself runs, which may be older and still have
// what a package of an older Buildroot names.
func suitesWithFiles(suite string, mirrors []aptEntry) []string {
	suites := []string{suite, suiteNewest}
	for _, m := range mirrors {
		suites = append(suites, m.Suites...)
	}
	var all []string
	for _, s := range suites {
		if !slices.Contains(all, s) && (s == suite || isDebianSuite(s)) {
			all = append(all, s)
		}
	}
	return all
}

// pool maps the digests of a suite's source archives to their paths.
func (d *debian) pool(ctx context.Context, suite string, mirrors []aptEntry) (map[string]string, error) {
	index := d.sourceIndex(ctx, suite, mirrors)
	if index.err != nil || index.pool != nil {
		return index.pool, index.err
	}
	// The index as apt verified it, unpacked whatever way apt keeps it.
	names, err := runApt(ctx, index.config, "apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Sources")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", suite, err)
	}
	index.pool = map[string]string{}
	for name := range strings.FieldsSeq(string(names)) {
		text, err := runApt(ctx, index.config, aptHelper, "cat-file", name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", suite, err)
		}
		poolPaths(text, index.pool)
	}
	d.suites[suite] = index
	return index.pool, nil
}

// aptHelper is in no directory of PATH (apt's debian/apt.install).
const aptHelper = "/usr/lib/apt/apt-helper"

// poolPaths collects the archives that a Sources index lists.
func poolPaths(index []byte, into map[string]string) {
	for _, s := range parseStanzas(index) {
		for line := range strings.Lines(s.get("Checksums-Sha256")) {
			f := strings.Fields(line)
			if len(f) != 3 || !sha256Pattern.MatchString(f[0]) || !strings.Contains(f[2], ".tar.") {
				continue
			}
			if path := path.Join(s.get("Directory"), f[2]); validPoolPath(path) {
				into[f[0]] = path
			}
		}
	}
}

// FileError says what every origin answered.
type FileError struct {
	File    File
	Offline bool
	Tried   []OriginError
}

func (e *FileError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s) with sha256 %s is nowhere to be had:", filepath.Base(e.File.Path), e.File.Package, e.File.SHA256)
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %-9s %s", t.Origin+":", strings.ReplaceAll(t.Err.Error(), "\n", "\n            "))
	}
	return b.String()
}

// Unwrap returns what each origin answered.
func (e *FileError) Unwrap() []error {
	var out []error
	for _, t := range e.Tried {
		out = append(out, t.Err)
	}
	return out
}

// LinkFile gives a verified file one more name, at path, for programs that look
// for it there. What stands at path already with the same digest stays.
func LinkFile(verified, path, sha256 string) error {
	if sum, err := sha256File(path); err == nil && sum == sha256 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(verified, path); err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	return copyArchive(verified, path, sha256)
}

// fileState is what GetFile learns once.
type fileState struct {
	mu   sync.Mutex
	sums map[string]string // the mirror's files by digest; nil: not read yet
}
